"""A project of one's own on the real Label Studio, and what annotators do in it."""

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from labelling.labels.schema import LabelSchema
from resources.label_studio.client import LabelStudioClient
from resources.label_studio.types import NewTask, Prelabel
from tests.label_studio.server import LabelStudioServer

LABELS = ("cat", "dog", "bird")


def sha(number: int | str) -> str:
    """Some image."""
    return hashlib.sha256(f"image {number}".encode()).hexdigest()


def new_task(number: int, **changes: Any) -> NewTask:
    """A task for image ``number``."""
    known: dict[str, Any] = {
        "sample_id": sha(number),
        "image": f"/data/local-files/?d=raw/{number}.png",
        "uri": f"raw/{number}.png",
        "why": "The model is unsure: cat 0.4, dog 0.35.",
        "batch": "batch-1",
        "reasons": {"uncertainty": 0.6},
    }
    return NewTask(**known | changes)


def prelabel(version: str = "train-1", label: str = "cat", priority: float = 0.5) -> Prelabel:
    """A prediction for one of LABELS."""
    rest = (1 - 0.6) / (len(LABELS) - 1)
    return Prelabel(
        version, (label,), {name: 0.6 if name == label else rest for name in LABELS}, priority
    )


@dataclass
class StudioProject:
    """A project of Label Studio: ``client`` is what is tested, ``http`` plain HTTP beside it."""

    server: LabelStudioServer
    title: str
    client: LabelStudioClient
    http: httpx.Client

    @property
    def id(self) -> int:
        """Of the project."""
        return self.client.project.id

    def client_at(self, url: str, **changes: Any) -> LabelStudioClient:
        """The same project through another address."""
        known: dict[str, Any] = {"token": self.server.token, "project_title": self.title}
        return LabelStudioClient(url=url, **known | changes)

    def tasks(self) -> list[dict[str, Any]]:
        """All tasks with all their fields, in order of id."""
        params = {"project": str(self.id), "fields": "all", "page_size": "1000"}
        tasks: list[dict[str, Any]] = self.get("/api/tasks/", **params)["tasks"]
        return tasks

    def by_image(self) -> dict[str, dict[str, Any]]:
        """The same by hash; fails if an image has several."""
        tasks = [task for task in self.tasks() if "sample_id" in task["data"]]
        found = {task["data"]["sample_id"]: task for task in tasks}
        assert len(found) == len(tasks), "an image has several tasks"
        return found

    def task_id(self, number: int) -> int:
        """The task of image ``number``."""
        return int(self.by_image()[sha(number)]["id"])

    def annotate(self, task: int, label: str = "dog", **fields: Any) -> dict[str, Any]:
        """Save an annotation, as the page does."""
        return self.post(f"/api/tasks/{task}/annotations/", result=result(label), **fields)

    def draft(self, task: int, label: str = "dog") -> None:
        """What the page saves by itself while somebody works on a task."""
        self.post(f"/api/tasks/{task}/drafts", result=result(label), lead_time=1.0)

    def get(self, path: str, **params: str) -> Any:
        """An answer that must be good."""
        return _good(self.http.get(path, params=params))

    def post(self, path: str, **body: Any) -> Any:
        """The same."""
        return _good(self.http.post(path, json=body))

    def patch(self, path: str, **body: Any) -> Any:
        """The same."""
        return _good(self.http.patch(path, json=body))


def result(label: str) -> list[dict[str, Any]]:
    """An annotation's regions."""
    value = {"choices": [label]}
    return [{"from_name": "label", "to_name": "image", "type": "choices", "value": value}]


def make_studio(server: LabelStudioServer, title: str) -> StudioProject:
    """A project for LABELS; the title gets something that no other test has."""
    title = f"{title[:40].strip()} {uuid4().hex[:8]}"
    client = LabelStudioClient(url=server.url, token=server.token, project_title=title)
    client.project.ensure(LabelSchema(), LABELS)
    return StudioProject(server, title, client, server.client())


def _good(answer: httpx.Response) -> Any:
    assert answer.is_success, f"{answer.request.url}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None

"""A project of a real Label Studio, the line that looks at it, and annotators at work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import httpx

from assets.annotations.label_index import labelled_view, labels_table
from imgclf_dagster.sensors import labels as sensors_labels
from tests.label_studio.proxy import Proxy
from tests.label_studio.server import LabelStudioServer

IMAGES = tuple(f"{number:064x}" for number in range(1, 6))


@dataclass
class Room:
    """A project on the server, the line that looks at it, and annotators at work."""

    server: LabelStudioServer
    world: Any
    project: int
    http: httpx.Client
    cursor: str | None = None
    tasks: dict[str, int] = field(default_factory=dict)
    skipped: str = ""

    def add(self, *images: str) -> None:
        for image in images:
            data = {"image": f"/data/{image}.png", "sample_id": image, "uri": f"raw/{image}.png"}
            answer = self.call("POST", f"/api/projects/{self.project}/tasks/", data=data)
            self.tasks[image] = answer["id"]

    def call(self, method: str, path: str, **body: Any) -> Any:
        answer = self.http.request(method, path, json={"project": self.project, **body})
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def say(self, image: str, *labels: str, **body: Any) -> int:
        path = f"/api/tasks/{self.tasks[image]}/annotations/"
        answer: int = self.call("POST", path, result=self.result(*labels), **body)["id"]
        return answer

    def change(self, annotation: int, *labels: str, **body: Any) -> None:
        self.call("PATCH", f"/api/annotations/{annotation}/", result=self.result(*labels), **body)

    def delete(self, annotation: int) -> None:
        self.call("DELETE", f"/api/annotations/{annotation}/")

    def delete_task(self, image: str) -> None:
        self.call("DELETE", f"/api/tasks/{self.tasks[image]}/")

    def annotator(self, email: str) -> int:
        body = {"email": email, "username": email.partition("@")[0], "password": "label-me-2"}
        answer: int = self.call("POST", "/api/users/", **body)["id"]
        return answer

    def result(self, *labels: str) -> list[dict[str, Any]]:
        value = {"choices": [*labels]}
        region = {"from_name": "label", "to_name": "image", "type": "choices", "value": value}
        return [region] if labels else []

    # --- the line ------------------------------------------------------------------------

    def tick(self) -> list[dg.RunRequest]:
        """The sensor, as the daemon has it."""
        given = {name: self.world.resource(name) for name in ("store", "line", "label_studio")}
        with dg.build_sensor_context(
            instance=self.world.instance, resources=given, cursor=self.cursor
        ) as context:
            found = sensors_labels.annotations_change_sensor(context)
            self.cursor = context.cursor
        self.skipped = found.skip_message if isinstance(found, dg.SkipReason) else ""
        return list(found.run_requests or []) if isinstance(found, dg.SensorResult) else []

    def follow(self) -> dict[str, list[str]]:
        """Tick, index if asked to, and tick again, which asks for nothing; the labels that count."""
        if self.tick():
            done = self.world.run("annotations")
            assert done.success, done.why
        assert self.tick() == []
        return self.labels

    @property
    def labels(self) -> dict[str, list[str]]:
        return labelled_view(self.world.store, self.world.line.labels).labels

    @property
    def rows(self) -> list[dict[str, Any]]:
        return labels_table(self.world.store).read().to_pylist()

    @contextmanager
    def through_proxy(self) -> Iterator[Proxy]:
        """The line reaches the server through a proxy from now on; it is there for the block."""
        with Proxy(self.server.url) as proxy:
            access = {**self.world.overrides["label_studio"], "url": proxy.url}
            self.world = self.world.with_settings(label_studio=access)
            yield proxy

    def from_the_start(self) -> None:
        """As if the cursor had been lost."""
        self.cursor = None


@contextmanager
def open_room(
    server: LabelStudioServer,
    title: str,
    home: Path,
    empty_world: Callable[..., Any],
    **settings: Any,
) -> Iterator[Room]:
    """A project with tasks of the first three images.

    Args:
        settings: of the line.
    """
    several = settings.get("labels", {}).get("task") == "multi_label"
    choice = "multiple" if several else "single"
    project = server.project(title[:50], labels=("cat", "dog", "fox"), choice=choice)
    with server.client() as http:
        world = world_of(server, project, home, empty_world, **settings)
        room = Room(server, world, project, http)
        room.add(*IMAGES[:3])
        yield room


def world_of(
    server: LabelStudioServer,
    project: int,
    home: Path,
    empty_world: Callable[..., Any],
    **more: Any,
) -> Any:
    connection = {"url": server.url, "token": server.token, "project_id": project}
    settings = {
        "labels": {"names": ["cat", "dog", "fox"]},
        "labelling": {"reconcile_every_s": 0, "poll_overlap_s": 0},
    }
    return empty_world(home, label_studio=connection, **(settings | more))

"""A line with pictures, a model that knows their colours, and a project in a real Label Studio."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from assets.annotations.label_studio_poll import PollCursor, poll
from assets.ingestion.image_index import images_table, newest_rows, usable_images
from assets.model.feature_store import record_model, stored_features, stored_probabilities
from assets.queue.ledger import QUEUE
from assets.queue.shown_version import SHOWN
from labelling.labels.consensus import newest_snapshots
from labelling.labels.corrections import Correction, correction_key
from labelling.labels.snapshots import AnnotationSnapshot
from serving.deployments import DeploymentRecord, record_key
from tests.label_studio.proxy import Proxy
from tests.label_studio.server import LabelStudioServer

LABELS = ("blue", "green", "red")
BACKBONE = "tiny-16-000000000000"

__all__ = ["BACKBONE", "LABELS", "Room", "newest_snapshots", "sha"]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Room:
    """A world with a queue, and what Label Studio has of it."""

    world: Any
    server: LabelStudioServer | None = None
    project: int = 0
    photos: dict[str, str] = field(default_factory=dict)
    _ids: dict[str, int] = field(default_factory=dict)

    # --- before ----------------------------------------------------------------------------

    def fill(self, photo: Any, *, labelled: int = 8, free: int = 40) -> None:
        """Pictures of three colours, ``labelled`` of each with their label."""
        for offset, colour in enumerate(LABELS):
            for number in range(labelled):
                seed = 3 * number + offset
                self.add(f"{colour}/{seed}.png", photo(seed, colour), colour, label=True)
        for number in range(free):
            colour = LABELS[number % 3]
            self.add(f"new/{number}.png", photo(1000 + number, colour), colour)
        self.index()

    def copy(self, home: Path, server: LabelStudioServer, title: str) -> "Room":
        """The same pictures at ``home``, and a project of their labels on ``server``."""
        access = {"url": server.url, "token": server.token, "project_title": title[:50]}
        world = self.world.copy(home, label_studio=access)
        opened = Room(world, server, photos=dict(self.photos))
        opened.project = opened.studio.project.ensure(world.line.labels, LABELS).id
        return opened

    @contextmanager
    def through_proxy(self) -> Iterator[Proxy]:
        """The line reaches the server through a proxy from now on; it is there for the block."""
        assert self.server is not None
        with Proxy(self.server.url) as proxy:
            access = {**self.world.overrides["label_studio"], "url": proxy.url}
            self.world = self.world.with_settings(label_studio=access)
            yield proxy

    def add(self, key: str, data: bytes, colour: str, *, label: bool = False) -> str:
        self.photos[self.world.add(key, data, *([colour] if label else []))] = colour
        return sha(data)

    def index(self) -> None:
        done = self.world.run("raw_images", "annotations")
        assert "annotations" in done.materialized, done.why

    def embed(self, version: str, *, stage: str = "prod", sure: float = 2.0, **fields: Any) -> None:
        """As the embedding job would: what ``version`` says of every picture; it is on ``stage``."""
        store = self.world.store
        shas = usable_images(newest_rows(images_table(store).read()))["sha256"].to_pylist()
        rng = np.random.default_rng(len(version))
        truth = np.array([LABELS.index(self.photos[image]) for image in shas])
        features = rng.normal(size=(len(shas), 8)).astype(np.float32) + 3 * np.eye(8)[truth]
        stored_features(store, BACKBONE).append(shas, features)
        logits = rng.normal(size=(len(shas), 3)) + sure * np.eye(3)[truth]
        text = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        text = 1 / (1 + np.exp(-logits)) if fields.get("task") == "multi_label" else text
        stored_probabilities(store, version).append(shas, text)
        given = {"digest": "d" * 64, "backbone": BACKBONE, "task": "single_label", "labels": LABELS}
        record_model(store, version, {**given, **fields})
        self.deploy(version, stage)

    def deploy(self, version: str, stage: str = "prod") -> None:
        record = DeploymentRecord.at(
            time.time_ns() // 1_000_000,
            stage=stage,
            model_version=version,
            digest="d" * 64,
            model_key=f"models/{version}/output/model.tar.gz",
            deployed_by="tests",
            reason="a test",
        )
        self.world.store.put(record_key(record), record.model_dump_json().encode())

    def correct(self, image: str, label: str) -> None:
        """A user of the predictor says what it is."""
        from datetime import UTC, datetime

        correction = Correction(
            sha256=image,
            raw_key="raw/x.png",
            labels=(label,),
            by="somebody",
            corrected_at=datetime.now(UTC),
        )
        self.world.store.put(correction_key(correction), correction.to_json())

    # --- the queue ---------------------------------------------------------------------------

    def build(self) -> dict[str, Any]:
        """Materialize the queue; its metadata."""
        done = self.world.run("labelling_queue")
        assert done.success, done.why
        found: dict[str, Any] = done.metadata("labelling_queue")
        return found

    def refused(self) -> str:
        """Why the queue cannot be materialized."""
        done = self.world.run("labelling_queue")
        assert not done.success
        return str(done.why)

    def ledger(self) -> list[str]:
        """What lies under ``queue/`` of batches, by suffix."""
        keys = [info.key for info in self.world.store.list(QUEUE)]
        return [key.rpartition(".")[2] for key in keys if not key.startswith(SHOWN)]

    # --- Label Studio ------------------------------------------------------------------------

    @property
    def studio(self) -> Any:
        return self.world.resource("label_studio")

    def call(self, method: str, path: str, **body: Any) -> Any:
        assert self.server is not None
        with self.server.client() as http:
            answer: httpx.Response = http.request(method, path, json=body or None)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def tasks(self) -> dict[str, Mapping[str, Any]]:
        """All tasks by image, as the server has them; each image once."""
        path = f"/api/tasks/?project={self.project}&fields=all&page_size=1000&resolve_uri=false"
        found = self.call("GET", path)["tasks"]
        named = {task["data"]["sample_id"]: task for task in found}
        assert len(named) == len(found)
        self._ids = {image: task["id"] for image, task in named.items()}
        return named

    def task_id(self, image: str) -> int:
        """The task of an image; the server is asked if it was not seen before."""
        if image not in self._ids:
            self.tasks()
        return self._ids[image]

    def answer(self, image: str, *labels: str, skip: bool = False) -> None:
        """Somebody labels the task of ``image``, and the line hears of it."""
        task = self.task_id(image)
        value = {"choices": [*labels]}
        region = {"from_name": "label", "to_name": "image", "type": "choices", "value": value}
        body = {
            "result": [region] if labels else [],
            "was_cancelled": skip,
            "project": self.project,
        }
        made = self.call("POST", f"/api/tasks/{task}/annotations/", **body)
        self.hear(image, *labels, skip=skip, unique_id=f"{made['id']:012x}")

    def hear(self, image: str, *labels: str, skip: bool = False, unique_id: str = "") -> None:
        """A snapshot as the sensor writes it."""
        from datetime import UTC, datetime

        snapshot = AnnotationSnapshot(
            sha256=image,
            labels=labels,
            annotator="label_studio:ann",
            source="label_studio",
            annotated_at=datetime.now(UTC),
            annotation_id=unique_id,
            unique_id=unique_id or "0" * 12,
            skipped=skip,
        )
        key = f"annotations/label_studio/{image}-{time.time_ns()}.json"
        self.world.store.put(key, snapshot.to_json())
        self.index()

    def look(self) -> None:
        """The line reads in Label Studio what people said."""
        poll(self.studio, self.world.store, PollCursor(), self.world.line.labelling, print)
        self.index()

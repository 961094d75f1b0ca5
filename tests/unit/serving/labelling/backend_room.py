"""A labelling backend in process, on a store in a folder, for the unit tests of its parts."""

import base64
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from PIL import Image

from object_store.store import ObjectStore
from serving.deployments import DeploymentRecord, record_key
from serving.labelling.access import Access, Credentials
from serving.labelling.app import Backend, create_backend_app
from serving.labelling.model import ServedModel
from serving.labelling.predictions import Bounds, Prelabeller
from tests.stores import make_store

SAMPLES = Path(__file__).parents[3] / "label_studio" / "samples"
TOKEN = "0123456789abcdef0123456789abcdef01234567"
BASIC = {"Authorization": "Basic " + base64.b64encode(b"ls:password-1").decode()}
BEARER = {"Authorization": "Bearer feedback-token"}
PAGE = (
    '<View><Image name="image" value="$image"/><Choices name="label" toName="image">'
    '<Choice value="red"/><Choice value="green"/><Choice value="blue"/></Choices></View>'
)


@dataclass
class Room:
    """A store, the backend before it, and what a test puts into the store."""

    folder: Path
    backend: Backend
    client: TestClient
    publish: Callable[..., tuple[str, str]]

    def deploy(self, stage: str, created_ms: int, version: str, **fields: object) -> None:
        digest, key = self.publish(self.folder, version, **fields)
        record = DeploymentRecord.at(
            created_ms, stage=stage, model_version=version, digest=digest, model_key=key,
            deployed_by="me", reason="test",
        )  # fmt: skip
        path = self.folder / record_key(record)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record.model_dump_json())
        self.backend.model.converge()

    def task(self, number: int, colour: str, **data: object) -> dict[str, Any]:
        out = io.BytesIO()
        Image.new("RGB", (20 + number, 16), colour).save(out, "PNG")
        key = f"raw/{number}.png"
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(out.getvalue())
        sha256 = hashlib.sha256(out.getvalue()).hexdigest()
        return {"id": number, "data": {"image": "x", "sample_id": sha256, "uri": key, **data}}

    def predict(self, *tasks: dict[str, Any], sample: str = "single_open_task") -> list[Any]:
        """Replay a captured request with our tasks in place of its own."""
        request = captured(f"predict_{sample}")["body"]
        inside = [{**request["tasks"][0], **task} for task in tasks]
        body = {**request, "tasks": inside, "label_config": PAGE}
        answer = self.client.post("/predict", json=body, headers=BASIC)
        assert answer.status_code == 200, answer.text
        results: list[Any] = answer.json()["results"]
        assert len(results) == len(tasks)
        return results


def captured(what: str) -> dict[str, Any]:
    sample: dict[str, Any] = json.loads((SAMPLES / f"ml_http_{what}.json").read_text())
    return sample


def make_room(
    folder: Path,
    publish: Callable[..., tuple[str, str]],
    *,
    loopback: bool = True,
    bounds: Bounds | None = None,
    store: ObjectStore | None = None,
) -> Room:
    store = store or make_store(folder)
    credentials = Credentials(user="ls", password="password-1", feedback_token="feedback-token")
    backend = Backend(
        store=store,
        project="shop",
        model=ServedModel(store, "shop"),
        access=Access(credentials, loopback=loopback),
        hint_file=folder / "run" / "label-studio.hint",
        label_studio_url="http://127.0.0.1:8080",
    )
    # Not entered: without its lifespan the model changes only when a test says so.
    app = create_backend_app(backend, Prelabeller(store, bounds=bounds))
    return Room(folder, backend, TestClient(app, raise_server_exceptions=False), publish)


def choices(answer: dict[str, Any]) -> list[str]:
    """The labels of a pre-label."""
    (region,) = answer["result"]
    return list(region["value"]["choices"])

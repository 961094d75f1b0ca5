"""The labelling backend as a real Label Studio uses it."""

import hashlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from resources.label_studio.client import LabelStudioClient
from resources.label_studio.types import LabelStudioRefused
from serving.deployments import DeploymentRecord, record_key
from serving.labelling.access import Credentials, ensure_credentials
from tests.label_studio.server import LabelStudioServer
from tests.patience import SOON_S, WAIT_S, wait_for
from tests.ports import free_port
from tests.stores import make_store

pytestmark = pytest.mark.contract

COLOURS = {"red": "red", "green": "lime", "blue": "blue"}


@dataclass
class Backend:
    """The backend as a process, on a store in a folder, and a project that is connected to it."""

    store: Path
    url: str
    hint: Path
    log: Path
    credentials: Credentials
    label_studio: LabelStudioServer
    client: LabelStudioClient
    publish: Callable[..., tuple[str, str]]
    moment: int = 0

    def deploy(self, version: str, **fields: object) -> None:
        """Put a model on production and wait until the backend answers with it."""
        self.moment += 1
        digest, key = self.publish(self.store, version, **fields)
        record = DeploymentRecord.at(
            self.moment, stage="prod", model_version=version, digest=digest, model_key=key,
            deployed_by="tests", reason="",
        )  # fmt: skip
        path = self.store / record_key(record)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record.model_dump_json(), encoding="utf-8")
        wait_for(lambda: self.versions() == [version], self.log.read_text)

    def versions(self) -> list[str]:
        auth = (self.credentials.user, self.credentials.password.get_secret_value())
        answer = httpx.get(f"{self.url}/versions", auth=auth, trust_env=False, timeout=WAIT_S)
        found: list[str] = answer.json()["versions"]
        return found

    def connect(self, title: str) -> None:
        password = self.credentials.password.get_secret_value()
        self.client.integrations.connect_backend(self.url, self.credentials.user, password, title)

    def api(self, method: str, path: str, **arguments: Any) -> Any:
        with self.label_studio.client() as client:
            answer = client.request(method, path, **arguments)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def show(self, version: str) -> None:
        """Let annotators see what the backend, titled like that, says."""
        self.api("PATCH", f"/api/projects/{self.project}", json={"model_version": version})

    @property
    def project(self) -> int:
        assert self.client.project_id is not None
        return self.client.project_id

    def task(self, name: str, colour: str) -> int:
        """A task of one image, in the store and in Label Studio."""
        out = io.BytesIO()
        Image.new("RGB", (32, 24), colour).save(out, "PNG")
        path = self.store / "raw" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(out.getvalue())
        sha256 = hashlib.sha256(out.getvalue()).hexdigest()
        data = {"image": f"/x/{name}.png", "sample_id": sha256, "uri": f"raw/{name}.png"}
        body = [{"data": data}]
        made = self.api(
            "POST", f"/api/projects/{self.project}/import?return_task_ids=true", json=body
        )
        return int(made["task_ids"][0])

    def open(self, task: int) -> list[dict[str, Any]]:
        """Open a task as an annotator's page does; what is shown of predictions."""
        answer = self.api("GET", f"/api/tasks/{task}?project={self.project}")
        shown: list[dict[str, Any]] = answer["predictions"]
        return shown

    def next(self) -> list[dict[str, Any]]:
        """What is shown of predictions with the next task of the label stream."""
        answer = self.api("GET", f"/api/projects/{self.project}/next")
        shown: list[dict[str, Any]] = answer["predictions"]
        return shown


@pytest.fixture
def backend(
    tmp_path: Path,
    label_studio: LabelStudioServer,
    publish_model: Callable[..., tuple[str, str]],
) -> Iterator[Backend]:
    store = tmp_path / "store"
    make_store(store)
    port, hint, log = free_port(), tmp_path / "run" / "hint", tmp_path / "backend.log"
    credentials = ensure_credentials(tmp_path / "backend.json")
    command = [
        *(sys.executable, "-m", "serving.label_studio_backend", "--store-url", store.as_uri()),
        *("--project", "imgclf", "--port", str(port), "--hint-file", str(hint)),
        *("--credentials-file", str(tmp_path / "backend.json")),
    ]
    project = label_studio.project(
        "H6 backend", labels=tuple(COLOURS), show_collab_predictions=True
    )
    resource = LabelStudioClient(url=label_studio.url, token=label_studio.token, project_id=project)
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_up(url, process, log)
        yield Backend(store, url, hint, log, credentials, label_studio, resource, publish_model)
    finally:
        process.terminate()
        process.wait(WAIT_S)
        label_studio.start().delete_project(project)


def wait_until_up(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    def answers() -> bool:
        try:
            httpx.get(f"{url}/ping", trust_env=False, timeout=WAIT_S).raise_for_status()
        except httpx.HTTPError:
            assert process.poll() is None, log.read_text()
            return False
        return True

    wait_for(answers, log.read_text)


def said(prediction: dict[str, Any]) -> tuple[str, list[str]]:
    (region,) = prediction["result"]
    return prediction["model_version"], region["value"]["choices"]


def test_a_task_that_is_opened_shows_what_the_model_says(backend: Backend) -> None:
    backend.deploy("train-1")
    backend.connect("train-1")
    backend.show("train-1")
    (known,) = backend.client.integrations.backends()
    assert (known.connected, known.model_version, known.title) == (True, "train-1", "train-1")
    for name, colour in COLOURS.items():
        (prediction,) = backend.open(backend.task(name, colour))
        assert said(prediction) == ("train-1", [name])
        (region,) = prediction["result"]
        assert set(region["meta"]["probs"]) == set(COLOURS)
        assert prediction["score"] == region["meta"]["confidence"]
    assert backend.label_studio.token not in backend.log.read_text()


def test_a_promotion_reaches_the_annotators(backend: Backend) -> None:
    backend.deploy("train-1")
    backend.connect("train-1")
    backend.show("train-1")
    task = backend.task("red", "red")
    assert [said(one)[0] for one in backend.open(task)] == ["train-1"]
    backend.deploy("train-2", sharpness=3.0)
    backend.client.integrations.retitle_backend("train-2")
    assert [said(one)[0] for one in backend.next()] == ["train-2"]
    (known,) = backend.client.integrations.backends()
    assert (known.title, known.model_version) == ("train-2", "train-2")
    assert backend.client.project.read().model_version == "train-2"


def test_a_wrong_password_does_not_connect(backend: Backend) -> None:
    with pytest.raises(LabelStudioRefused):
        backend.client.integrations.connect_backend(
            backend.url, backend.credentials.user, "wrong", "train-1"
        )


def test_without_a_model_and_with_a_lost_image_a_task_opens_all_the_same(backend: Backend) -> None:
    backend.connect("none")
    backend.show("none")
    red, green = backend.task("red", "red"), backend.task("green", "lime")
    assert backend.open(red) == []
    backend.deploy("train-1")
    (backend.store / "raw" / "green.png").unlink()
    assert backend.open(green) == []
    backend.task("green", "lime")  # the file is back, and a failure was not kept for an answer
    (prediction,) = backend.open(green)
    assert said(prediction) == ("train-1", ["green"])
    assert said(backend.open(red)[0]) == ("train-1", ["red"])


def test_a_store_that_hangs_costs_the_annotator_little(backend: Backend) -> None:
    backend.deploy("train-1")
    backend.connect("train-1")
    backend.show("train-1")
    task = backend.task("red", "red")
    image = backend.store / "raw" / "red.png"
    data = image.read_bytes()
    image.unlink()
    os.mkfifo(image)
    started = time.monotonic()
    assert backend.open(task) == []
    assert time.monotonic() - started < SOON_S
    os.close(os.open(image, os.O_RDWR | os.O_NONBLOCK))
    image.unlink()
    image.write_bytes(data)
    assert said(backend.open(task)[0]) == ("train-1", ["red"])


def test_many_tasks_are_predicted_at_once(backend: Backend) -> None:
    backend.deploy("train-1")
    backend.connect("train-1")
    tasks = [backend.task(name, colour) for name, colour in COLOURS.items()]
    (backend.store / "raw" / "green.png").write_bytes(b"damaged")
    backend.api(
        "POST",
        f"/api/dm/actions?id=retrieve_tasks_predictions&project={backend.project}",
        json={"selectedItems": {"all": True, "excluded": []}},
    )
    found = [
        [said(one) for one in backend.api("GET", f"/api/predictions?task={task}")] for task in tasks
    ]
    assert found == [[("train-1", ["red"])], [], [("train-1", ["blue"])]]


def test_a_save_leaves_a_hint(backend: Backend) -> None:
    backend.client.integrations.connect_webhook(f"{backend.url}/webhook", "a-secret")
    task = backend.task("red", "red")
    assert not backend.hint.exists()
    region = {"from_name": "label", "to_name": "image", "type": "choices",
              "value": {"choices": ["red"]}}  # fmt: skip
    backend.api("POST", f"/api/tasks/{task}/annotations", json={"result": [region]})
    wait_for(backend.hint.exists, backend.log.read_text)

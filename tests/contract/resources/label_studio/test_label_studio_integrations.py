"""A real Label Studio talks to our backend and webhook, and shows images from our storages."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from labelling.label_studio.image_urls import image_url
from resources.label_studio.integrations import SECRET_HEADER
from resources.label_studio.types import LabelStudioRefused
from tests.contract.resources.label_studio.label_studio_project import (
    StudioProject,
    make_studio,
    new_task,
    sha,
)
from tests.label_studio.server import LabelStudioServer
from tests.ports import free_port

pytestmark = pytest.mark.contract

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

GONE = "http://127.0.0.1:9/webhook"
"""Where nobody listens."""


class Listener:
    """Answers as the ML backend's contract says, to those who know the password."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, str]]] = []
        self.password = "one"
        self.version = "train-1"
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                listener.heard.append((self.path, dict(self.headers)))
                known = base64.b64encode(f"label-studio:{listener.password}".encode()).decode()
                good = self.headers.get("Authorization") == f"Basic {known}"
                body = {"status": "UP", "model_version": listener.version}
                self.send_response(200 if good or self.path == "/webhook" else 401)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def count(self, path: str) -> int:
        return sum(known == path for known, _ in self.heard)


@pytest.fixture
def listener() -> Iterator[Listener]:
    running = Listener()
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def studio(label_studio: LabelStudioServer, request: pytest.FixtureRequest) -> StudioProject:
    return make_studio(label_studio, request.node.name)


def test_a_backend_is_connected_once(studio: StudioProject, listener: Listener):
    for _ in range(2):
        studio.client.integrations.connect_backend(listener.url, "label-studio", "one", "train-1")
    (backend,) = studio.client.integrations.backends()
    assert (backend.url, backend.title, backend.connected) == (listener.url, "train-1", True)
    assert backend.model_version == "train-1"
    assert studio.client.project.read().model_version == "train-1"


def test_a_backend_moves_and_changes_its_password(studio: StudioProject, listener: Listener):
    studio.client.integrations.connect_backend(listener.url, "label-studio", "one", "train-1")
    moved = Listener()
    moved.password = "two"
    try:
        studio.client.integrations.connect_backend(moved.url, "label-studio", "two", "train-2")
        (backend,) = studio.client.integrations.backends()
        assert (backend.url, backend.title, backend.connected) == (moved.url, "train-2", True)
        assert hooks_of(studio) == []  # Label Studio's own ones, at neither address
    finally:
        moved.server.shutdown()


def test_a_new_model_changes_the_title_and_keeps_the_password(
    studio: StudioProject, listener: Listener
):
    studio.client.integrations.connect_backend(listener.url, "label-studio", "one", "train-1")
    listener.version = "train-2"
    studio.client.integrations.retitle_backend("train-2")
    (backend,) = studio.client.integrations.backends()
    assert (backend.title, backend.model_version, backend.connected) == ("train-2", "train-2", True)
    assert studio.client.project.read().model_version == "train-2"


def test_a_model_that_the_backend_does_not_serve_is_no_title_for_it(
    studio: StudioProject, listener: Listener
):
    listener.version = ""
    studio.client.integrations.connect_backend(listener.url, "label-studio", "one", "no model yet")
    studio.client.integrations.retitle_backend("train-2")
    assert [backend.title for backend in studio.client.integrations.backends()] == ["no model yet"]


def test_no_backend_to_retitle(studio: StudioProject):
    studio.client.integrations.retitle_backend("train-2")
    assert studio.client.integrations.backends() == []


@pytest.mark.parametrize("wrong", ["password", "address"])
def test_a_backend_that_is_not_reached(studio: StudioProject, listener: Listener, wrong):
    url = listener.url if wrong == "password" else f"http://127.0.0.1:{free_port()}"
    with pytest.raises(LabelStudioRefused, match="authentication|Can't connect") as refused:
        studio.client.integrations.connect_backend(url, "label-studio", "not it", "train-1")
    assert "<a" not in str(refused.value)
    assert "not it" not in str(refused.value)
    assert studio.client.integrations.backends() == []


def hooks_of(studio: StudioProject) -> list[str]:
    return [hook.url for hook in studio.client.integrations.webhooks() if hook.project == studio.id]


def test_a_move_that_was_cut_short_leaves_no_webhook(studio: StudioProject, listener: Listener):
    studio.client.integrations.connect_webhook(GONE, "s")
    studio.post("/api/webhooks/", url=GONE, project=studio.id)
    theirs = studio.post("/api/webhooks/", url=f"{listener.url}/theirs", project=studio.id)
    studio.client.integrations.connect_backend(listener.url, "label-studio", "one", "train-1")
    assert hooks_of(studio) == [GONE, theirs["url"]]
    studio.client.integrations.connect_webhook(f"{listener.url}/webhook", "s")
    assert hooks_of(studio) == [f"{listener.url}/webhook", theirs["url"]]
    assert studio.client.integrations.orphan_webhooks() == []


def test_the_webhook_wakes_us(studio: StudioProject, listener: Listener):
    studio.client.imports.import_missing([new_task(1)])
    url = f"{listener.url}/webhook"
    studio.client.integrations.connect_backend(listener.url, "label-studio", "one", "train-1")
    for secret in ("old", "new"):
        studio.client.integrations.connect_webhook(url, secret)
    (hook,) = [hook for hook in studio.client.integrations.webhooks() if hook.project == studio.id]
    assert (hook.url, hook.is_active) == (url, True)
    assert studio.client.integrations.orphan_webhooks() == []
    studio.annotate(studio.task_id(1))
    (texts,) = [headers for path, headers in listener.heard if path == "/webhook"]
    assert {name.lower(): value for name, value in texts.items()}[SECRET_HEADER.lower()] == "new"


def test_the_webhook_moves(studio: StudioProject, listener: Listener):
    studio.client.integrations.connect_webhook(GONE, "s")
    studio.client.integrations.connect_webhook(f"{listener.url}/webhook", "s")
    assert hooks_of(studio) == [f"{listener.url}/webhook"]


def test_orphans_are_named(
    label_studio: LabelStudioServer, studio: StudioProject, listener: Listener
):
    url = f"{listener.url}/webhook"
    headers = {SECRET_HEADER: "s"}
    old = studio.post("/api/webhooks/", url=f"{url}/old", project=studio.id, headers=headers)
    studio.post("/api/webhooks/", url=url, project=studio.id, headers=headers)
    other = make_studio(label_studio, "somebody else's")
    stray = studio.post("/api/webhooks/", url=url, project=other.id, headers=headers)
    theirs = studio.post("/api/webhooks/", url=f"{url}/theirs", project=other.id, headers=headers)
    unmarked = studio.post("/api/webhooks/", url=url, project=other.id)
    # As Label Studio makes them: of ours, of a backend that is gone, of one that somebody has.
    made = [studio.post("/api/webhooks/", url=at, project=studio.id) for at in (url, GONE)]
    mine = Listener()
    try:
        auth = {"auth_method": "BASIC_AUTH", "basic_auth_user": "label-studio"}
        auth["basic_auth_pass"] = mine.password
        studio.post("/api/ml/", url=mine.url, project=studio.id, title="mine", **auth)
        assert f"{mine.url}/webhook" in hooks_of(studio)
        orphans = {hook.id for hook in studio.client.integrations.orphan_webhooks()}
    finally:
        mine.server.shutdown()
    assert orphans == {old["id"], stray["id"], *(hook["id"] for hook in made)}
    assert not orphans & {theirs["id"], unmarked["id"]}


@pytest.mark.parametrize(
    "key",
    ["raw/a.png", "raw/deep/er/ü 雪.png", "raw/50% off + more & so=on #1?.png", "raw/'q\".png"],
)
def test_an_image_of_the_store_is_shown(studio: StudioProject, key):
    root = studio.server.document_root
    file = root / key
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(PNG)
    for _ in range(2):
        studio.client.storage.ensure_local(root / "raw")
    assert len(studio.get("/api/storages/localfiles", project=str(studio.id))) == 1
    url = image_url(root.as_uri(), key)
    studio.client.imports.import_missing([new_task(1, image=url, uri=key)])
    shown = studio.http.get(studio.by_image()[sha(1)]["data"]["image"])
    assert (shown.status_code, shown.content) == (200, PNG)
    assert len(studio.tasks()) == 1  # no sync made tasks of the files


def test_a_folder_that_is_not_there_yet(studio: StudioProject):
    folder = studio.server.document_root / "not yet"
    studio.client.storage.ensure_local(folder)
    assert folder.is_dir()


def test_a_folder_outside(studio: StudioProject, tmp_path):
    with pytest.raises(LabelStudioRefused, match="must be a subdirectory"):
        studio.client.storage.ensure_local(tmp_path)


def test_urls_of_images():
    assert image_url("s3://b", "raw/ü 1#.png") == "s3://b/raw/ü 1#.png"
    assert image_url("s3://b/p/", "raw/1.png") == "s3://b/p/raw/1.png"
    for key in ("raw/what?.png", "raw/1.png "):
        with pytest.raises(ValueError, match="ingest the image again under another name"):
            image_url("s3://b", key)

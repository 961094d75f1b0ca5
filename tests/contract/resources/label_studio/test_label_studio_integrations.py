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
from tests.contract.resources.label_studio.label_studio_yard import Yard, make_yard, new_task, sha
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
def yard(label_studio: LabelStudioServer, request: pytest.FixtureRequest) -> Yard:
    return make_yard(label_studio, request.node.name)


def test_a_backend_is_connected_once(yard: Yard, listener: Listener):
    for _ in range(2):
        yard.port.integrations.connect_backend(listener.url, "label-studio", "one", "train-1")
    (backend,) = yard.port.integrations.backends()
    assert (backend.url, backend.title, backend.connected) == (listener.url, "train-1", True)
    assert backend.model_version == "train-1"
    assert yard.port.project.read().model_version == "train-1"


def test_a_backend_moves_and_changes_its_password(yard: Yard, listener: Listener):
    yard.port.integrations.connect_backend(listener.url, "label-studio", "one", "train-1")
    moved = Listener()
    moved.password = "two"
    try:
        yard.port.integrations.connect_backend(moved.url, "label-studio", "two", "train-2")
        (backend,) = yard.port.integrations.backends()
        assert (backend.url, backend.title, backend.connected) == (moved.url, "train-2", True)
        assert hooks_of(yard) == []  # Label Studio's own ones, at neither address
    finally:
        moved.server.shutdown()


def test_a_new_model_changes_the_title_and_keeps_the_password(yard: Yard, listener: Listener):
    yard.port.integrations.connect_backend(listener.url, "label-studio", "one", "train-1")
    listener.version = "train-2"
    yard.port.integrations.retitle_backend("train-2")
    (backend,) = yard.port.integrations.backends()
    assert (backend.title, backend.model_version, backend.connected) == ("train-2", "train-2", True)
    assert yard.port.project.read().model_version == "train-2"


def test_a_model_that_the_backend_does_not_serve_is_no_title_for_it(yard: Yard, listener: Listener):
    listener.version = ""
    yard.port.integrations.connect_backend(listener.url, "label-studio", "one", "no model yet")
    yard.port.integrations.retitle_backend("train-2")
    assert [backend.title for backend in yard.port.integrations.backends()] == ["no model yet"]


def test_no_backend_to_retitle(yard: Yard):
    yard.port.integrations.retitle_backend("train-2")
    assert yard.port.integrations.backends() == []


@pytest.mark.parametrize("wrong", ["password", "address"])
def test_a_backend_that_is_not_reached(yard: Yard, listener: Listener, wrong):
    url = listener.url if wrong == "password" else f"http://127.0.0.1:{free_port()}"
    with pytest.raises(LabelStudioRefused, match="authentication|Can't connect") as refused:
        yard.port.integrations.connect_backend(url, "label-studio", "not it", "train-1")
    assert "<a" not in str(refused.value)
    assert "not it" not in str(refused.value)
    assert yard.port.integrations.backends() == []


def hooks_of(yard: Yard) -> list[str]:
    return [hook.url for hook in yard.port.integrations.webhooks() if hook.project == yard.id]


def test_a_move_that_was_cut_short_leaves_no_webhook(yard: Yard, listener: Listener):
    yard.port.integrations.connect_webhook(GONE, "s")
    yard.post("/api/webhooks/", url=GONE, project=yard.id)
    theirs = yard.post("/api/webhooks/", url=f"{listener.url}/theirs", project=yard.id)
    yard.port.integrations.connect_backend(listener.url, "label-studio", "one", "train-1")
    assert hooks_of(yard) == [GONE, theirs["url"]]
    yard.port.integrations.connect_webhook(f"{listener.url}/webhook", "s")
    assert hooks_of(yard) == [f"{listener.url}/webhook", theirs["url"]]
    assert yard.port.integrations.orphan_webhooks() == []


def test_the_webhook_wakes_us(yard: Yard, listener: Listener):
    yard.port.imports.import_missing([new_task(1)])
    url = f"{listener.url}/webhook"
    yard.port.integrations.connect_backend(listener.url, "label-studio", "one", "train-1")
    for secret in ("old", "new"):
        yard.port.integrations.connect_webhook(url, secret)
    (hook,) = [hook for hook in yard.port.integrations.webhooks() if hook.project == yard.id]
    assert (hook.url, hook.is_active) == (url, True)
    assert yard.port.integrations.orphan_webhooks() == []
    yard.annotate(yard.task_id(1))
    (told,) = [headers for path, headers in listener.heard if path == "/webhook"]
    assert {name.lower(): value for name, value in told.items()}[SECRET_HEADER.lower()] == "new"


def test_the_webhook_moves(yard: Yard, listener: Listener):
    yard.port.integrations.connect_webhook(GONE, "s")
    yard.port.integrations.connect_webhook(f"{listener.url}/webhook", "s")
    assert hooks_of(yard) == [f"{listener.url}/webhook"]


def test_orphans_are_named(label_studio: LabelStudioServer, yard: Yard, listener: Listener):
    url = f"{listener.url}/webhook"
    headers = {SECRET_HEADER: "s"}
    old = yard.post("/api/webhooks/", url=f"{url}/old", project=yard.id, headers=headers)
    yard.post("/api/webhooks/", url=url, project=yard.id, headers=headers)
    other = make_yard(label_studio, "somebody else's")
    stray = yard.post("/api/webhooks/", url=url, project=other.id, headers=headers)
    theirs = yard.post("/api/webhooks/", url=f"{url}/theirs", project=other.id, headers=headers)
    unmarked = yard.post("/api/webhooks/", url=url, project=other.id)
    # As Label Studio makes them: of ours, of a backend that is gone, of one that somebody has.
    made = [yard.post("/api/webhooks/", url=at, project=yard.id) for at in (url, GONE)]
    mine = Listener()
    try:
        auth = {"auth_method": "BASIC_AUTH", "basic_auth_user": "label-studio"}
        auth["basic_auth_pass"] = mine.password
        yard.post("/api/ml/", url=mine.url, project=yard.id, title="mine", **auth)
        assert f"{mine.url}/webhook" in hooks_of(yard)
        orphans = {hook.id for hook in yard.port.integrations.orphan_webhooks()}
    finally:
        mine.server.shutdown()
    assert orphans == {old["id"], stray["id"], *(hook["id"] for hook in made)}
    assert not orphans & {theirs["id"], unmarked["id"]}


@pytest.mark.parametrize(
    "key",
    ["raw/a.png", "raw/deep/er/ü 雪.png", "raw/50% off + more & so=on #1?.png", "raw/'q\".png"],
)
def test_an_image_of_the_store_is_shown(yard: Yard, key):
    root = yard.server.document_root
    file = root / key
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(PNG)
    for _ in range(2):
        yard.port.storage.ensure_local(root / "raw")
    assert len(yard.get("/api/storages/localfiles", project=str(yard.id))) == 1
    url = image_url(root.as_uri(), key)
    yard.port.imports.import_missing([new_task(1, image=url, uri=key)])
    shown = yard.client.get(yard.by_image()[sha(1)]["data"]["image"])
    assert (shown.status_code, shown.content) == (200, PNG)
    assert len(yard.tasks()) == 1  # no sync made tasks of the files


def test_a_folder_that_is_not_there_yet(yard: Yard):
    folder = yard.server.document_root / "not yet"
    yard.port.storage.ensure_local(folder)
    assert folder.is_dir()


def test_a_folder_outside(yard: Yard, tmp_path):
    with pytest.raises(LabelStudioRefused, match="must be a subdirectory"):
        yard.port.storage.ensure_local(tmp_path)


def test_urls_of_images():
    assert image_url("s3://b", "raw/ü 1#.png") == "s3://b/raw/ü 1#.png"
    assert image_url("s3://b/p/", "raw/1.png") == "s3://b/p/raw/1.png"
    for key in ("raw/what?.png", "raw/1.png "):
        with pytest.raises(ValueError, match="ingest the image again under another name"):
            image_url("s3://b", key)

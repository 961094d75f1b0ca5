"""Who may ask the labelling backend what; its webhook, its report, its credentials."""

import base64
import json
import logging
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from object_store.errors import StoreUnavailable
from object_store.store import ObjectStore
from serving.labelling.access import (
    CredentialsUnusable,
    ensure_credentials,
    is_loopback,
    read_credentials,
)
from tests.unit.serving.labelling.backend_room import (
    BASIC,
    BEARER,
    TOKEN,
    Room,
    captured,
    make_room,
)

pytestmark = pytest.mark.unit


@pytest.fixture
def room(tmp_path: Path, publish_model: Callable[..., tuple[str, str]]) -> Room:
    return make_room(tmp_path, publish_model)


@pytest.mark.parametrize("sample", ["webhook_ANNOTATION_CREATED", "webhook_START_TRAINING"])
def test_a_webhook_leaves_a_hint_and_nothing_else(room: Room, sample: str) -> None:
    hint = room.folder / "run" / "label-studio.hint"
    before = time.time()
    event = captured(sample)
    for _ in range(2):  # doubled ones do no harm
        assert room.client.post(event["path"], json=event["body"]).status_code == 200
    assert hint.stat().st_mtime >= before - 1
    assert hint.read_bytes() == b""
    hint.unlink()
    hint.parent.rmdir()
    hint.parent.write_bytes(b"")  # it cannot be left: no reason to bother Label Studio
    assert room.client.post(event["path"], json=event["body"]).status_code == 200


def test_no_log_line_holds_the_token_that_setup_brings(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    setup = captured("setup_on_create_validate")
    assert setup["body"]["access_token"] == TOKEN
    with caplog.at_level(logging.DEBUG):
        room.client.post("/setup", json=setup["body"], headers=BASIC)
        room.client.post("/setup", json=setup["body"])
        room.client.post("/predict", json=setup["body"], headers=BASIC)
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    "authorization",
    ["", "Basic", "Basic !!", "Basic " + base64.b64encode(b"ls:other").decode(),
     "Basic " + base64.b64encode(b"feedback-token").decode(), "Bearer password-1"],
)  # fmt: skip
def test_who_does_not_know_the_password_gets_nothing(room: Room, authorization: str) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    calls = [("GET", "/health"), ("POST", "/setup"), ("POST", "/predict"), ("GET", "/versions"),
             ("GET", "/corrections/labels"), ("POST", "/corrections")]  # fmt: skip
    for method, path in calls:
        answer = room.client.request(method, path, headers=headers)
        assert (answer.status_code, path) == (401, path)
        assert "wrong or missing" in answer.json()["error"]["message"]


def test_the_two_secrets_open_each_its_own_door(room: Room) -> None:
    assert room.client.get("/health", headers=BEARER).status_code == 401
    assert room.client.get("/corrections/labels", headers=BASIC).status_code == 401
    assert room.client.get("/corrections/labels", headers=BEARER).status_code == 503


def test_off_loopback_everything_asks_for_a_password(
    tmp_path: Path, publish_model: Callable[..., tuple[str, str]]
) -> None:
    client = make_room(tmp_path, publish_model, loopback=False).client
    page = client.get("/")
    assert page.status_code == 401
    assert page.headers["WWW-Authenticate"].startswith("Basic")
    assert client.post("/webhook", json={}).status_code == 401
    assert client.get("/", headers=BASIC).status_code == 200
    assert client.get("/", headers=BEARER).status_code == 401
    for headers in (BASIC, BEARER, {"X-Webhook-Secret": "feedback-token"}):
        assert client.post("/webhook", json={}, headers=headers).status_code == 200
    wrong = {"X-Webhook-Secret": "password-1"}
    assert client.post("/webhook", json={}, headers=wrong).status_code == 401


def test_the_newest_report_is_the_page(room: Room) -> None:
    page = room.client.get("/")
    assert page.status_code == 200
    assert "labelling_report" in page.text
    assert "http://127.0.0.1:8080" in page.text
    folder = room.folder / "reports" / "labelling"
    folder.mkdir(parents=True)
    for moment, text in ((1, "old"), (3, "newest"), (2, "older")):
        (folder / f"{moment:013d}.html").write_text(f"<h1>{text}</h1>")
        (folder / f"{moment + 5:013d}.json").write_text("{}")
    page = room.client.get("/")
    assert page.text == "<h1>newest</h1>"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert room.client.get("/").text == "<h1>newest</h1>"
    (folder / f"{9:013d}.html").write_text("<h1>next</h1>")
    assert room.client.get("/").text == "<h1>next</h1>"


def test_a_report_that_cannot_be_read_is_reported(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object, **__: object) -> None:
        raise StoreUnavailable("the network is <down>")

    monkeypatch.setattr(ObjectStore, "list", silent)
    page = room.client.get("/")
    assert page.status_code == 503
    assert "the network is &lt;down&gt;" in page.text


def test_credentials_are_made_once_and_are_nobody_elses_to_read(tmp_path: Path) -> None:
    path = tmp_path / "label-studio" / "backend.json"
    made = ensure_credentials(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ensure_credentials(path) == read_credentials(path) == made
    assert [file.name for file in path.parent.iterdir()] == ["backend.json"]
    assert made.password.get_secret_value() not in repr(made)
    assert len(made.feedback_token.get_secret_value()) > 20


def test_credentials_that_are_none_are_said_without_showing_them(tmp_path: Path) -> None:
    path = tmp_path / "backend.json"
    with pytest.raises(CredentialsUnusable, match=r"backend\.json cannot be read: No such file"):
        read_credentials(path)
    path.write_text(json.dumps({"user": "a:b", "password": "long-secret", "token": "x"}))
    with pytest.raises(CredentialsUnusable, match="chmod 600"):
        read_credentials(path)
    path.chmod(0o600)
    with pytest.raises(CredentialsUnusable, match="feedback_token, token, user") as raised:
        read_credentials(path)
    assert "long-secret" not in str(raised.value)


@pytest.mark.parametrize(("host", "loopback"), [("127.0.0.1", True), ("::1", True),
    ("localhost", True), ("0.0.0.0", False), ("10.1.2.3", False), ("example.org", False)])  # fmt: skip
def test_loopback_is_known(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback

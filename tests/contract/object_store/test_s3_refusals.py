"""A bucket that refuses: what is told, and as whom the store asks."""

import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from object_store import s3_access
from object_store.errors import KeyMissing, StoreError, StoreMissing, StoreUnwritable
from object_store.rows import MARKER
from object_store.store import ObjectStore

pytestmark = pytest.mark.contract

ACTS: dict[str, Callable[[ObjectStore], Any]] = {
    "get": lambda store: store.get("a"),
    "head": lambda store: store.head("a"),
    "list": lambda store: store.list(""),
    "put": lambda store: store.put("new", b"1"),
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tries of every request."""
    monkeypatch.setattr(s3_access, "MAX_ATTEMPTS", 2)


class Refusing(ThreadingHTTPServer):
    """Answers everything with ``answer``: status, body, headers. Remembers what it was sent."""

    daemon_threads = True
    answer: tuple[int, bytes] = (200, b"")
    by_path: dict[str, bytes]
    seen: list[tuple[str, str, dict[str, str]]]


class _Handler(BaseHTTPRequestHandler):
    server: Refusing

    def _do(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(self.path)
        self.server.seen.append((self.command, path, dict(self.headers.items())))
        status, body = self.server.answer
        if path in self.server.by_path:
            status, body = 200, self.server.by_path[path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/xml")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _do

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Refusing]:
    for variable in [key for key in os.environ if key.startswith("AWS_")]:
        monkeypatch.delenv(variable)
    server = Refusing(("127.0.0.1", 0), _Handler)
    server.seen, server.by_path = [], {}
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    yield server
    server.shutdown()


@pytest.fixture
def keyed(refusing: Refusing, monkeypatch: pytest.MonkeyPatch) -> Refusing:
    """With credentials."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTING")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return refusing


REFUSALS = {
    "AccessDenied": (403, "", "{permission} on it"),
    "ExpiredToken": (400, "", "sign in again"),
    "InvalidAccessKeyId": (403, "", "credentials are wrong"),
    "RequestTimeTooSkewed": (403, "", "clock is wrong"),
    "AuthorizationHeaderMalformed": (400, "<Region>eu-central-1</Region>", "in eu-central-1"),
    "PermanentRedirect": (301, "", "another region: set aws.region"),
    "NoSuchBucket": (404, "", "no such bucket"),
    "KMS.DisabledException": (400, "", "KMS key"),
}
ELSEWHERE = ("AuthorizationHeaderMalformed", "PermanentRedirect")
PERMISSIONS = {"get": "s3:GetObject", "head": "s3:GetObject", "list": "s3:ListBucket"}


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (act, code)
        for act in ("get", "head", "list", "put")
        for code in REFUSALS
        if (act, code) != ("head", "NoSuchBucket")  # the answer to a HEAD has no code
        and (act != "list" or code not in ELSEWHERE)  # boto3 goes to the right region itself
    ],
)
def test_a_refusal_is_reported_with_key_and_remedy(keyed: Refusing, act: str, code: str) -> None:
    status, more, remedy = REFUSALS[code]
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>Words.</Message>{more}</Error>"
    keyed.answer = (status, body.encode())
    store = ObjectStore(url="s3://bucket/line")
    with pytest.raises(StoreError) as caught:
        ACTS[act](store)
    text = str(caught.value)
    assert remedy.format(permission=PERMISSIONS.get(act, "s3:PutObject")) in text
    assert text.startswith("s3://bucket/line")
    assert "\n" not in text
    missing, unwritable = code == "NoSuchBucket", code in ("AccessDenied", "KMS.DisabledException")
    assert isinstance(caught.value, StoreMissing) == missing
    assert isinstance(caught.value, StoreUnwritable) == (act == "put" and unwritable)
    assert not isinstance(caught.value, KeyMissing)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_not_there_is_reported(
    keyed: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for act in ("get", "list"):
        with pytest.raises(StoreError, match="no answer.*AWS_ENDPOINT_URL"):
            ACTS[act](ObjectStore(url="s3://bucket"))


# --- who asks -------------------------------------------------------------------------------

LISTING = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


def askers(server: Refusing) -> set[tuple[str, str]]:
    """Access keys and tokens of the requests that were signed."""
    return {
        (headers["authorization"].split("Credential=")[1].split("/")[0], headers.get("token", ""))
        for headers in (
            {key.lower().removeprefix("x-amz-security-"): text for key, text in sent.items()}
            for _, _, sent in server.seen
        )
        if "Credential=" in headers.get("authorization", "")
    }


def ask(server: Refusing, **fields: Any) -> None:
    """Through obstore and through boto3."""
    server.answer = (200, LISTING)
    store = ObjectStore(url="s3://bucket", **fields)
    store.get(MARKER)
    store.list("raw")


def test_variables_with_a_session_token(keyed: Refusing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-token")
    ask(keyed)
    assert askers(keyed) == {("AKIATESTING", "a-token")}


def test_a_service_endpoint_goes_before_the_general_one(
    keyed: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    ask(keyed)
    assert askers(keyed) == {("AKIATESTING", "")}


@pytest.mark.parametrize("named_by", ["field", "AWS_PROFILE"])
def test_a_profile_with_its_region(
    refusing: Refusing, monkeypatch: pytest.MonkeyPatch, named_by: str
) -> None:
    config = Path(os.environ["AWS_CONFIG_FILE"])
    config.write_text(
        "[profile work]\nregion = eu-central-1\naws_access_key_id = AKIAWORK\n"
        "aws_secret_access_key = s\naws_session_token = t\n"
    )
    if named_by == "field":  # goes before the variables
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOTHER")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
        ask(refusing, profile_name="work")
    else:
        monkeypatch.setenv("AWS_PROFILE", "work")
        ask(refusing)
    assert askers(refusing) == {("AKIAWORK", "t")}
    assert all(
        "eu-central-1" in sent["Authorization" if "Authorization" in sent else "authorization"]
        for _, _, sent in refusing.seen
    )


def test_the_role_of_a_container(refusing: Refusing, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing.by_path["/credentials"] = (
        b'{"AccessKeyId": "AKIAROLE", "SecretAccessKey": "s", "Token": "t",'
        b' "Expiration": "2099-01-01T00:00:00Z"}'
    )
    address = f"http://127.0.0.1:{refusing.server_port}/credentials"
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", address)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    ask(refusing)
    assert askers(refusing) == {("AKIAROLE", "t")}


def test_nobody_is_told_to_sign_in(refusing: Refusing) -> None:
    for fields in ({}, {"profile_name": "no-such"}):
        with pytest.raises(StoreError, match="no AWS credentials: sign in"):
            ask(refusing, **fields)
    assert refusing.seen == []

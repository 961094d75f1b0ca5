"""Patience, tokens and errors of the connection to Label Studio, without a server."""

import base64
import json
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from resources.label_studio import imports
from resources.label_studio.client import LabelStudioClient
from resources.label_studio.session import is_personal, open_session, token_expiry
from resources.label_studio.types import (
    ImportResult,
    LabelStudioDown,
    LabelStudioRefused,
    NewTask,
    ProjectMissing,
    TokenRefused,
)

pytestmark = pytest.mark.unit

URL = "http://label-studio.test"
LEGACY = "0123456789abcdef0123456789abcdef01234567"
PAGE = (
    '<View><Image name="image" value="$image"/><Choices name="label" toName="image">'
    '<Choice value="cat"/></Choices></View>'
)
Handler = Callable[[httpx.Request], httpx.Response]


def jwt(**claims: float) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'HS256'})}.{part(claims)}.c2ln"


@pytest.fixture
def serve(monkeypatch) -> Iterator[Callable[[Handler], None]]:
    """Let a function answer instead of a server; waits are noted in ``serve.waits``."""
    waits: list[float] = []

    def install(handler: Handler) -> None:
        monkeypatch.setattr(httpx, "HTTPTransport", lambda **_: httpx.MockTransport(handler))

    monkeypatch.setattr("resources.label_studio.session.time.sleep", waits.append)
    install.waits = waits
    open_session.cache_clear()
    yield install
    open_session.cache_clear()


def answers(*codes: int | Exception, headers: dict[str, str] | None = None) -> Handler:
    """One after the other; the last for ever."""
    left = list(codes)

    def handler(request: httpx.Request) -> httpx.Response:
        code = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(code, Exception):
            raise code
        return httpx.Response(code, json={"detail": f"said {code}"}, headers=headers)

    return handler


def test_what_may_be_repeated_is(serve):
    serve(answers(500, 502, 200))
    assert open_session(URL, LEGACY).get("/api/x").status_code == 200
    assert serve.waits == [0.5, 1.0]


@pytest.mark.parametrize(
    "error", [httpx.ReadError("reset"), httpx.RemoteProtocolError("gone"), 500]
)
def test_a_post_that_may_have_worked_is_not_repeated(serve, error):
    serve(answers(error, 200))
    with pytest.raises(LabelStudioDown, match=URL):
        open_session(URL, LEGACY).post("/api/x", json={})
    assert serve.waits == []


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("refused"), httpx.ConnectTimeout("slow"), 429]
)
def test_a_post_that_cannot_have_worked_is_repeated(serve, error):
    serve(answers(error, 200))
    assert open_session(URL, LEGACY).post("/api/x", json={}).status_code == 200


def test_a_post_that_changes_nothing_is_repeated(serve):
    serve(answers(httpx.ReadError("reset"), 200))
    session = open_session(URL, LEGACY)
    assert session.post("/x", json={}, extensions={"idempotent": True}).status_code == 200


def test_what_is_too_slow_is_not_asked_twice(serve):
    serve(answers(httpx.ReadTimeout("slow")))
    with pytest.raises(LabelStudioDown, match="GET /api/x within 30 s"):
        open_session(URL, LEGACY).get("/api/x")
    assert serve.waits == []


def test_it_waits_as_long_as_it_is_told_but_no_tick_long(serve):
    serve(answers(429, 429, 200, headers={"retry-after": "3600"}))
    open_session(URL, LEGACY).get("/api/x")
    assert serve.waits == [10.0, 10.0]


def test_patience_ends(serve):
    serve(answers(503))
    with pytest.raises(LabelStudioDown, match="503 .said 503") as down:
        open_session(URL, LEGACY).get("/api/x")
    assert down.value.status == 503
    assert sum(serve.waits) < 60  # a sensor's tick


@pytest.mark.parametrize(
    ("code", "kind"), [(400, LabelStudioRefused), (401, TokenRefused), (404, LabelStudioRefused)]
)
def test_what_is_wrong_is_reported_at_once(serve, code, kind):
    serve(answers(code))
    with pytest.raises(kind, match=f"{URL}.*said {code}") as error:
        open_session(URL, LEGACY).delete("/api/x")
    assert error.value.status == code
    assert serve.waits == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b'{"validation_errors": {"url": ["is <a href=x>blocked</a>"]}}',
            '{"url": ["is blocked"]}',
        ),
        (b"<html>nginx</html>", "Bad Request"),
        (b'["one", "two"]', '["one", "two"]'),
    ],
)
def test_reasons_of_any_kind(serve, body, expected):
    serve(lambda _: httpx.Response(400, content=body))
    with pytest.raises(LabelStudioRefused) as refused:
        open_session(URL, LEGACY).get("/api/x")
    assert str(refused.value).endswith(expected)


def test_kinds_of_token():
    assert is_personal(jwt(exp=1.0))
    assert not is_personal(LEGACY)
    assert token_expiry(jwt(exp=0.0)).year == 1970
    assert [token_expiry(text) for text in ("", LEGACY, "a.b.c", jwt())] == [None] * 4


def test_an_access_token_is_kept_until_it_ends(serve):
    personal, given = jwt(exp=9e9), []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/token/refresh/":
            assert json.loads(request.content) == {"refresh": personal}
            assert "authorization" not in request.headers
            lives = 20 if not given else 300
            given.append(jwt(exp=time.time() + lives))
            return httpx.Response(200, json={"access": given[-1]})
        assert request.headers["authorization"] == f"Bearer {given[-1]}"
        return httpx.Response(200, json={})

    serve(handler)
    for _ in range(3):
        open_session(URL, personal).get("/api/x")
    assert len(given) == 2  # the first is about to end; the second lasts


def test_a_personal_token_that_has_ended(serve):
    serve(answers(401))
    with pytest.raises(TokenRefused, match="take a new one"):
        open_session(URL, jwt(exp=1.0)).get("/api/x")


def test_an_import_that_is_only_promised_is_waited_for(serve, monkeypatch):
    """As the Enterprise edition does: sending it again would double it."""
    asked, sent = [], []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            sent.extend(json.loads(request.content))
            return httpx.Response(201, json={"import": 7})
        if request.url.path == "/api/tasks/":
            asked.append(request)
            rows = (
                [{"id": 1, "is_labeled": False, **task} for task in sent] if len(asked) > 3 else []
            )
            return httpx.Response(200, json={"tasks": rows})
        return httpx.Response(200, json={"label_config": PAGE})

    serve(handler)
    monkeypatch.setattr(imports, "ASYNC_POLL_S", 0.0)
    port = LabelStudioClient(url=URL, token=LEGACY, project_id=3)
    task = NewTask("a" * 64, "x", "x", "x", "b")
    assert port.imports.import_missing([task]) == ImportResult(new=1, known=0)
    assert len(sent) == 1


def test_without_an_export_changes_are_told_all_the_same(serve):
    row = {"id": 1, "updated_at": "2026-11-24T00:00:00Z", "annotations": [{"id": 5}]}

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/export"):
            return httpx.Response(404, json={"detail": "use the other export"})
        return httpx.Response(200, json={"tasks": [row]})

    serve(handler)
    port = LabelStudioClient(url=URL, token=LEGACY, project_id=3)
    assert list(port.tasks.changed_since(None, limit=5)) == [row]


def test_a_project_out_of_sight(serve):
    serve(answers(403))
    with pytest.raises(ProjectMissing, match="project 3"):
        LabelStudioClient(url=URL, token=LEGACY, project_id=3).tasks.list_refs()


def test_urls_stay_short_enough_for_proxies(serve):
    lengths = []

    def handler(request: httpx.Request) -> httpx.Response:
        lengths.append(len(str(request.url)))
        return httpx.Response(200, json={"tasks": []})

    serve(handler)
    tasks = LabelStudioClient(url=URL, token=LEGACY, project_id=123456).tasks
    hashes = [f"{number:064x}" for number in range(350)]
    assert list(tasks.find(hashes)) == []
    ids = range(10**9, 10**9 + 700)
    assert list(tasks.with_ids(ids)) == []
    assert len(lengths) == 6
    assert max(lengths) < 8_000

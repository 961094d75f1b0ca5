"""The predictor bounds what is sent to it beside uploads."""

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ui.bodies import MAX_BYTES, BodyBound

pytestmark = pytest.mark.unit


async def _size(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture
def client() -> TestClient:
    routes = [Route(path, _size, methods=["GET", "POST"]) for path in ("/x", "/gradio_api/upload")]
    return TestClient(BodyBound(Starlette(routes=routes)))


def _chunks(size: int) -> Iterator[bytes]:
    for _ in range(0, size, 65536):
        yield bytes(65536)


def test_a_small_body_arrives_whole(client: TestClient) -> None:
    assert client.get("/x").text == "0"
    assert client.post("/x", content=b"abc").text == "3"
    assert client.post("/x", content=_chunks(MAX_BYTES)).text == str(MAX_BYTES)


def test_a_big_body_is_refused_whether_it_says_its_size_or_not(client: TestClient) -> None:
    for content in (bytes(MAX_BYTES + 1), _chunks(MAX_BYTES + 65536)):
        answer = client.post("/x", content=content)
        assert answer.status_code == 413
        assert "more than 4 MB" in answer.text


def test_an_upload_passes(client: TestClient) -> None:
    answer = client.post("/gradio_api/upload", content=bytes(MAX_BYTES + 1))
    assert answer.text == str(MAX_BYTES + 1)

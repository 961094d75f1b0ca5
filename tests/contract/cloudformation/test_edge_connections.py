"""The edge's handler over connections that die, stall, or were dead all along."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cloudformation.edge import handler as edge
from tests.patience import FOREVER_S, WAIT_S
from tests.testbed.edge_events import PNG, REQUEST_ID, Context, event
from tests.testbed.ministack import KEY_ID, REGION, SECRET

pytestmark = pytest.mark.contract


class OddRuntime(ThreadingHTTPServer):
    """SageMaker Runtime on a bad day: for each request, seconds to wait, or None to hang up."""

    daemon_threads = True

    def __init__(self, *moods: float | None) -> None:
        super().__init__(("127.0.0.1", 0), _OddAnswer)
        self.moods = list(moods)
        self.asked: list[dict[str, str]] = []
        self.over = threading.Event()

    def handle_error(self, *_: object) -> None:
        """The client has given up waiting, as it should."""


class _OddAnswer(BaseHTTPRequestHandler):
    server: OddRuntime
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append(dict(self.headers.items()))
        mood = self.server.moods.pop(0)
        if mood is None:
            self.close_connection = True
            return
        self.server.over.wait(mood)
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def odd_day(monkeypatch: pytest.MonkeyPatch, *moods: float | None) -> Iterator[OddRuntime]:
    """The handler in this process, before a runtime on a bad day."""
    with OddRuntime(*moods) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        for name, value in {
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
            "ENDPOINT_NAME": "shop-prod",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(edge, "READ_S", 0.5 if FOREVER_S in moods else WAIT_S)
        edge.runtime.cache_clear()
        try:
            yield server
        finally:
            edge.runtime.cache_clear()
            server.over.set()
            server.shutdown()


@pytest.mark.parametrize(
    ("moods", "status", "tries"),
    [((0,), 200, 1), ((None, 0), 200, 2), ((None, None), 503, 2), ((FOREVER_S,), 504, 1)],
)
def test_a_connection_that_dies_or_stalls(
    monkeypatch: pytest.MonkeyPatch, moods: tuple[float | None, ...], status: int, tries: int
) -> None:
    with odd_day(monkeypatch, *moods) as server:
        answer = edge.handler(event(PNG, "image/png"), Context())
        assert answer["statusCode"] == status
        assert [asked["X-Amzn-SageMaker-Inference-Id"] for asked in server.asked] == [
            REQUEST_ID
        ] * tries

"""An endpoint host under clients that send slowly, endlessly, nonsense, or go away."""

import contextlib
import io
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from PIL import Image

import serving.endpoint.inference
from guard.connections import BoundedProtocol, connection_limit
from serving.deployments import DeploymentRecord, record_key
from serving.endpoint.app import create_app
from serving.endpoint.host import EndpointHost
from serving.endpoint.listening import listen, server_config
from serving.limits.limits import ServingLimits
from tests.patience import WAIT_S, wait_for
from tests.stores import make_store

pytestmark = pytest.mark.contract

PROD = "/endpoints/shop-prod/invocations"
PNG = {"content-type": "image/png"}


def picture(colour: str = "lime") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


def head(length: int | None = 1000, **headers: str) -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return (
        f"POST {PROD} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n{framing}\r\n"
        f"{more}\r\n"
    ).encode()


class Server:
    """A server in a thread of its own, and what a client does to it."""

    def __init__(self, host: EndpointHost, limits: ServingLimits, max_pending: int) -> None:
        self.listener = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        app = create_app(host, workers=1, max_pending=max_pending, limits=limits)
        self._server = uvicorn.Server(server_config(app))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self.listener]}, daemon=True
        )
        self._sockets: list[socket.socket] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        for one in self._sockets:
            one.close()
        self._server.should_exit = True
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def send(self, data: bytes) -> socket.socket:
        """A connection of its own that has sent ``data``."""
        connection = socket.create_connection(self.listener.getsockname(), timeout=WAIT_S)
        self._sockets.append(connection)
        connection.sendall(data)
        return connection

    def answers(self) -> bool:
        """Whether a good request gets its answer."""
        answer = httpx.post(
            self.url + PROD, content=picture(), headers=PNG, timeout=WAIT_S, trust_env=False
        )
        return answer.status_code == 200

    def connections(self) -> int:
        return len(self._server.server_state.connections)


def received_it(connection: socket.socket) -> bytes:
    """All that the server says until it closes the connection."""
    answer = bytearray()
    with contextlib.suppress(ConnectionError):
        while received := connection.recv(65536):
            answer += received
    return bytes(answer)


@pytest.fixture
def host(tmp_path: Path, publish_model: Callable[..., tuple[str, str]]) -> EndpointHost:
    digest, key = publish_model(tmp_path, "train-1")
    record = DeploymentRecord.at(
        1, stage="prod", model_version="train-1", digest=digest, model_key=key, deployed_by="me",
        reason="test",
    )  # fmt: skip
    path = tmp_path / record_key(record)
    path.parent.mkdir(parents=True)
    path.write_text(record.model_dump_json())
    host = EndpointHost(make_store(tmp_path), "shop")
    host.converge()
    return host


@pytest.fixture
def serve(host: EndpointHost) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(max_pending: int = 64, **limits: Any) -> Server:
        server = Server(host, ServingLimits(**limits), max_pending)
        servers.append(server)
        server.start()
        assert server.answers()
        return server

    yield start
    for server in servers:
        server.stop()


def test_clients_that_send_a_byte_of_a_body_hold_no_place(serve: Callable[..., Server]) -> None:
    server = serve(max_pending=1)
    slow = [server.send(head() + b"x") for _ in range(64)]
    assert server.answers()
    assert len(slow) == 64


def test_a_body_that_does_not_come_is_reported_and_closed(serve: Callable[..., Server]) -> None:
    server = serve(body_s=0.2)
    answer = received_it(server.send(head() + b"x"))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer
    assert server.answers()


def test_a_head_that_does_not_come_is_closed(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_s", 0.2)
    server = serve()
    for beginning in (b"", b"POST", head()[:-2], b"\r\n\r\n"):
        answer = received_it(server.send(beginning))
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code": "request_timeout"' in answer
    # Behind an answered request, too: here the rest of its body never comes.
    rest = received_it(server.send(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\nGET /pi"))
    assert rest.count(b"HTTP/1.1 ") == 2
    assert rest.count(b"HTTP/1.1 408 ") == 1
    assert server.answers()


@pytest.mark.parametrize(
    "beginning",
    [
        f"POST {PROD} HTTP/1.1\r\nHost: x\r\nA: ".encode(),
        b"GET /",
        head(None) + b"1\r\nx\r\n0\r\nA: ",
        head(None) + b"1\r\nx\r\n0\r\nA: b\r\nC: ",
        head(None) + b"1;",
    ],
    ids=["header", "path", "trailer", "second-trailer", "chunk-extension"],
)
def test_what_is_neither_head_nor_body_does_not_go_on_for_ever(
    serve: Callable[..., Server], beginning: bytes
) -> None:
    server = serve()
    connection = server.send(beginning)
    chunks = 0
    with contextlib.suppress(OSError):  # whichever way the system says that it is closed
        while chunks < 4000:
            connection.sendall(b"a" * 65536)
            chunks += 1
    assert chunks < 1000, "what is in the buffers of the two sockets may be some megabytes"
    assert server.answers()


def test_trailers_are_no_headers(serve: Callable[..., Server]) -> None:
    body = b"%x\r\n%s\r\n0\r\n" % (len(picture()), picture())
    trailer = b"X-Amzn-SageMaker-Custom-Attributes: top_k=0\r\n\r\n"
    connection = serve().send(head(None, Connection="close") + body + trailer)
    assert received_it(connection).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET \xff HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
    ],
)
def test_what_is_no_http_is_refused_in_the_words_of_the_contract(
    serve: Callable[..., Server], request_: bytes
) -> None:
    server = serve()
    answer = received_it(server.send(request_))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'{"error": {"code": "bad_request", "message": "' in answer
    assert server.answers()


def test_the_connection_that_has_waited_longest_gives_way(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "max_connections", 8)
    server = serve()
    slow = [server.send(head() + b"x") for _ in range(30)]
    assert server.answers()
    assert received_it(slow[0]) == b""
    assert server.connections() <= 8


def test_connections_are_fewer_than_file_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, expected in ((256, 128), (1024, 512), (1_000_000, 512), (-1, 512), (10, 8)):
        monkeypatch.setattr("resource.getrlimit", lambda _, soft=soft: (soft, soft))
        assert connection_limit() == expected


def test_a_connection_is_kept_and_its_requests_answered_in_turn(
    serve: Callable[..., Server],
) -> None:
    server = serve()
    with httpx.Client(base_url=server.url, trust_env=False, timeout=WAIT_S) as client:
        for _ in range(3):
            assert client.post(PROD, content=picture(), headers=PNG).status_code == 200
        before = server.connections()
        assert client.get("/ping").status_code == 200
        assert server.connections() == before
    whole = head(len(picture())) + picture()
    last = head(len(picture()), Connection="close") + picture()
    assert received_it(server.send(whole + whole + last)).count(b"HTTP/1.1 200 ") == 3


def test_what_waits_for_clients_that_left_is_not_done(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on, decoded = threading.Event(), threading.Event(), list[int]()
    decode = serving.endpoint.inference.decode

    def slow(data: bytes, **options: Any) -> Image.Image:
        decoded.append(len(data))
        began.set()
        assert go_on.wait(WAIT_S)
        return decode(data, **options)

    server = serve()
    monkeypatch.setattr("serving.endpoint.inference.decode", slow)
    image = picture()
    first = server.send(head(len(image)) + image)
    assert began.wait(WAIT_S)
    queued = [server.send(head(len(image)) + image) for _ in range(10)]
    ping = {"trust_env": False, "timeout": WAIT_S}
    assert httpx.get(f"{server.url}/ping", **ping).status_code == 200
    for one in (first, *queued):
        one.close()
    wait_for(lambda: not server.connections(), "the server notices that they are gone")
    go_on.set()
    assert server.answers()
    assert len(decoded) == 2, "the one under way, and the one that is waited for"

"""Between a client and a server: passes requests on, counts them, and can lose answers or be gone."""

import http.client
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, Self
from urllib.parse import urlsplit

import pytest

from tests.patience import WAIT_S

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"}


@contextmanager
def asked_again_at_once() -> Iterator[None]:
    """Clients ask a server that does not answer as often as ever, without a pause."""
    from resources.label_studio import session

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(session, "WAITS_S", (0.0,) * len(session.WAITS_S))
        yield


@dataclass(frozen=True)
class Fault:
    """What happens to the next request with ``method`` whose path holds ``part``.

    ``lose`` hangs up after the server has done its work; ``drop`` before it hears of it; ``late``
    answers after ``seconds``, when the server has long done its work; ``status`` answers so, and
    the server hears nothing.
    """

    kind: Literal["lose", "drop", "late", "status"]
    method: str
    part: str
    seconds: float = 0.0
    status: int = 503


@dataclass
class Proxy:
    """Runs inside ``with``. ``calls`` are (method, path without query), in order of arrival."""

    target: str
    faults: deque[Fault] = field(default_factory=deque)
    calls: list[tuple[str, str]] = field(default_factory=list)
    connections: set[socket.socket] = field(default_factory=set)
    _port: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def fail(self, *faults: Fault) -> None:
        """Each fault happens once."""
        self.faults.extend(faults)

    def count(self, method: str, part: str) -> int:
        """How many such requests there were."""
        return sum(verb == method and part in path for verb, path in self.calls)

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that is due for this request, which is then spent."""
        for fault in list(self.faults):
            if fault.method == method and fault.part in path:
                self.faults.remove(fault)
                return fault
        return None

    @contextmanager
    def down(self) -> Iterator[None]:
        """As long as the block lasts, it is as if the server's process were gone."""
        self.stop()
        try:
            with asked_again_at_once():
                yield
        finally:
            self.start()

    def start(self) -> None:
        """Listen at a free port, which stays the same."""
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        self._server.daemon_threads = True
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and cut those that clients have kept."""
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def setup(self) -> None:
        """Begin with a connection."""
        super().setup()
        self.proxy.connections.add(self.connection)

    def finish(self) -> None:
        """Be done with it."""
        self.proxy.connections.discard(self.connection)
        super().finish()

    def _pass_on(self) -> None:
        path = urlsplit(self.path).path
        self.proxy.calls.append((self.command, path))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.proxy.take(self.command, path)
        kind = fault.kind if fault else ""
        if kind == "drop":
            self.close_connection = True
            return
        if fault and kind == "status":
            self._answer(fault.status, [], b"{}")
            return
        status, headers, answer = self._ask(body)
        if fault and kind == "late":
            time.sleep(fault.seconds)
        if kind == "lose":
            self.close_connection = True
            return
        self._answer(status, headers, answer)

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        place = urlsplit(self.proxy.target)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=WAIT_S)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in HOP_BY_HOP]
            return answer.status, kept, answer.read()
        except OSError:
            return 502, [], b"{}"
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        try:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # the client gave up
            self.close_connection = True

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _pass_on

    def log_message(self, *_: object) -> None:
        """Silent."""

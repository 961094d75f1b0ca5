"""An HTTP/1.1 server of threads for WSGI apps that keeps its connections.

Werkzeug's own closes each one after its answer, which costs more than moto's work does, and no
AWS endpoint does it.
"""

import contextlib
import logging
import socket
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import ThreadedWSGIServer

logger = logging.getLogger(__name__)

_DRAIN_BYTES = 1 << 30


class ConnectionLost(ConnectionError):
    """Raised by an app to drop the connection without an answer."""


class Handler(MotoRequestHandler):
    """Answers one connection's requests, one after the other."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def run_wsgi(self) -> None:
        """Answer one request; the connection stays usable unless something went wrong."""
        self.environ = environ = self.make_environ()
        body = _Body(environ)
        answer = _Answer(self, environ)
        try:
            chunks = self.server.app(environ, answer.start)
            try:
                for chunk in chunks:
                    answer.write(chunk)
                answer.finish()
            finally:
                if hasattr(chunks, "close"):
                    chunks.close()
            if not body.drain():
                self.close_connection = True
        except (ConnectionError, TimeoutError):
            self._drop()
        except Exception:
            logger.exception("%s %s", self.command, self.path)
            if answer.sent:
                self._drop()
            else:
                answer.fail()
                self.close_connection = True

    def handle_expect_100(self) -> bool:
        """Say 100 Continue at once: boto3 waits a second for it."""
        answered = super().handle_expect_100()
        self.wfile.flush()
        return answered

    def _drop(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Say nothing: the call log knows more."""

    def log(self, kind: str, message: str, *args: object) -> None:
        """To the process's log."""
        logger.info(message, *args)


class _Body:
    """The request's body, of which an app may leave something unread."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self._chunked = bool(environ.get("wsgi.input_terminated"))
        self._left = 0 if self._chunked else int(environ.get("CONTENT_LENGTH") or 0)
        self._stream = environ["wsgi.input"]
        environ["wsgi.input"] = self
        environ["wsgi.input_terminated"] = True

    def read(self, size: int = -1) -> bytes:
        if self._chunked:
            return self._stream.read(size)
        if size is None or size < 0 or size > self._left:
            size = self._left
        data = self._stream.read(size) if size else b""
        self._left -= len(data)
        if len(data) < size:
            raise ConnectionResetError("the client went away within its request")
        return data

    def readline(self, size: int = -1) -> bytes:
        if self._chunked:
            return self._stream.readline(size)
        limit = self._left if size is None or size < 0 else min(size, self._left)
        data = self._stream.readline(limit) if limit else b""
        self._left -= len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readable(self) -> bool:
        return True

    closed = False

    def __iter__(self) -> Any:
        return iter(self.readline, b"")

    def drain(self) -> bool:
        """Read what is left; False if that is too much for the connection to be kept."""
        left = _DRAIN_BYTES
        while left > 0:
            data = self.read(1 << 20)
            if not data:
                return True
            left -= len(data)
        return False


class _Answer:
    """Writes a response: with its length, in chunks, or without a body."""

    def __init__(self, handler: Handler, environ: dict[str, Any]) -> None:
        self._handler = handler
        self._head = environ["REQUEST_METHOD"] == "HEAD"
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._chunked = False
        self.sent = False

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """WSGI's start_response."""
        self._status, self._headers = status, headers
        return self.write

    def write(self, data: bytes) -> None:
        self._send_headers()
        if not data or self._head:
            return
        if self._chunked:
            self._handler.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self._handler.wfile.write(data)

    def finish(self) -> None:
        self._send_headers()
        if self._chunked:
            self._handler.wfile.write(b"0\r\n\r\n")
        self._handler.wfile.flush()

    def fail(self) -> None:
        self.start("500 Internal Server Error", [("Content-Length", "0"), ("Connection", "close")])
        self.finish()

    def _send_headers(self) -> None:
        if self.sent:
            return
        self.sent = True
        code, _, reason = self._status.partition(" ")
        names = {name.lower() for name, _ in self._headers}
        self._handler.send_response_only(int(code), reason)
        if "date" not in names:
            self._handler.send_header("Date", self._handler.date_time_string())
        for name, value in self._headers:
            self._handler.send_header(name, value)
        bodyless = self._head or int(code) in (204, 304) or int(code) < 200
        if "content-length" not in names and not bodyless:
            self._chunked = True
            self._handler.send_header("Transfer-Encoding", "chunked")
        self._handler.end_headers()


def make_server(port: int, app: Any) -> ThreadedWSGIServer:
    """A server on 127.0.0.1; port 0 takes a free one (``server.port``)."""
    server = ThreadedWSGIServer("127.0.0.1", port, app, handler=Handler)
    server.daemon_threads = True
    return server

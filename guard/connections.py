"""HTTP connections with limits: time and size of a request's head, and number of connections.

Uvicorn limits the time between two requests only. Without these limits, clients that never finish
a request hold file descriptors and memory indefinitely.
"""

import asyncio
import json
import resource
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_CONNECTIONS = 512
"""Concurrent connections; half of the file descriptors, if those are fewer (macOS gives 256)."""

HEAD_S = 10.0
"""Seconds from the first byte of a request within which its headers must be complete."""

MAX_HEAD_BYTES = 64 * 1024
"""Bytes without the end of a head or a part of a body: headers, trailers, padding."""


def connection_limit() -> int:
    """Return the number of concurrent connections that this process accepts."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft < 0 else min(MAX_CONNECTIONS, max(8, soft // 2))


class BoundedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol with limits on the time and size of a head and on connections."""

    head_s = HEAD_S
    max_connections = connection_limit()

    _head_timer: asyncio.TimerHandle | None = None
    _idle_bytes = 0
    _moved = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # a server's is a Transport
        """Accept a connection; if there are too many, close the one that has waited longest."""
        super().connection_made(transport)
        self._waits_since = self.loop.time()
        self._await_head()
        if len(self.connections) > self.max_connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer of the head."""
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, and count those that are neither a head's end nor a body."""
        if self.cycle is None or self.cycle.response_complete:
            self._await_head()
        self._moved = False
        super().data_received(data)
        self._idle_bytes = 0 if self._moved else self._idle_bytes + len(data)
        if self._idle_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(431, f"the headers have more than {MAX_HEAD_BYTES // 1024} kB")

    def on_message_begin(self) -> None:
        """Begin a head: start its timer."""
        self._moved = True
        self._in_body = False
        self._await_head()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; one after the body (a trailer) is ignored."""
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the head: stop its timer."""
        self._moved = self._in_body = True
        self._head_came()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Receive a part of a body."""
        self._moved = True
        super().on_body(body)

    def on_response_complete(self) -> None:
        """End a request: the connection waits from now on."""
        self._waits_since = self.loop.time()
        super().on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Abort an idle connection, even if the client does not read its response."""
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Answer 400 in the format of the inference contract: this is not HTTP."""
        self._refuse(400, "this is not an HTTP request that can be understood")

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_s, self._head_late)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self._refuse(408, f"the request's headers did not come within {self.head_s:g} s")

    def _make_room(self) -> None:
        """Abort the connection that has waited longest for a complete request."""
        others = [
            one
            for one in self.connections
            if isinstance(one, BoundedProtocol) and one is not self and one._waits
        ]
        slowest = min(others, key=lambda one: one._waits_since, default=self)
        self.connections.discard(slowest)
        slowest.transport.abort()

    @property
    def _waits(self) -> bool:
        """Whether the server waits for the client: no request is complete."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def _refuse(self, status: int, message: str) -> None:
        """Answer without the application and close, as the start of the next request is unknown."""
        self._head_came()
        phrase = HTTPStatus(status).phrase
        error = {"code": phrase.lower().replace(" ", "_"), "message": message}
        body = json.dumps({"error": error}).encode()
        if self.cycle is None or self.cycle.response_complete:
            head = (
                f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode("ascii") + body)
            self.transport.close()
        else:
            self.transport.abort()

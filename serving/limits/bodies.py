"""Reads request bodies, with limits in bytes (each and all together) and in seconds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fastapi import Request

from serving.errors import RequestRefused

ROOM_BYTES = 128 * 1024**2
"""Bytes of all bodies that a server holds at a time, complete or not."""

STALL_S = 10.0
"""Seconds without a byte after which a body is given up."""

_DRAINED = 8
"""A body that is too big is read and discarded up to this multiple of the allowed size."""


@dataclass(eq=False)
class _Reading:
    """A body in memory; ``limit`` is its timeout while it is being read."""

    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    limit: asyncio.Timeout | None = None
    gave_way: bool = False


class BodyBuffer:
    """Reads bodies up to a total number of bytes. Used from the event loop only.

    If there is no room, the incomplete body that started first is dropped: clients that send
    slowly on purpose cannot block others.

    Args:
        body_s: seconds within which a body must be complete.
        stall_s: longest pause between two parts of it (seconds).
        max_bytes: most bytes of all bodies at a time.
    """

    def __init__(
        self, *, body_s: float, stall_s: float = STALL_S, max_bytes: int = ROOM_BYTES
    ) -> None:
        self._body_s = body_s
        self._stall_s = stall_s
        self._max_bytes = max_bytes
        self._held: dict[_Reading, None] = {}  # the oldest first

    @asynccontextmanager
    async def body(self, request: Request, max_bytes: int) -> AsyncIterator[bytes]:
        """Read the body of ``request``; it counts as held while the block lasts.

        Raises:
            RequestRefused: 400, it is empty; 408, it came too slowly; 413, it has more than
                ``max_bytes``; 415, it is compressed; 429, there is no room for it.
            ClientDisconnect: the client closed the connection.
        """
        reading = _Reading()
        self._held[reading] = None
        try:
            await self._read(request, reading, max_bytes)
            body = b"".join(reading.chunks)
            reading.chunks.clear()
            yield body
        finally:
            self._held.pop(reading, None)

    async def _read(self, request: Request, reading: _Reading, max_bytes: int) -> None:
        """Read to the end, also a body over ``max_bytes``, which is discarded: many clients read the
        response only after they have sent everything.
        """
        if _refused_at_once(request, max_bytes):
            raise _too_large(max_bytes)
        size = 0
        try:
            async with asyncio.timeout(min(self._stall_s, self._body_s)) as reading.limit:
                ends = asyncio.get_running_loop().time() + self._body_s
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > max_bytes * _DRAINED:
                        break
                    if size > max_bytes:
                        reading.chunks.clear()
                        reading.size = 0
                    else:
                        self._keep(reading, chunk)
                    self._wait_on(reading, ends)
        except TimeoutError:
            raise self._slow(reading) from None
        finally:
            reading.limit = None
        if size > max_bytes:
            raise _too_large(max_bytes)
        encoding = request.headers.get("content-encoding", "").strip().lower()
        if encoding not in {
            "",
            "identity",
        }:  # images are compressed already; guards against zip bombs
            raise RequestRefused(
                415,
                "unsupported_encoding",
                f"content encoding {encoding[:40]} is not supported; send the body unencoded",
            )
        if not size:
            raise RequestRefused(400, "empty_body", "the request has no body")

    def _wait_on(self, reading: _Reading, ends: float) -> None:
        if reading.limit is not None and not reading.gave_way:
            soon = asyncio.get_running_loop().time() + self._stall_s
            reading.limit.reschedule(min(soon, ends))

    def _keep(self, reading: _Reading, chunk: bytes) -> None:
        if reading.gave_way:
            return
        while sum(one.size for one in self._held) + len(chunk) > self._max_bytes:
            slowest = next((one for one in self._held if one.limit and one.size), None)
            if slowest is None or slowest is reading:
                raise RequestRefused(
                    429, "too_many_requests", "too many bytes are waiting; try again shortly"
                )
            slowest.gave_way = True
            slowest.chunks.clear()
            slowest.size = 0
            if slowest.limit is not None:
                slowest.limit.reschedule(asyncio.get_running_loop().time())
        reading.chunks.append(chunk)
        reading.size += len(chunk)

    def _slow(self, reading: _Reading) -> RequestRefused:
        why = (
            "other requests needed the memory"
            if reading.gave_way
            else f"it must arrive within {self._body_s:g} s, and must not pause for "
            f"{self._stall_s:g} s"
        )
        return RequestRefused(408, "request_timeout", f"the request's body came too slowly: {why}")


def _refused_at_once(request: Request, max_bytes: int) -> bool:
    """Whether the declared size is too big and the client would notice an early response."""
    declared = request.headers.get("content-length", "")
    if not declared.isascii() or not declared.isdecimal():
        return False  # chunked; uvicorn refuses invalid numbers
    size = int(declared) if len(declared) < 20 else max_bytes * _DRAINED + 1
    asks_first = request.headers.get("expect", "").lower() == "100-continue"
    return size > max_bytes * (1 if asks_first else _DRAINED)


def _too_large(max_bytes: int) -> RequestRefused:
    return RequestRefused(
        413, "too_large", f"the request has more than {max_bytes / 1024**2:.0f} MB"
    )

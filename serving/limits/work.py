"""Runs the work of requests in threads, with limits in seconds and memory.

Small requests have several workers; big ones (a small file can have many pixels) share a single
worker. So a photo is answered soon whatever else arrives, and memory is bounded.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from serving.errors import RequestRefused

BIG_PICTURE = threading.Lock()
"""Held while the labelling backend decodes a possibly big image, so that it decodes one at a time."""

Result = TypeVar("Result")


class Ticket:
    """Deadline and cancellation of one request; checked between the steps of its work.

    Args:
        seconds: time until the response is due.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends = time.monotonic() + seconds
        self._dropped = threading.Event()

    @property
    def left_s(self) -> float:
        """Seconds until the deadline; 0 after it."""
        return max(0.0, self._ends - time.monotonic())

    def drop(self) -> None:
        """Cancel: no client waits for the response any more."""
        self._dropped.set()

    def check(self) -> None:
        """Raise if the request is late or cancelled.

        Raises:
            RequestRefused: 503, the deadline has passed.
            ClientDisconnect: the request was cancelled.
        """
        if self._dropped.is_set():
            raise ClientDisconnect
        if not self.left_s:
            raise self.late()

    def late(self) -> RequestRefused:
        """Return the error for a request whose deadline has passed (503)."""
        return RequestRefused(
            503,
            "timed_out",
            f"no answer within {self._seconds:g} s; send fewer or smaller images, or try again "
            "when less is waiting",
        )


class Lanes:
    """The threads of a server: ``workers`` for small requests, one for big ones."""

    def __init__(self, workers: int) -> None:
        self.small = ThreadPoolExecutor(workers, thread_name_prefix="predict")
        self.big = ThreadPoolExecutor(1, thread_name_prefix="predict-big")

    def close(self) -> None:
        """Wait for running work, and cancel what is queued."""
        self.small.shutdown(cancel_futures=True)
        self.big.shutdown(cancel_futures=True)


async def in_lane(
    lane: ThreadPoolExecutor, ticket: Ticket, work: Callable[..., Result], *arguments: Any
) -> Result:
    """Run ``work(*arguments)`` in a thread of ``lane``, unless ``ticket`` is dropped before.

    A queued call that is cancelled keeps no reference to its arguments.

    Args:
        lane: the executor.
        ticket: checked before the work begins.
        work: the function to call.
        arguments: its arguments.

    Raises:
        RequestRefused: 503, the deadline passed in the queue.
        ClientDisconnect: the request was cancelled in the queue.
    """
    held = [arguments]

    def run() -> Result:
        ticket.check()
        return work(*held.pop())

    try:
        return await asyncio.get_running_loop().run_in_executor(lane, run)
    finally:
        held.clear()


async def while_waited_for(
    request: Request, ticket: Ticket, work: Coroutine[Any, Any, Result]
) -> Result:
    """Await ``work``; cancel it when the client disconnects or the deadline passes.

    Args:
        request: the client's request, whose body has been read.
        ticket: has the deadline; dropped at the end.
        work: coroutine that makes the response.

    Raises:
        RequestRefused: 503, the deadline passed.
        ClientDisconnect: the client closed the connection.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait(
            (working, watching), timeout=ticket.left_s, return_when=asyncio.FIRST_COMPLETED
        )
        if working.done():
            return working.result()
        if watching.done():
            raise ClientDisconnect
        raise ticket.late()
    finally:
        ticket.drop()
        working.cancel()
        watching.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

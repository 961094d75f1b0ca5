"""Who does the work of a request, and how long: bounded in seconds, memory and patience.

Small requests have workers of their own; a big one (few bytes can be many pixels) takes its turn
in a lane of one. So whatever comes, a photo is answered at once, and memory has a bound.
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
"""Held while the labelling backend decodes what may be big: pre-labels and corrections in turn."""

Result = TypeVar("Result")


class Ticket:
    """Whether somebody still waits for an answer. Asked between the steps of the work.

    Args:
        seconds: how long an answer may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends = time.monotonic() + seconds
        self._dropped = threading.Event()

    @property
    def left_s(self) -> float:
        """Seconds until the answer would be too late."""
        return max(0.0, self._ends - time.monotonic())

    def drop(self) -> None:
        """Nobody waits any more."""
        self._dropped.set()

    def check(self) -> None:
        """Raises RequestRefused (503) if it is too late, ClientDisconnect if nobody waits."""
        if self._dropped.is_set():
            raise ClientDisconnect
        if not self.left_s:
            raise self.late()

    def late(self) -> RequestRefused:
        """What a client is told whose answer took too long."""
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
        """Finish what is under way, and drop what waits."""
        self.small.shutdown(cancel_futures=True)
        self.big.shutdown(cancel_futures=True)


async def in_lane(
    lane: ThreadPoolExecutor, ticket: Ticket, work: Callable[..., Result], *arguments: Any
) -> Result:
    """Do ``work(*arguments)`` in a thread of ``lane``, unless ``ticket`` is dropped before.

    What was dropped holds no memory while it is still in the queue.
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
    """The result of ``work``, which is dropped when the client goes or the time is over.

    Args:
        request: the client's, whose body has been read.
        ticket: tells the threads of ``work``.
        work: what makes the answer.

    Raises:
        RequestRefused: 503, it took too long.
        ClientDisconnect: the client went away.
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

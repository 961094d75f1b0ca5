"""Dagster's side of Pipes over the object store; the job's side is ``training/container/pipes.py``.

Context and messages lie under ``pipes/<job>/``. The reader lists keys after the last one that it
has read, so it can also begin at the launch of a job that another process started.
"""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, cast

import dagster as dg
from dagster_pipes import PipesContextData, PipesException, PipesMessage, PipesParams

from object_store.contents.damage import DamagedObject, flaw_of
from object_store.errors import StoreError
from object_store.store import ObjectStore
from training.container.pipes import INTERVAL, KEY, STORE

_logger = logging.getLogger(__name__)

POLL_S = 0.2
"""Seconds between two polls for messages, and between two uploads of a local job."""


def messages_prefix(job: str) -> str:
    """Return the prefix of a job's messages."""
    return f"pipes/{job}/messages"


def last_message(store: ObjectStore, job: str) -> str | None:
    """Return the key of a job's newest message; messages of the next launch sort after it."""
    newest = store.newest(messages_prefix(job))
    return newest.key if newest else None


def is_complete(store: ObjectStore, job: str, start_after: str | None) -> bool:
    """Whether the newest Pipes message is a ``closed`` without an exception.

    Args:
        store: holds the messages.
        job: name of the job.
        start_after: key of a message; only later ones count. ``None``: all count.
    """
    new = store.list(messages_prefix(job), start_after=start_after)
    if not new:
        return False
    try:
        last: PipesMessage = json.loads(store.get(new[-1].key).splitlines()[-1])
        return last["method"] == "closed" and _exception(last) is None
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError):
        return False  # a message damaged by a power cut proves nothing: the job is run again


def _exception(closed: PipesMessage) -> PipesException | None:
    return cast("PipesException | None", (closed["params"] or {}).get("exception"))


class StoreContextInjector(dg.PipesContextInjector):
    """Writes the context to ``pipes/<job>/context/<launched-ms>.json``."""

    def __init__(self, store: ObjectStore, job: str, *, write: bool = True) -> None:
        """Name the context's key after the current time.

        Args:
            store: to write to.
            job: name of the job.
            write: False for a job that is running: it has its context already.
        """
        self._store = store
        self._job = job
        self._write = write
        self._key = f"pipes/{job}/context/{time.time_ns() // 1_000_000:013d}.json"

    @property
    def params(self) -> PipesParams:
        """The job's parameters: where the context is."""
        return {STORE: self._store.url, KEY: self._key}

    @contextmanager
    def inject_context(self, context_data: PipesContextData) -> Iterator[PipesParams]:
        """Write the context and yield the parameters with its address."""
        while self._write and not self._store.create(self._key, json.dumps(context_data).encode()):
            self._key = f"pipes/{self._job}/context/{time.time_ns() // 1_000_000:013d}.json"
        yield self.params

    def no_messages_debug_text(self) -> str:
        """Return where the context is, for the error about a job without messages."""
        return f"The context is under {self._store.uri(f'pipes/{self._job}/context')}."


class StoreMessageReader(dg.PipesMessageReader):
    """Reads the messages of a job as they arrive, and keeps those that make up its result.

    Attributes:
        opened: a process of the job has opened Pipes.
        closed: its last attempt has ended its Pipes session, with or without an exception.
        exception: the exception of the last attempt, if any.
        metadata: reported by the job with ``report_asset_materialization``, in Pipes' own form
            (``{"raw_value": …, "type": …}``); a later report of a name replaces an earlier one.
        messages: the payloads of ``report_custom_message``, in order.
    """

    def __init__(
        self, store: ObjectStore, job: str, start_after: str | None, poll_s: float = POLL_S
    ) -> None:
        """Prepare to read the messages of a job.

        Args:
            store: holds the messages.
            job: name of the job.
            start_after: only messages with greater keys are read; ``None``: all.
            poll_s: seconds between two polls, and between two uploads by the job; in a bucket, each
                costs a request.
        """
        self._poll_s = poll_s
        self._store = store
        self._job = job
        self._cursor = start_after
        self._handler: dg.PipesMessageHandler | None = None
        self._closed: PipesMessage | None = None
        self._attempt = ""
        self.opened = False
        self.metadata: dict[str, Any] = {}
        self.messages: list[Any] = []

    @property
    def expected_writer_count(self) -> int:
        """One writer; overridden because Dagster's own property warns that it is a preview."""
        return 1

    @property
    def closed(self) -> bool:
        """Whether the last attempt has ended its Pipes session."""
        return self._closed is not None

    @property
    def exception(self) -> PipesException | None:
        """The exception with which the last attempt ended its session."""
        return _exception(self._closed) if self._closed else None

    @contextmanager
    def read_messages(self, handler: dg.PipesMessageHandler) -> Iterator[PipesParams]:
        """Read messages in a thread while the block runs, and the rest when it ends.

        Raises:
            StoreError: the messages cannot be read at the end. While the block runs, a failure is
                logged and the read is repeated.
        """
        self._handler = handler
        done = Event()
        thread = Thread(target=self._poll, args=(done,), name="pipes-reader", daemon=True)
        thread.start()
        try:
            yield self.params
        finally:
            done.set()
            thread.join()
        self._read()
        if self._closed is not None:
            handler.handle_message(self._closed)

    @property
    def params(self) -> PipesParams:
        """The job's parameters: where to put messages, and how often."""
        return {STORE: self._store.url, KEY: messages_prefix(self._job), INTERVAL: self._poll_s}

    def no_messages_debug_text(self) -> str:
        """Return where the messages would be, for the error about a job without messages."""
        return f"Its messages would be under {self._store.uri(messages_prefix(self._job))}."

    def _poll(self, done: Event) -> None:
        while not done.wait(self._poll_s):
            try:
                self._read()
            except StoreError as error:
                _logger.warning("messages of %s: %s; trying again", self._job, error)

    def _read(self) -> None:
        """Handle all new messages."""
        for info in self._store.list(messages_prefix(self._job), start_after=self._cursor):
            self.take(info.key)

    def take(self, key: str) -> None:
        """Handle the messages of one object."""
        data = self._store.get(key)
        try:
            messages = [json.loads(line) for line in data.splitlines()]
            if not all(isinstance(one, dict) and "method" in one for one in messages):
                raise ValueError("a line is no message")
        except (ValueError, RecursionError) as error:
            self._cursor = key  # reported once; without a completion message the job is run again
            raise DamagedObject(key, flaw_of(data, error), self._store.url) from None
        for message in messages:
            self._handle(key, message)
        self._cursor = key

    def _handle(self, key: str, message: PipesMessage) -> None:
        """Handle one message: logs go to Dagster at once, ``closed`` is held back until the end.

        After a spot restart one job has several attempts; only the last attempt's ``closed`` counts.
        """
        handler = cast("dg.PipesMessageHandler", self._handler)
        attempt = key.rpartition("/")[2].partition("-")[0]
        if attempt != self._attempt:
            self._attempt, self._closed = attempt, None
        method, params = message["method"], message["params"] or {}
        if method == "closed":
            self._closed = message
        elif method == "opened":
            if not self.opened:
                handler.handle_message(message)
            self.opened = True
        elif method == "report_asset_materialization":
            self.metadata.update(params["metadata"] or {})
        elif method == "report_custom_message":
            self.messages.append(params["payload"])
        else:
            handler.handle_message(message)

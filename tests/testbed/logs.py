"""CloudWatch logs of the containers, in moto's backend: batched as SageMaker's agent does."""

import contextlib
import logging
import threading
import time
from typing import Any

from tests.testbed.state import ACCOUNT, State

logger = logging.getLogger(__name__)

_INTERVAL_S = 0.1
_BATCH = 1000
_LINE_CHARACTERS = 256_000
_lock = threading.Lock()


class LogStream:
    """One container's stream; ``line`` is safe to call from any thread."""

    def __init__(self, state: State, group: str, name: str) -> None:
        """``name`` ends with the epoch in seconds; a later one is taken if that exists."""
        self._group = group
        self._backend = _backend(state.region)
        self.name = self._create(name)
        self._pending: list[dict[str, Any]] = []
        self._pending_lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._flush_until_closed, daemon=True)
        self._thread.start()

    def line(self, text: str) -> None:
        """Add an event."""
        event = {"timestamp": time.time_ns() // 1_000_000, "message": text[:_LINE_CHARACTERS]}
        with self._pending_lock:
            self._pending.append(event)

    def close(self) -> None:
        """Write what is left."""
        self._closed.set()
        self._thread.join()

    def _create(self, name: str) -> str:
        from moto.logs.exceptions import ResourceAlreadyExistsException

        with _lock:
            with contextlib.suppress(ResourceAlreadyExistsException):
                self._backend.create_log_group(self._group, {})
            while True:
                try:
                    self._backend.create_log_stream(self._group, name)
                except ResourceAlreadyExistsException:
                    head, _, epoch = name.rpartition("-")
                    name = f"{head}-{int(epoch) + 1}"
                else:
                    return name

    def _flush_until_closed(self) -> None:
        while True:
            last = self._closed.wait(_INTERVAL_S)
            self._flush()
            if last:
                return

    def _flush(self) -> None:
        with self._pending_lock:
            events, self._pending = self._pending, []
        events = [event for event in events if event["message"]]  # CloudWatch takes no empty ones
        for start in range(0, len(events), _BATCH):
            try:
                with _lock:
                    self._backend.put_log_events(
                        self._group, self.name, events[start : start + _BATCH]
                    )
            except Exception:
                logger.exception("log stream %s", self.name)


def _backend(region: str) -> Any:
    from moto.logs.models import logs_backends

    return logs_backends[ACCOUNT][region]

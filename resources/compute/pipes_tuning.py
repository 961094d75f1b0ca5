"""Pipes messages of a tuning job: its training jobs share one environment, not one reader.

Each training job writes below ``pipes/<tuning job>/messages/<training job>/`` and is read by
itself; what it logs is shown with its name. See ``training.container.pipes.OWN_FOLDER``.
"""

from typing import cast

import dagster as dg
from dagster_pipes import PipesMessage, PipesParams

from resources.compute.pipes import POLL_S, StoreMessageReader, messages_prefix
from resources.store.object_store import ObjectStore
from training.container.pipes import OWN_FOLDER


class TuningMessageReader(StoreMessageReader):
    """Reads the messages of all training jobs of a tuning job.

    Attributes:
        children: a reader for each training job that has said something, by its name; it has the
            job's ``metadata``, ``messages`` and ``exception``.
    """

    def __init__(self, store: ObjectStore, job: str, poll_s: float = POLL_S) -> None:
        """Read all messages below the tuning job ``job``: its name is never used again."""
        super().__init__(store, job, None, poll_s)
        self.children: dict[str, _ChildReader] = {}

    @property
    def params(self) -> PipesParams:
        """What the jobs are told."""
        return {**super().params, OWN_FOLDER: True}

    def _read(self) -> None:
        """Look for all messages: keys of different jobs come in no order of time."""
        prefix = messages_prefix(self._job)
        for info in self._store.list(prefix):
            name, parted, _ = info.key.removeprefix(f"{prefix}/").partition("/")
            if not parted:
                continue  # of a job that was not told to use a folder of its own
            if name not in self.children:
                self.children[name] = _ChildReader(self._store, self._job, name, self)
            self.children[name].take_new(info.key)
        ends = [child.end for child in self.children.values()]
        self._closed = ends[-1] if ends and all(ends) else None

    def forward(self, message: PipesMessage) -> None:
        """Pass a child's message on to Dagster, which takes all of them for one process."""
        if message["method"] == "opened":
            if not self.opened and self._handler:
                self._handler.handle_message(message)
            self.opened = True
        elif self._handler:
            self._handler.handle_message(message)


class _ChildReader(StoreMessageReader):
    def __init__(
        self, store: ObjectStore, job: str, name: str, parent: TuningMessageReader
    ) -> None:
        super().__init__(store, job, None)
        self._handler = cast("dg.PipesMessageHandler", _Named(name, parent))

    @property
    def end(self) -> PipesMessage | None:
        """The message with which its last attempt ended."""
        return self._closed

    def take_new(self, key: str) -> None:
        """Handle the messages of an object, unless that was done."""
        if self._cursor is None or key > self._cursor:
            self.take(key)


class _Named:
    """Stands between a child's reader and Dagster: adds the child's name to what it logs."""

    def __init__(self, name: str, parent: TuningMessageReader) -> None:
        self._name, self._parent = name, parent

    def handle_message(self, message: PipesMessage) -> None:
        """Pass it on."""
        params = message["params"] or {}
        if message["method"] == "log":
            params = {**params, "message": f"{self._name}: {params['message']}"}
        self._parent.forward({**message, "params": params})

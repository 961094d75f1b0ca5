"""Pipes messages of a tuning job, whose training jobs share one environment.

Each training job writes below ``pipes/<tuning job>/messages/<training job>/`` and has a reader of
its own; its log lines are shown with its name. See ``training.container.pipes.OWN_FOLDER``.
"""

from typing import cast

import dagster as dg
from dagster_pipes import PipesMessage, PipesParams

from object_store.store import ObjectStore
from resources.compute.pipes import POLL_S, StoreMessageReader, messages_prefix
from training.container.pipes import OWN_FOLDER


class TuningMessageReader(StoreMessageReader):
    """Reads the messages of all training jobs of a tuning job.

    Attributes:
        children: a reader for each training job that has sent a message, by the job's name; it has
            the job's ``metadata``, ``messages`` and ``exception``.
    """

    def __init__(self, store: ObjectStore, job: str, poll_s: float = POLL_S) -> None:
        """Prepare to read all messages of a tuning job, whose name is never used again.

        Args:
            store: holds the messages.
            job: name of the tuning job.
            poll_s: seconds between two polls, and between two uploads by the jobs.
        """
        super().__init__(store, job, None, poll_s)
        self.children: dict[str, _ChildReader] = {}

    @property
    def params(self) -> PipesParams:
        """The jobs' parameters."""
        return {**super().params, OWN_FOLDER: True}

    def _read(self) -> None:
        """Handle all new messages; lists all, since keys of different jobs are not in time order."""
        prefix = messages_prefix(self._job)
        for info in self._store.list(prefix):
            name, parted, _ = info.key.removeprefix(f"{prefix}/").partition("/")
            if not parted:
                continue  # of a job without OWN_FOLDER
            if name not in self.children:
                self.children[name] = _ChildReader(self._store, self._job, name, self)
            self.children[name].take_new(info.key)
        ends = [child.end for child in self.children.values()]
        self._closed = ends[-1] if ends and all(ends) else None

    def forward(self, message: PipesMessage) -> None:
        """Pass a training job's message on to Dagster, which sees all of them as one process."""
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
        """Handle the messages of an object unless they were handled before."""
        if self._cursor is None or key > self._cursor:
            self.take(key)


class _Named:
    """Adds a training job's name to its log messages before they go to Dagster."""

    def __init__(self, name: str, parent: TuningMessageReader) -> None:
        self._name, self._parent = name, parent

    def handle_message(self, message: PipesMessage) -> None:
        """Pass a message on."""
        params = message["params"] or {}
        if message["method"] == "log":
            params = {**params, "message": f"{self._name}: {params['message']}"}
        self._parent.forward({**message, "params": params})

"""The job's side of Dagster Pipes: context from the store, messages into it.

dagster-pipes' own blob writer waits whole seconds between polls, gives up after a failed upload, and
begins at ``1.json`` again after a restart, over the earlier attempt's messages. This one writes
``<prefix>/<attempt-ms>-<index>.json``, create-only, at once or in batches, and retries.
"""

import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Event, Thread

from dagster_pipes import (
    PipesContext,
    PipesContextData,
    PipesContextLoader,
    PipesEnvVarParamsLoader,
    PipesMappingParamsLoader,
    PipesMessage,
    PipesMessageWriter,
    PipesMessageWriterChannel,
    PipesParams,
    PipesParamsLoader,
    encode_param,
)
from tenacity import Retrying, retry_if_exception_type, wait_exponential

from errors.base import ImgclfError
from object_store.errors import StoreError
from object_store.store import ObjectStore
from training.container.container import JobContainer
from training.errors import PermissionDenied

STORE = "store"
"""Parameter: URL of the store. Credentials and region come from the container's environment."""
KEY = "key"
"""Parameter: key of the context, or prefix of the messages."""
INTERVAL = "interval"
"""Parameter: seconds between two uploads of messages."""
OWN_FOLDER = "own_folder"
"""Parameter: true for training jobs of a tuning job, which have one environment: each puts its
messages below ``<key>/<training job>/``."""

CLOSE_TIMEOUT_S = 60.0
"""Seconds that the end of a job waits for the upload of its last messages."""


class MessagesLostError(ImgclfError, RuntimeError):
    """Messages could not be uploaded; without them the job counts as failed."""


@contextmanager
def open_pipes(*, silent: bool = False) -> Iterator[PipesContext]:
    """Connect to Dagster for the length of a block; yields its Pipes context.

    The end of the block reports the job as complete, so all outputs must be written inside; an
    exception is reported as the job's failure. Without Pipes variables in the environment, messages
    go to stderr.

    Args:
        silent: send no messages; for all but the first of a job's processes.

    Raises:
        PermissionDenied: at the beginning, if the job may not write its messages.
        MessagesLostError: at the end, if the messages cannot be uploaded within
            ``CLOSE_TIMEOUT_S``.
    """
    params: PipesMappingParamsLoader = PipesEnvVarParamsLoader()
    if params.is_dagster_pipes_process() and not silent:
        context = _connected(params)
    else:
        nothing = encode_param({})
        params = PipesMappingParamsLoader(
            {"DAGSTER_PIPES_CONTEXT": nothing, "DAGSTER_PIPES_MESSAGES": nothing}
        )
        writer = _ChannelWriter(_SilentChannel() if silent else _StderrChannel())
        context = PipesContext(params, _NoContextLoader(), writer)
    with context:
        yield context


def _connected(params: PipesParamsLoader) -> PipesContext:
    """Open the connection; if messages may not be written, also write SageMaker's failure file."""
    try:
        return PipesContext(params, _StoreContextLoader(), _StoreMessageWriter())
    except PermissionDenied as error:
        container = JobContainer.from_environment()
        container.write_failure(f"{type(error).__name__}: {error}")
        raise


class _StoreContextLoader(PipesContextLoader):
    @contextmanager
    def load_context(self, params: PipesParams) -> Iterator[PipesContextData]:
        yield json.loads(ObjectStore(url=str(params[STORE])).get(str(params[KEY])))


class _StoreMessageWriter(PipesMessageWriter["StoreMessageChannel"]):
    @contextmanager
    def open(self, params: PipesParams) -> Iterator["StoreMessageChannel"]:
        prefix = str(params[KEY])
        if params.get(OWN_FOLDER):
            prefix = f"{prefix}/{os.environ['TRAINING_JOB_NAME']}"  # given by SageMaker
        store = ObjectStore(url=str(params[STORE]))
        channel = StoreMessageChannel(store, prefix, float(params[INTERVAL]))
        try:
            yield channel
        finally:
            channel.close()


class StoreMessageChannel(PipesMessageWriterChannel):
    """Uploads messages from a thread every ``interval`` seconds, and the first one immediately.

    So a job that may not write its messages fails before it computes, not after hours.
    """

    def __init__(self, store: ObjectStore, prefix: str, interval: float) -> None:
        """Begin a new attempt, numbered after all earlier ones, and start the thread.

        Args:
            store: gets the messages.
            prefix: of the messages' keys.
            interval: seconds between two uploads.

        Raises:
            PermissionDenied: messages may not be listed.
        """
        self._store = store
        self._prefix = prefix
        self._interval = interval
        with _permitted(prefix, "list", "s3:ListBucket"):
            self._attempt = _next_attempt(store, prefix)
        self._index = 0
        self._pending: deque[str] = deque()
        self._changed = Condition()
        self._closing = Event()
        self._deadline = float("inf")
        self._error: BaseException | None = None
        self._thread = Thread(target=self._upload_until_closed, name="pipes-messages", daemon=True)
        self._thread.start()

    def write_message(self, message: PipesMessage) -> None:
        """Queue a message; the first one is uploaded immediately.

        Raises:
            PermissionDenied: it is the first one, and messages may not be written.
            TypeError: the message cannot be converted to JSON.
        """
        line = json.dumps(message)
        if message["method"] == "opened" and self._index == 0 and self._is_uploaded(line.encode()):
            return
        with self._changed:
            self._pending.append(line)
            self._changed.notify()

    def close(self) -> None:
        """Upload the remaining messages and end the thread.

        Raises:
            MessagesLostError: they could not be uploaded in time.
        """
        self._deadline = time.monotonic() + CLOSE_TIMEOUT_S
        self._closing.set()
        with self._changed:
            self._changed.notify()
        self._thread.join()
        if self._error is not None:
            raise MessagesLostError(
                f"Pipes messages could not be written to {self._prefix} for "
                f"{CLOSE_TIMEOUT_S:.0f} s: {self._error}"
            ) from self._error

    def _upload_until_closed(self) -> None:
        try:
            while True:
                with self._changed:
                    while not self._pending and not self._closing.is_set():
                        self._changed.wait()
                    lines = list(self._pending)
                    self._pending.clear()
                if lines:
                    self._upload("\n".join(lines).encode())
                elif self._closing.is_set():
                    return
                self._closing.wait(self._interval)
        except BaseException as error:  # noqa: BLE001 - raised again by close(), in the caller
            self._error = error

    def _is_uploaded(self, chunk: bytes) -> bool:
        """Try once to upload the first message; after a transient failure the thread retries."""
        try:
            with _permitted(self._prefix, "write", "s3:PutObject"):
                uploaded = self._create(self._key(), chunk)
        except StoreError:
            return False
        self._index += uploaded
        return uploaded

    def _key(self) -> str:
        return f"{self._prefix}/{self._attempt:013d}-{self._index:06d}.json"

    def _upload(self, chunk: bytes) -> None:
        retrying = Retrying(
            retry=retry_if_exception_type(StoreError),
            wait=wait_exponential(multiplier=0.1, max=5.0),
            stop=lambda state: time.monotonic() + state.upcoming_sleep > self._deadline,
            reraise=True,
        )
        while not retrying(self._create, self._key(), chunk):
            self._attempt += 1
        self._index += 1

    def _create(self, key: str, chunk: bytes) -> bool:
        """Write an object; False if another attempt has written that key."""
        # A write that failed may have been done all the same: then our bytes are there.
        return self._store.create(key, chunk) or self._store.get(key) == chunk


@contextmanager
def _permitted(prefix: str, act: str, permission: str) -> Iterator[None]:
    """Convert errors of missing permissions, which no retry can cure, to PermissionDenied."""
    try:
        yield
    except StoreError as error:
        if not error.denied:
            raise
        raise PermissionDenied(
            f"the job may not {act} its messages under {prefix}: the role that it runs as (or, on a "
            f"laptop, the user) needs {permission} there, and with an encrypted bucket "
            f"kms:GenerateDataKey and kms:Decrypt on its key ({error})"
        ) from error


def _next_attempt(store: ObjectStore, prefix: str) -> int:
    """Return the time in milliseconds, or more, so that it is greater than every earlier attempt's."""
    names = (key.rpartition("/")[2] for key in store.own_keys(prefix))
    former = (int(name.partition("-")[0]) for name in names)
    return max(time.time_ns() // 1_000_000, max(former, default=-1) + 1)


class _NoContextLoader(PipesContextLoader):
    @contextmanager
    def load_context(self, params: PipesParams) -> Iterator[PipesContextData]:
        yield PipesContextData(
            asset_keys=["local"],
            code_version_by_asset_key=None,
            provenance_by_asset_key=None,
            partition_key=None,
            partition_key_range=None,
            partition_time_window=None,
            run_id="none",
            job_name=None,
            retry_number=0,
            extras={},
        )


class _ChannelWriter(PipesMessageWriter[PipesMessageWriterChannel]):
    def __init__(self, channel: PipesMessageWriterChannel) -> None:
        self._channel = channel

    @contextmanager
    def open(self, params: PipesParams) -> Iterator[PipesMessageWriterChannel]:
        yield self._channel


class _SilentChannel(PipesMessageWriterChannel):
    def write_message(self, message: PipesMessage) -> None:
        pass


class _StderrChannel(PipesMessageWriterChannel):
    def write_message(self, message: PipesMessage) -> None:
        content = message["params"] or {}
        if message["method"] == "log":
            sys.stderr.write(f"{content['level']}: {content['message']}\n")
        elif message["method"] not in ("opened", "closed"):
            sys.stderr.write(f"{message['method']}: {json.dumps(content)}\n")

"""Running one local job: start it or attach to it, wait, check how it ended, store its outputs."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg
import psutil

from object_store.store import ObjectStore
from resources.compute.local.folder import JobFolder, LocalLaunch, terminate
from resources.compute.local.upload import upload
from resources.compute.outputs import record_key
from resources.compute.pipes import (
    StoreContextInjector,
    StoreMessageReader,
    is_complete,
    last_message,
    messages_prefix,
)

if TYPE_CHECKING:
    from resources.compute.job_spec import JobSpec
from resources.compute.failures import Context, JobFailed, script_failure

_WAIT_S = 0.5


class Attempt:
    """Starts a job's process or attaches to it, waits for it, checks it and stores its outputs.

    Args:
        context: Dagster's, of the run that waits for the job.
        spec: the job.
        store: for inputs, messages and outputs.
        folder: the job's folder on this machine.
        grace_s: seconds between SIGTERM and SIGKILL when the process is ended.
    """

    def __init__(
        self,
        context: Context,
        spec: "JobSpec",
        store: ObjectStore,
        folder: JobFolder,
        grace_s: float,
    ) -> None:
        self._context, self._spec, self._store, self._folder = context, spec, store, folder
        self._grace_s = grace_s
        launch = folder.launch()
        self._process = folder.running() if launch else None
        self.reattached = self._process is not None
        if launch and (self._process or _ended_well(store, spec.name, folder, launch)):
            self._fresh = False
            self._start_after = launch.start_after
        else:
            self._fresh = True
            self._start_after = last_message(store, spec.name)
        self._reader = StoreMessageReader(store, spec.name, self._start_after)

    @contextmanager
    def session(self) -> Iterator[None]:
        """Open a Pipes session; starts the process in it unless there is one already.

        Raises:
            JobFailed: a file of a local channel does not exist.
            KeyMissing: an input is not in the store.
        """
        if self._fresh:
            try:
                self._folder.lay_out(self._spec, self._store)
            except FileNotFoundError as error:
                raise JobFailed(f"job {self._spec.name}: {error}", allow_retries=False) from error
        injector = StoreContextInjector(self._store, self._spec.name, write=self._fresh)
        with dg.open_pipes_session(self._context, injector, self._reader) as session:
            if self._fresh:
                pipes = session.get_bootstrap_env_vars()
                self._process = self._folder.start(self._spec, pipes, self._start_after)
            self._say_what_happens()
            yield

    def _say_what_happens(self) -> None:
        name, process = self._spec.name, self._process
        if process is None:
            text = f"job {name} ended while it was not observed: collecting its outputs"
        else:
            verb = "attached to" if self.reattached else "started"
            text = f"{verb} job {name}: process {process.pid}, log {self._folder.log}"
        self._context.log.info(text)

    def wait(self) -> int | None:
        """Wait for the process.

        Returns:
            Its exit code; ``None`` if it is unknown, because the process is not our child.

        Raises:
            JobFailed: it ran longer than ``max_runtime_s`` and was terminated.
        """
        launch = self._folder.launch()
        if self._process is None or launch is None:
            return None
        deadline = launch.launched_at + self._spec.max_runtime_s
        try:
            while time.time() < deadline:
                try:
                    return self._process.wait(timeout=_WAIT_S)
                except psutil.TimeoutExpired:
                    continue
        except BaseException:  # above all an interrupt: the process must not go on unwatched
            terminate(self._process, self._grace_s)
            raise
        terminate(self._process, self._grace_s)
        raise JobFailed(
            f"job {self._spec.name} was ended: it ran longer than {self._spec.max_runtime_s} s. "
            "Allow it more time, or make it smaller; its checkpoints are kept",
            metadata=self._links(),
            allow_retries=False,
        )

    def check(self, code: int | None) -> None:
        """Check that the job succeeded: exit code 0 (or unknown) and a completion message.

        The next run starts a failed job again, with its checkpoints.

        Args:
            code: exit code of the process; ``None`` if it is unknown.

        Raises:
            JobFailed: the job raised, exited with an error, was killed, or sent no completion
                message.
        """
        exception = self._reader.exception
        if not exception and not code and self._reader.closed:
            return
        failure = script_failure(exception, self._folder.failure)
        permanent = failure is not None and failure.permanent
        if failure:
            reason = failure.reason
        elif code is not None and code < 0:
            reason = f"killed by {signal.Signals(-code).name}"
            reason += " (out of memory?)" if -code == signal.SIGKILL else ""
        elif code:
            reason = f"exit code {code}"
        else:
            reason = (
                "its process ended without a completion message: was it killed, or does "
                f"{self._spec.module} not use training.container.pipes.open_pipes()?"
            )
        self._folder.forget_launch()
        text = f"job {self._spec.name} failed: {reason}"
        if not permanent:  # a permanent failure's message is enough; a blank line precedes details
            text += (
                f"\n\n{failure.stack if failure else ''}\nThe end of its "
                f"log:\n{self._folder.tail()}"
            )
        # How a process that is not our child ended is unknown; a retry continues from its checkpoint.
        retry = failure is None and code is None
        raise JobFailed(text, metadata=self._links(), allow_retries=retry)

    def store_outputs(self) -> None:
        """Upload the outputs and, last, the record that marks the job as done.

        Raises:
            JobFailed: the job's folder or its messages were deleted.
        """
        spec, folder, store = self._spec, self._folder, self._store
        launch, last = folder.launch(), store.newest(messages_prefix(spec.name))
        if launch is None or last is None:
            raise JobFailed(
                f"the folder or the messages of job {spec.name} were deleted: run it again"
            )
        record = {
            "name": spec.name,
            "kind": spec.kind,
            "module": spec.module,
            "hyperparameters": spec.hyperparameters,
            "started_at": datetime.fromtimestamp(launch.launched_at, UTC).isoformat(),
            "ended_at": last.last_modified.astimezone(UTC).isoformat(),
            "seconds": round(last.last_modified.timestamp() - launch.launched_at, 3),
            "metadata": self._reader.metadata,
            "messages": self._reader.messages,
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        record["sha256"] = upload(store, spec.name, spec.kind, folder)
        store.create(record_key(spec.name), json.dumps(record).encode())

    def _links(self) -> dict[str, dg.MetadataValue]:
        return {"log": dg.MetadataValue.path(str(self._folder.log))}


def _ended_well(store: ObjectStore, name: str, folder: JobFolder, launch: LocalLaunch) -> bool:
    """Whether a process without an orchestrator has completed the job, so that only upload is left."""
    return is_complete(store, name, launch.start_after) and not folder.failure

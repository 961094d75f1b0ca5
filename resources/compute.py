"""The compute port: jobs in SageMaker's container layout, with Dagster Pipes around them.

A job's name is a hash of its inputs. So a job that is done is reused, one that runs is attached
to, and one that died is started again with its checkpoints; none is paid for twice. What "done"
means: ``models/<job>/job.json`` exists, which is written after all outputs.
"""

import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import dagster as dg
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from resources.job_attempt import Attempt, Context, JobFailed
from resources.job_folder import JobFolder
from resources.job_names import Kind
from resources.job_outputs import (
    JobOutputs,
    Metadata,
    metadata_values,
    model_key,
    read_job,
    record_key,
)
from resources.store.object_store import ObjectStore

_VALUE_LIMIT = {"training": 512, "processing": 256}
"""Characters of an environment value: botocore's service model, see the AWS page."""

_CHANNELS = {"training": 20, "processing": 10}


class Channel(BaseModel):
    """Objects of the store as a job's input; ``key`` appears at ``<channel>/<key without prefix>``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: str
    keys: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _keys_lie_below(self) -> Self:
        outside = [key for key in self.keys if not key.startswith(f"{self.prefix.rstrip('/')}/")]
        if outside:
            raise ValueError(f"keys not below the channel's prefix {self.prefix!r}: {outside[:3]}")
        return self

    def relative(self, key: str) -> str:
        """The key's path inside the channel."""
        return key[len(self.prefix.rstrip("/")) + 1 :]


class LocalChannel(BaseModel):
    """Files of this machine as a job's input, such as weights; the rest of the folder stays out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    files: tuple[str, ...] = Field(min_length=1)

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [Path(self.folder).absolute() / name for name in self.files]

    @field_validator("files")
    @classmethod
    def _names_only(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [name for name in files if Path(name).name != name]
        if wrong:
            raise ValueError(f"not names of files: {wrong}")
        return files


class JobSpec(BaseModel):
    """A job, within the limits of SageMaker's API whoever runs it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")
    kind: Kind
    module: str = Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")
    hyperparameters: dict[str, str] = {}
    channels: dict[str, Channel] = {}
    local_channels: dict[str, LocalChannel] = {}
    environment: dict[str, str] = {}
    max_runtime_s: int = Field(86_400, ge=1, le=2_419_200)

    @field_validator("hyperparameters")
    @classmethod
    def _hyperparameters_fit(cls, values: dict[str, str]) -> dict[str, str]:
        _limit("hyperparameters", values, entries=100, characters=2500)
        return values

    @model_validator(mode="after")
    def _fits_the_kind(self) -> Self:
        """Five environment entries are left for Pipes and the container."""
        _limit("environment", self.environment, 95, _VALUE_LIMIT[self.kind])
        if self.kind == "processing":  # key and value are two arguments
            _limit("hyperparameters", self.hyperparameters, 50, 256)
        most = _CHANNELS[self.kind]
        if len(self.all_channels) > most:
            raise ValueError(f"{len(self.all_channels)} channels; SageMaker takes {most} at most")
        twice = self.channels.keys() & self.local_channels.keys()
        wrong = [
            name for name in self.all_channels if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name)
        ]
        if twice or wrong:
            raise ValueError(f"channel names given twice or not usable: {sorted([*twice, *wrong])}")
        return self

    @property
    def all_channels(self) -> tuple[str, ...]:
        """Names of all channels."""
        return (*self.channels, *self.local_channels)

    @property
    def arguments(self) -> list[str]:
        """The command line: ``--key value`` for a processing job, nothing for a training job."""
        if self.kind == "training":
            return []
        return [part for key, value in self.hyperparameters.items() for part in (f"--{key}", value)]


@dataclass(frozen=True)
class JobResult:
    """A job that is done.

    Attributes:
        name: the job's.
        reused: it was done before, nothing was started.
        reattached: it was running already.
        seconds: wall time of the job's last launch.
        metadata: what the job reported with ``report_asset_materialization``.
        messages: what it sent with ``report_custom_message``.
        details: what the adapter knows of the job: links, times, cost. Empty on a laptop.
    """

    name: str
    reused: bool
    reattached: bool
    seconds: float
    metadata: Metadata
    messages: list[Any]
    details: Metadata = field(default_factory=dict)


class Compute(dg.ConfigurableResource):
    """Runs jobs and reads what they left in the store."""

    store: ObjectStore

    @property
    def _objects(self) -> ObjectStore:
        """``store`` as it is once Dagster has bound the resource; its type also says *before*."""
        store: ObjectStore = self.store
        return store

    @abstractmethod
    def run(self, context: Context, spec: JobSpec) -> JobResult:
        """Run the job to its end, or attach to it, or reuse it; logs go to Dagster's meanwhile.

        Raises:
            JobFailed: it failed, ran too long, or ended without saying that it is complete.
        """

    def model_key(self, name: str) -> str:
        """Key of a training job's model artefact."""
        return model_key(name)

    def outputs(self, name: str, kind: Kind) -> Mapping[str, bytes]:
        """What the job wrote beside its model, by relative path; read when asked for."""
        return JobOutputs(self.store, name, kind)

    def open_output(self, name: str, file: str, kind: Kind = "processing") -> bytes:
        """One file that the job wrote.

        Raises:
            KeyMissing: the job did not write it, or is not done.
        """
        return self.outputs(name, kind)[file]

    def _reused(self, context: Context, spec: JobSpec) -> JobResult | None:
        result = self._result(spec.name, reused=True)
        if result:
            context.log.info(f"job {spec.name} is done already: reusing it")
        return result

    def _result(self, name: str, *, reused: bool, reattached: bool = False) -> JobResult | None:
        """The job's result if it is done."""
        record = read_job(self._objects, name)
        if record is None:
            return None
        return JobResult(
            name,
            reused,
            reattached,
            record["seconds"],
            metadata_values(record["metadata"]),
            record["messages"],
            metadata_values(record.get("details", {})),
        )


class LocalCompute(Compute):
    """Runs a job as a process of this machine, in a container's layout under ``jobs_dir``.

    Attributes:
        jobs_dir: where running and failed jobs have their folders; those of done jobs are deleted.
        grace_s: seconds a job gets between SIGTERM and SIGKILL to save a checkpoint.
    """

    jobs_dir: str
    grace_s: float = 5.0

    def run(self, context: Context, spec: JobSpec) -> JobResult:
        """See :meth:`Compute.run`. An interrupt of the run ends the job's process."""
        if result := self._reused(context, spec):
            return result
        folder = JobFolder(Path(self.jobs_dir).absolute() / spec.name)
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{folder.path}.lock")
        lock.acquire()
        try:
            if result := self._reused(context, spec):  # another process has just done it
                return result
            attempt = Attempt(context, spec, self._objects, folder, self.grace_s)
            with attempt.session():
                lock.release()  # from here on others may attach
                code = attempt.wait()
        finally:
            lock.release(force=True)
        attempt.check(code)
        with lock:
            if not self._objects.exists(record_key(spec.name)):
                attempt.store_outputs()
            if folder.path.exists():
                folder.remove()
            Path(lock.lock_file).unlink(missing_ok=True)  # who waits for it finds the record
        result = self._result(spec.name, reused=False, reattached=attempt.reattached)
        if result is None:
            raise JobFailed(f"the record of job {spec.name} vanished from {self._objects.url}")
        return result


def _limit(what: str, values: Mapping[str, str], entries: int, characters: int) -> None:
    if len(values) > entries:
        raise ValueError(f"{len(values)} {what}; a job takes {entries} at most")
    long = [key for key, value in values.items() if len(value) > characters or len(key) > 256]
    if long:
        raise ValueError(f"{what} {long}: longer than the {characters} characters a job takes")

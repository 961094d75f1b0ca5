"""The compute port: jobs in SageMaker's container layout, with Dagster Pipes around them.

A job's name contains a hash of its inputs. So a job that is done is reused, one that runs is
attached to, and one that failed is started again with its checkpoints; no work is paid for twice.
A job is done when ``models/<job>/job.json`` exists, which is written after all outputs.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg

from object_store.store import ObjectStore
from resources.compute.failures import Context
from resources.compute.job_names import Kind
from resources.compute.job_spec import JobSpec
from resources.compute.outputs import (
    JobOutputs,
    Metadata,
    job_times,
    metadata_values,
    model_key,
    read_job,
)
from resources.compute.search import SearchOutcome, SearchSpec


@dataclass(frozen=True)
class JobResult:
    """The result of a job that is done.

    Attributes:
        name: of the job.
        reused: the job was done before; nothing was started.
        reattached: the job was running already.
        seconds: wall time of the job's last launch.
        metadata: reported by the job with ``report_asset_materialization``.
        messages: sent by the job with ``report_custom_message``.
        details: metadata from the adapter: links, times, cost. Empty for local jobs.
        times: when the job's last launch began and ended; ``None``: unknown.
    """

    name: str
    reused: bool
    reattached: bool
    seconds: float
    metadata: Metadata
    messages: list[Any]
    details: Metadata = field(default_factory=dict)
    times: tuple[datetime | None, datetime | None] = (None, None)


class Compute(dg.ConfigurableResource):
    """Runs jobs and reads what they left in the store."""

    store: dg.ResourceDependency[ObjectStore]

    @property
    def _objects(self) -> ObjectStore:
        """``store`` as it is once Dagster has bound the resource; its type also says *before*."""
        store: ObjectStore = self.store
        return store

    @abstractmethod
    def run(self, context: Context, spec: JobSpec) -> JobResult:
        """Run a job to its end, attach to a running one, or reuse one that is done.

        The job's log messages go to Dagster's log meanwhile.

        Raises:
            JobFailed: it failed, ran too long, or ended without a completion message.
        """

    @property
    def runs_trials_as_jobs(self) -> bool:
        """Whether :meth:`search` can be called: the trials of a search become jobs of their own."""
        return False

    def search(self, context: Context, search: SearchSpec) -> SearchOutcome:
        """Run a search to its end, or attach to one that runs.

        Raises:
            JobFailed: it failed, or was stopped.
        """
        raise NotImplementedError(f"{type(self).__name__} runs the trials of a search in one job")

    @property
    def training_machine(self) -> str:
        """What training jobs run on, as far as their speed depends on it."""
        return ""

    def model_key(self, name: str) -> str:
        """Return the key of a training job's model artefact."""
        return model_key(name)

    def outputs(self, name: str, kind: Kind) -> Mapping[str, bytes]:
        """Return the job's files other than the model, by relative path; read on access."""
        return JobOutputs(self.store, name, kind)

    def open_output(self, name: str, file: str, kind: Kind = "processing") -> bytes:
        """Return the bytes of one file that the job wrote.

        Args:
            name: of the job.
            file: path relative to the job's output folder.
            kind: of the job.

        Raises:
            KeyMissing: the job did not write the file, or is not done.
            DamagedObject: the file is not what the job wrote.
        """
        return self.outputs(name, kind)[file]

    def _reused(self, context: Context, spec: JobSpec) -> JobResult | None:
        result = self._result(spec.name, reused=True)
        if result:
            context.log.info(f"job {spec.name} is done already: reusing it")
        return result

    def _result(self, name: str, *, reused: bool, reattached: bool = False) -> JobResult | None:
        """Return the job's result; ``None`` if it is not done."""
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
            job_times(record),
        )

"""The compute port: jobs in SageMaker's container layout, with Dagster Pipes around them.

A job's name is a hash of its inputs. So a job that is done is reused, one that runs is attached
to, and one that died is started again with its checkpoints; none is paid for twice. What "done"
means: ``models/<job>/job.json`` exists, which is written after all outputs.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from resources.compute.failures import Context
from resources.compute.job_names import Kind
from resources.compute.job_spec import JobSpec
from resources.compute.outputs import JobOutputs, Metadata, metadata_values, model_key, read_job
from resources.store.object_store import ObjectStore


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

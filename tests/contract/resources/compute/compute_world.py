"""What tests of the compute port share: jobs as tiny modules, and a Dagster to run them from.

``python -m tests.contract.resources.compute.compute_world ADAPTER COMPUTE SPEC [DAGSTER_HOME]``
is another orchestrator.
"""

import inspect
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from resources.aws.session import AwsSession
from resources.compute.compute import Compute, JobResult
from resources.compute.job_spec import Channel, JobSpec
from resources.compute.local.compute import LocalCompute
from resources.compute.local.folder import JobFolder
from resources.compute.sagemaker.compute import SageMakerCompute
from tests.patience import wait_for
from tests.warm_programs import with_client
from tests.warm_programs.sitecustomize import PROGRAMS, WARM

ORCHESTRATOR = "tests.contract.resources.compute.compute_world"

JOBS = {
    "job_good": """
        with open_pipes() as pipes:
            text = (container.channel("data") / "deep" / "x.txt").read_text()
            pipes.log.info("epoch 1")
            pipes.report_custom_message({"epoch": 1})
            (container.model_dir / "model.bin").write_text("model")
            (container.output_dir / "sub").mkdir()
            (container.output_dir / "sub" / "report.json").write_text(
                json.dumps([text, dict(container.hyperparameters), container.kind])
            )
            pipes.report_asset_materialization(metadata={"accuracy": 0.5})
    """,
    "job_raises": """
        with open_pipes() as pipes:
            raise ValueError("transient trouble")
    """,
    "job_bad_data": """
        with open_pipes() as pipes:
            raise WeightsUnavailable("no weights: put them there")
    """,
    "job_silent": "print('did nothing')",
    "job_exits": """
        with open_pipes():
            pass
        print("the last words")
        sys.exit(3)
    """,
    "job_killed_once": """
        with open_pipes() as pipes:
            checkpoint = container.checkpoint_dir / "epoch"
            if not checkpoint.exists():
                checkpoint.write_text("7")
                (container.model_dir / "torn").write_text("half")
                os.kill(os.getpid(), signal.SIGKILL)
            (container.output_dir / "resumed").write_text(checkpoint.read_text())
    """,
    "job_lists": """
        with open_pipes() as pipes:
            files = sorted(container.channel("weights").iterdir())
            pipes.report_custom_message([[path.name, path.read_text()] for path in files])
    """,
    "job_waits": """
        signal.signal(signal.SIGTERM, lambda *_: (here.joinpath("terminated").touch(), sys.exit(1)))
        with open_pipes() as pipes:
            pipes.log.info("waiting for you")
            here.joinpath("waiting.part").write_text(str(os.getpid()))
            here.joinpath("waiting.part").rename(here / "waiting")  # whole, for who waits for it
            while not here.joinpath("go").exists():
                time.sleep(0.02)
            pipes.report_asset_materialization(metadata={"accuracy": 0.75})
    """,
}
HEAD = """
import json, os, signal, sys, time
from pathlib import Path
from training.container.container import JobContainer
from training.errors import WeightsUnavailable
from training.container.pipes import open_pipes
here = Path(__file__).parent
container = JobContainer.from_environment()
with (here / "starts").open("a") as file:
    file.write("x")
"""


ADAPTERS: dict[str, type[Compute]] = {"local": LocalCompute, "sagemaker": SageMakerCompute}


@dataclass
class World:
    """A store, a folder of job modules, a compute adapter, and a Dagster to run it from.

    ``job`` is the name that its jobs have unless they are given another.
    """

    adapter: str
    folder: Path
    store: ObjectStore
    compute: Compute
    job: str

    def spec(self, module: str, /, **fields: object) -> JobSpec:
        values: dict[str, object] = {
            "name": self.job,
            "kind": "training",
            "module": module,
            "hyperparameters": {"depth": "3"},
            "channels": {"data": Channel(prefix="in", keys=("in/deep/x.txt",))},
            "environment": {"PYTHONPATH": f"{Path.cwd()}{os.pathsep}{self.folder}"},
        }
        return JobSpec.model_validate({**values, **fields})

    def run(self, spec: JobSpec) -> JobResult:
        return run_in_dagster(self.compute, spec)[0]

    @property
    def starts(self) -> int:
        return len((self.folder / "starts").read_text())

    @property
    def left_behind(self) -> list[str]:
        """What remains of jobs that are done, beside their records and outputs."""
        if isinstance(self.compute, LocalCompute):
            return [path.name for path in Path(self.compute.jobs_dir).iterdir()]
        return [info.key for info in self.store.list("checkpoints")]

    def is_running(self, name: str) -> bool:
        """Whether the job has a process, or SageMaker says that it has not ended."""
        if isinstance(self.compute, LocalCompute):
            return JobFolder(Path(self.compute.jobs_dir) / name).running() is not None
        job = AwsSession().client("sagemaker").describe_training_job(TrainingJobName=name)
        return job["TrainingJobStatus"] not in ("Completed", "Failed", "Stopped")

    def model_files(self, name: str) -> list[str]:
        """What is in the model's archive; SageMaker makes one even of nothing."""
        try:
            data = self.store.get(self.compute.model_key(name))
        except KeyMissing:
            return []
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            return [member.name for member in archive if member.isfile()]

    def orchestrator(self, spec: JobSpec, home: Path | None = None) -> "subprocess.Popen[bytes]":
        """Another Dagster process that runs the job, started and waited for until the job waits.

        ``home`` has its instance, if others are to know of the run.
        """
        arguments = [self.adapter, self.compute.model_dump_json(), spec.model_dump_json()]
        arguments += [str(home)] if home else []
        path = with_client(os.pathsep.join([str(Path.cwd()), str(self.folder)]))
        process = subprocess.Popen(
            [sys.executable, "-m", ORCHESTRATOR, *arguments],
            env={**os.environ, "PYTHONPATH": path, WARM: PROGRAMS},
        )
        wait_for((self.folder / "waiting").exists)
        return process


def run_in_dagster(
    compute: Compute,
    spec: JobSpec,
    once_attached: Callable[[], object] | None = None,
    home: Path | None = None,
) -> tuple[JobResult, str]:
    """Run a job inside an asset, as ours do; the result and Dagster's log.

    ``once_attached`` is called when the run has attached to the job; ``home`` is that of Dagster's
    instance, which is in memory otherwise.
    """
    results: list[JobResult] = []

    @dg.asset
    def thing(context: dg.AssetExecutionContext, compute: Compute) -> dg.MaterializeResult:
        results.append(compute.run(context, spec))
        return dg.MaterializeResult(metadata={**results[0].metadata, **results[0].details})

    with open_instance(home) as instance, ThreadPoolExecutor(1) as pool:
        over = threading.Event()
        if once_attached:
            pool.submit(_when_attached, instance, over, once_attached)
        try:
            done = dg.materialize([thing], resources={"compute": compute}, instance=instance)
        finally:
            over.set()
        log = "\n".join(entry.user_message for entry in instance.all_logs(done.run_id))
    return results[0], log


def open_instance(home: Path | None) -> dg.DagsterInstance:
    return dg.DagsterInstance.from_config(str(home)) if home else dg.DagsterInstance.ephemeral()


def _when_attached(
    instance: dg.DagsterInstance, over: threading.Event, act: Callable[[], object]
) -> None:
    while not over.wait(0.05):
        messages = [
            entry.user_message
            for run in instance.get_runs()
            for entry in instance.all_logs(run.run_id)
        ]
        if any("attached to" in message for message in messages):
            act()
            return


def sagemaker_compute(store: ObjectStore, **fields: object) -> SageMakerCompute:
    values: dict[str, object] = {
        "session": AwsSession(region="us-east-1"),
        "store": store,
        "job_role_arn": "arn:aws:iam::123456789012:role/imgclf-jobs",
        "image_uri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/imgclf:1",
        "poll_min_s": 0.1,
        "poll_max_s": 0.5,
        "messages_s": 0.2,
    }
    return SageMakerCompute(**{**values, **fields})


def write_modules(folder: Path, jobs: dict[str, str]) -> None:
    folder.mkdir()
    for name, body in jobs.items():
        (folder / f"{name}.py").write_text(HEAD + inspect.cleandoc(body), encoding="utf-8")


if __name__ == "__main__":  # the other orchestrator
    fields = json.loads(sys.argv[2])
    fields["store"] = ObjectStore(**fields["store"])
    run_in_dagster(
        ADAPTERS[sys.argv[1]].model_validate(fields),
        JobSpec.model_validate_json(sys.argv[3]),
        home=Path(sys.argv[4]) if sys.argv[4:] else None,
    )

"""The compute port's contract on both adapters, with the faults of real machines.

Jobs are tiny modules. SageMaker is the test bed's stand-in, which runs them in processes, too.
"""

import inspect
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import psutil
import pytest
from pydantic import ValidationError

from resources.aws.compute import SageMakerCompute
from resources.aws.session import AwsSession
from resources.compute import (
    Channel,
    Compute,
    JobResult,
    JobSpec,
    LocalChannel,
    LocalCompute,
    job_name,
)
from resources.job_folder import JobFolder
from resources.job_outputs import record_key
from resources.object_store import ObjectStore
from resources.store_errors import KeyMissing
from tests.testbed.bed import TestBed

pytestmark = pytest.mark.contract

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
            here.joinpath("waiting").write_text(str(os.getpid()))
            while not here.joinpath("go").exists():
                time.sleep(0.02)
            pipes.report_asset_materialization(metadata={"accuracy": 0.75})
    """,
}
WEIGHTS = {"folder": "/tmp", "files": ("net.pth",)}
HEAD = """
import json, os, signal, sys, time
from pathlib import Path
from training.container import Container
from training.errors import WeightsUnavailable
from training.pipes import open_pipes
here = Path(__file__).parent
container = Container.from_environment()
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

    def orchestrator(self, spec: JobSpec) -> "subprocess.Popen[bytes]":
        """Another Dagster process that runs the job, started and waited for until the job waits."""
        arguments = (self.adapter, self.compute.model_dump_json(), spec.model_dump_json())
        process = subprocess.Popen(
            [sys.executable, __file__, *arguments],
            env={**os.environ, "PYTHONPATH": f"{Path.cwd()}{os.pathsep}{self.folder}"},
        )
        wait_for((self.folder / "waiting").exists)
        return process


def run_in_dagster(
    compute: Compute, spec: JobSpec, once_attached: Callable[[], object] | None = None
) -> tuple[JobResult, str]:
    """Run a job inside an asset, as ours do; the result and Dagster's log.

    ``once_attached`` is called when the run has attached to the job.
    """
    results: list[JobResult] = []

    @dg.asset
    def thing(context: dg.AssetExecutionContext, compute: Compute) -> dg.MaterializeResult:
        results.append(compute.run(context, spec))
        return dg.MaterializeResult(metadata={**results[0].metadata, **results[0].details})

    with dg.DagsterInstance.ephemeral() as instance, ThreadPoolExecutor(1) as pool:
        over = threading.Event()
        if once_attached:
            pool.submit(_when_attached, instance, over, once_attached)
        try:
            done = dg.materialize([thing], resources={"compute": compute}, instance=instance)
        finally:
            over.set()
        log = "\n".join(entry.user_message for entry in instance.all_logs(done.run_id))
    return results[0], log


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


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


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
    return SageMakerCompute(**{**values, **fields})  # type: ignore[arg-type]


def write_modules(folder: Path, jobs: dict[str, str]) -> None:
    folder.mkdir()
    for name, body in jobs.items():
        (folder / f"{name}.py").write_text(HEAD + inspect.cleandoc(body), encoding="utf-8")


@pytest.fixture(params=list(ADAPTERS))
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> World:
    folder = tmp_path / "modules"
    write_modules(folder, JOBS)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    compute: Compute
    if request.param == "local":
        store = ObjectStore(url=(tmp_path / "a store").as_uri())
        compute = LocalCompute(store=store, jobs_dir=str(tmp_path / "jobs"), grace_s=2)
    else:
        bed: TestBed = request.getfixturevalue("aws_environment")
        store = ObjectStore(url=f"s3://{bed.bucket()}/a/prefix")
        compute = sagemaker_compute(store)
    store.ensure()
    store.put("in/deep/x.txt", b"data")
    return World(request.param, folder, store, compute, f"train-{uuid.uuid4().hex[:12]}")


@pytest.mark.parametrize("kind", ["training", "processing"])
def test_a_job_runs_once_and_is_reused(world: World, kind: str) -> None:
    name = job_name("train", world.job, kind)
    spec = world.spec("job_good", kind=kind, name=name)
    first, log = run_in_dagster(world.compute, spec)
    assert (first.reused, first.reattached) == (False, False)
    assert first.metadata == {"accuracy": 0.5}
    assert first.messages == [{"epoch": 1}]
    assert "epoch 1" in log
    outputs = world.compute.outputs(spec.name, spec.kind)
    assert list(outputs) == ["sub/report.json"]
    assert json.loads(outputs["sub/report.json"]) == ["data", {"depth": "3"}, kind]
    assert outputs.get("other") is None
    assert world.model_files(name) == (["model.bin"] if kind == "training" else [])
    assert world.left_behind == []
    second = world.run(spec)
    assert second.reused
    assert (second.metadata, second.messages) == (first.metadata, first.messages)
    assert world.starts == 1


def test_missing_inputs_and_outputs_are_named(world: World) -> None:
    spec = world.spec("job_good", channels={"data": Channel(prefix="in", keys=("in/lost",))})
    with pytest.raises(KeyMissing, match="in/lost"):
        world.run(spec)
    weights = LocalChannel(folder="/no/such/weights", files=("net.pth",))
    with pytest.raises(dg.Failure, match="no/such/weights") as failed:
        world.run(world.spec("job_good", local_channels={"weights": weights}))
    assert not failed.value.allow_retries
    with pytest.raises(KeyMissing, match=r"report\.json"):
        world.compute.open_output(world.job, "report.json")


def test_only_the_named_files_of_this_machine_are_brought(world: World, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    for name in ("net.pth", "other.pth", "private.txt"):
        (weights / name).write_text(name)
    channel = LocalChannel(folder=str(weights), files=("net.pth", "other.pth"))
    spec = world.spec("job_lists", local_channels={"weights": channel})
    assert world.run(spec).messages == [[["net.pth", "net.pth"], ["other.pth", "other.pth"]]]


@pytest.mark.parametrize(
    ("module", "says", "retries"),
    [
        ("job_raises", "ValueError: transient trouble", True),
        ("job_bad_data", "WeightsUnavailable: no weights: put them there", False),
        ("job_silent", "without a completion message", True),
        ("job_exits", "(?s)exit code 3.*the last words", True),
        ("job_that_is_not_there", "(?s)exit code 1.*No module named job_that_is_not_there", True),
    ],
)
def test_a_failure_says_what_happened(world: World, module: str, says: str, retries: bool) -> None:
    spec = world.spec(module)
    for _ in range(2):  # and is not taken for done afterwards
        with pytest.raises(dg.Failure, match=says) as failed:
            world.run(spec)
        assert failed.value.allow_retries is retries
    assert not world.store.exists(record_key(world.job))


def test_a_killed_job_resumes_from_its_checkpoint(world: World) -> None:
    spec = world.spec("job_killed_once")
    with pytest.raises(dg.Failure, match="SIGKILL"):
        world.run(spec)
    world.store.create(f"models/{world.job}/output/output.tar.gz", b"of an upload that was killed")
    assert not world.run(spec).reused
    assert dict(world.compute.outputs(world.job, "training")) == {"resumed": b"7"}
    assert world.model_files(world.job) == []  # the torn one is not taken


def test_a_killed_orchestrator_loses_nothing(world: World) -> None:
    spec = world.spec("job_waits")
    orchestrator = world.orchestrator(spec)
    orchestrator.kill()
    orchestrator.wait()
    result, log = run_in_dagster(world.compute, spec, (world.folder / "go").touch)
    assert result.reattached
    assert result.metadata == {"accuracy": 0.75}
    assert "waiting for you" in log
    assert world.starts == 1


def test_a_job_that_ended_unwatched_is_not_run_again(world: World) -> None:
    spec = world.spec("job_waits")
    orchestrator = world.orchestrator(spec)
    job = psutil.Process(int((world.folder / "waiting").read_text()))
    orchestrator.kill()
    orchestrator.wait()
    (world.folder / "go").touch()
    wait_for(lambda: not job.is_running() or job.status() == psutil.STATUS_ZOMBIE)
    result = world.run(spec)
    assert result.metadata == {"accuracy": 0.75}
    assert (result.reused, result.reattached) == (False, False)
    assert world.starts == 1


def test_two_orchestrators_share_one_job(world: World) -> None:
    spec = world.spec("job_waits")
    other = world.orchestrator(spec)
    result, _ = run_in_dagster(world.compute, spec, (world.folder / "go").touch)
    assert result.metadata == {"accuracy": 0.75}
    assert other.wait(timeout=30) == 0
    assert world.starts == 1


def test_an_interrupt_ends_the_job(world: World) -> None:
    orchestrator = world.orchestrator(world.spec("job_waits"))
    job = psutil.Process(int((world.folder / "waiting").read_text()))
    orchestrator.send_signal(signal.SIGTERM)
    assert orchestrator.wait(timeout=30) != 0
    wait_for(lambda: not job.is_running() or job.status() == psutil.STATUS_ZOMBIE)
    assert (world.folder / "terminated").exists()


def test_a_job_that_runs_too_long_is_ended(world: World) -> None:
    with pytest.raises(dg.Failure, match="longer than 1 s"):
        world.run(world.spec("job_waits", max_runtime_s=1))
    assert not world.is_running(world.job)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "n" * 64}, "name"),
        ({"name": "a_b"}, "name"),
        ({"module": "job; rm"}, "module"),
        ({"hyperparameters": {"labels": "x" * 2501}}, "labels.*2500"),
        ({"hyperparameters": {"labels": "x" * 257}, "kind": "processing"}, "labels.*256"),
        ({"hyperparameters": {str(i): "" for i in range(101)}}, "101 hyperparameters"),
        ({"environment": {"A": "x" * 513}}, "512"),
        ({"environment": {"A": "x" * 257}, "kind": "processing"}, "256"),
        ({"environment": {str(i): "" for i in range(96)}}, "95"),
        ({"channels": {"data": {"prefix": "in", "keys": ("out/x",)}}}, "out/x"),
        ({"local_channels": {"data": WEIGHTS}}, "twice"),
        ({"local_channels": {f"c{i}": WEIGHTS for i in range(20)}}, "20 at most"),
        ({"local_channels": {f"c{i}": WEIGHTS for i in range(10)}, "kind": "processing"}, "10 at"),
        ({"local_channels": {"w": {"folder": "/tmp", "files": ("../x",)}}}, r"\.\./x"),
        ({"max_runtime_s": 0}, "max_runtime_s"),
    ],
)
def test_what_sagemaker_would_refuse_is_refused_here(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        JobSpec.model_validate(
            {
                "name": "train-1",
                "kind": "training",
                "module": "job_good",
                "channels": {"data": {"prefix": "in", "keys": ("in/x",)}},
                **fields,
            }
        )


if __name__ == "__main__":  # the other orchestrator
    run_in_dagster(
        ADAPTERS[sys.argv[1]].model_validate_json(sys.argv[2]),
        JobSpec.model_validate_json(sys.argv[3]),
    )

"""The compute port's contract, with the faults of a real machine. Jobs are tiny modules."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import psutil
import pytest
from pydantic import ValidationError

from resources.compute import Channel, JobResult, JobSpec, LocalCompute, job_name
from resources.job_folder import JobFolder
from resources.object_store import ObjectStore
from resources.store_errors import KeyMissing

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


@dataclass
class World:
    """A store, a folder of job modules, a compute adapter, and a Dagster to run it from."""

    folder: Path
    store: ObjectStore
    compute: LocalCompute

    def spec(self, module: str, /, **fields: object) -> JobSpec:
        values: dict[str, object] = {
            "name": "train-1",
            "kind": "training",
            "module": module,
            "hyperparameters": {"depth": "3"},
            "channels": {"data": Channel(prefix="in", keys=("in/deep/x.txt",))},
        }
        return JobSpec.model_validate({**values, **fields})

    def run(self, spec: JobSpec) -> JobResult:
        return run_in_dagster(self.compute, spec)[0]

    @property
    def starts(self) -> int:
        return len((self.folder / "starts").read_text())

    def orchestrator(self, spec: JobSpec) -> "subprocess.Popen[bytes]":
        """Another Dagster process that runs the job, started and waited for until the job waits."""
        process = subprocess.Popen(
            [sys.executable, __file__, self.compute.model_dump_json(), spec.model_dump_json()],
            env={**os.environ, "PYTHONPATH": f"{Path.cwd()}{os.pathsep}{self.folder}"},
        )
        wait_for((self.folder / "waiting").exists)
        return process


def run_in_dagster(compute: LocalCompute, spec: JobSpec) -> tuple[JobResult, str]:
    """Run a job inside an asset, as ours do; the result and Dagster's log."""
    results: list[JobResult] = []

    @dg.asset
    def thing(context: dg.AssetExecutionContext, compute: LocalCompute) -> dg.MaterializeResult:
        results.append(compute.run(context, spec))
        return dg.MaterializeResult(metadata=results[0].metadata)

    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize([thing], resources={"compute": compute}, instance=instance)
        log = "\n".join(entry.user_message for entry in instance.all_logs(done.run_id))
    return results[0], log


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    import inspect

    folder = tmp_path / "modules"
    folder.mkdir()
    for name, body in JOBS.items():
        (folder / f"{name}.py").write_text(HEAD + inspect.cleandoc(body), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    store = ObjectStore(url=(tmp_path / "a store").as_uri())
    store.ensure()
    store.put("in/deep/x.txt", b"data")
    compute = LocalCompute(store=store, jobs_dir=str(tmp_path / "jobs"), grace_s=2)
    return World(folder, store, compute)


@pytest.mark.parametrize("kind", ["training", "processing"])
def test_a_job_runs_once_and_is_reused(world: World, kind: str) -> None:
    spec = world.spec("job_good", kind=kind, name=job_name("train", "v1", kind))
    first, log = run_in_dagster(world.compute, spec)
    assert (first.reused, first.reattached) == (False, False)
    assert first.metadata == {"accuracy": 0.5}
    assert first.messages == [{"epoch": 1}]
    assert "epoch 1" in log
    outputs = world.compute.outputs(spec.name, spec.kind)
    assert list(outputs) == ["sub/report.json"]
    assert json.loads(outputs["sub/report.json"]) == ["data", {"depth": "3"}, kind]
    assert outputs.get("other") is None
    assert world.store.exists(world.compute.model_key(spec.name)) == (kind == "training")
    assert list(Path(world.compute.jobs_dir).iterdir()) == []
    second = world.run(spec)
    assert second.reused
    assert (second.metadata, second.messages) == (first.metadata, first.messages)
    assert world.starts == 1


def test_missing_inputs_and_outputs_are_named(world: World) -> None:
    spec = world.spec("job_good", channels={"data": Channel(prefix="in", keys=("in/lost",))})
    with pytest.raises(KeyMissing, match="in/lost"):
        world.run(spec)
    with pytest.raises(dg.Failure, match="no/such/weights") as failed:
        world.run(world.spec("job_good", local_channels={"weights": "/no/such/weights"}))
    assert not failed.value.allow_retries
    with pytest.raises(KeyMissing, match=r"report\.json"):
        world.compute.open_output("train-1", "report.json")


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
    assert world.store.list("models") == []


def test_a_killed_job_resumes_from_its_checkpoint(world: World) -> None:
    spec = world.spec("job_killed_once")
    with pytest.raises(dg.Failure, match="SIGKILL"):
        world.run(spec)
    world.store.put("models/train-1/output/output.tar.gz", b"of an upload that was killed")
    assert not world.run(spec).reused
    assert dict(world.compute.outputs("train-1", "training")) == {"resumed": b"7"}
    assert not world.store.exists(world.compute.model_key("train-1"))  # the torn one is not taken


def test_a_killed_orchestrator_loses_nothing(world: World) -> None:
    spec = world.spec("job_waits")
    orchestrator = world.orchestrator(spec)
    orchestrator.kill()
    orchestrator.wait()
    # a later run attaches; meanwhile the job comes to its end
    subprocess.Popen(["sh", "-c", f"sleep 1; touch '{world.folder}/go'"])
    result, log = run_in_dagster(world.compute, spec)
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
    subprocess.Popen(["sh", "-c", f"sleep 1; touch '{world.folder}/go'"])
    assert world.run(spec).metadata == {"accuracy": 0.75}
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
    assert JobFolder(Path(world.compute.jobs_dir) / "train-1").running() is None


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
        ({"local_channels": {"data": "/tmp"}}, "twice"),
        ({"local_channels": {f"c{i}": "/tmp" for i in range(20)}}, "20 at most"),
        ({"max_runtime_s": 0}, "max_runtime_s"),
    ],
)
def test_what_sagemaker_would_refuse_is_refused_here(
    world: World, fields: dict[str, object], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        world.spec("job_good", **fields)


if __name__ == "__main__":  # the other orchestrator
    run_in_dagster(
        LocalCompute.model_validate_json(sys.argv[1]), JobSpec.model_validate_json(sys.argv[2])
    )

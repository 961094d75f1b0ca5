"""The compute port's contract on both adapters, with the faults of real machines.

Jobs are tiny modules. SageMaker is the test bed's stand-in, which runs them in processes, too.
"""

import json
import signal
import uuid
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from pydantic import ValidationError

from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from resources.compute.compute import Compute
from resources.compute.job_spec import Channel, JobSpec, LocalChannel
from resources.compute.local.compute import LocalCompute
from resources.compute.outputs import record_key
from tests.contract.resources.compute.compute_world import (
    ADAPTERS,
    JOBS,
    World,
    run_in_dagster,
    sagemaker_compute,
    wait_for,
    write_modules,
)
from tests.patience import WAIT_S
from tests.testbed.bed import TestBed

pytestmark = pytest.mark.contract

WEIGHTS = {"folder": "/tmp", "files": ("net.pth",)}


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
    name = f"{world.job}-{kind}"
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
    ("module", "says"),
    [
        ("job_raises", "ValueError: transient trouble"),
        ("job_bad_data", "WeightsUnavailable: no weights: put them there"),
        ("job_silent", "without a completion message"),
        ("job_exits", "(?s)exit code 3.*the last words"),
        ("job_that_is_not_there", "(?s)exit code 1.*No module named job_that_is_not_there"),
    ],
)
def test_a_failure_of_the_script_says_what_happened_and_is_not_tried_again(
    world: World, module: str, says: str
) -> None:
    spec = world.spec(module)
    for _ in range(2):  # and is not taken for done afterwards
        with pytest.raises(dg.Failure, match=says) as failed:
            world.run(spec)
        assert not failed.value.allow_retries
    assert not world.store.exists(record_key(world.job))


def test_a_killed_job_resumes_from_its_checkpoint(world: World) -> None:
    spec = world.spec("job_killed_once")
    with pytest.raises(dg.Failure, match="SIGKILL") as failed:
        world.run(spec)
    assert not failed.value.allow_retries  # out of memory, most likely, and so again
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
    assert other.wait(timeout=WAIT_S) == 0
    assert world.starts == 1


def test_an_interrupt_ends_the_job(world: World) -> None:
    orchestrator = world.orchestrator(world.spec("job_waits"))
    job = psutil.Process(int((world.folder / "waiting").read_text()))
    orchestrator.send_signal(signal.SIGTERM)
    assert orchestrator.wait(timeout=WAIT_S) != 0
    wait_for(lambda: not job.is_running() or job.status() == psutil.STATUS_ZOMBIE)
    assert (world.folder / "terminated").exists()


def test_a_job_that_runs_too_long_is_ended(world: World) -> None:
    with pytest.raises(dg.Failure, match="longer than 1 s") as failed:
        world.run(world.spec("job_waits", max_runtime_s=1))
    assert not failed.value.allow_retries
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


def test_a_job_that_was_done_while_its_lock_was_waited_for_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "modules"
    write_modules(folder, JOBS)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    store = ObjectStore(url=(tmp_path / "store").as_uri())
    store.ensure()
    store.put("in/deep/x.txt", b"data")
    compute = LocalCompute(store=store, jobs_dir=str(tmp_path / "jobs"))
    world = World("local", folder, store, compute, f"train-{uuid.uuid4().hex[:12]}")
    spec = world.spec("job_good")
    world.run(spec)
    honest, looks = LocalCompute._reused, [0]

    def late(self: LocalCompute, *arguments: Any) -> Any:
        looks[0] += 1
        return honest(self, *arguments) if looks[0] > 1 else None

    monkeypatch.setattr(LocalCompute, "_reused", late)
    assert world.run(spec).reused
    assert world.starts == 1

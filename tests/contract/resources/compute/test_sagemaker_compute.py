"""What only SageMaker does to a job: spot, throttling, quotas, the console, twins, bills."""

import json
import re
import secrets
import signal
import threading
import uuid
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from object_store.store import ObjectStore
from resources.compute.compute import JobResult
from resources.compute.failures import Context, JobFailed
from resources.compute.job_spec import JobSpec
from resources.compute.outputs import record_key
from resources.compute.sagemaker.attempt import SageMakerAttempt
from resources.compute.sagemaker.compute import SageMakerCompute
from resources.compute.sagemaker.machines import TrainingResources
from tests.contract.resources.compute.compute_world import (
    JOBS,
    World,
    open_instance,
    run_in_dagster,
    sagemaker_compute,
    wait_for,
    write_modules,
)
from tests.patience import WAIT_S, slowness
from tests.testbed.bed import TestBed

pytestmark = pytest.mark.contract

MORE = {
    "job_resumes": """
        checkpoint = container.checkpoint_dir / "epoch"
        with open_pipes() as pipes:
            pipes.report_custom_message({"epoch": 2 if checkpoint.exists() else 1})
            if not checkpoint.exists():
                pipes.report_asset_materialization(metadata={"first": 1})
                time.sleep(@PAUSE@)  # messages are on their way for 0.2 s
                checkpoint.write_text("1")
                time.sleep(3600)
            time.sleep(2.2)  # long enough for a saving to show in whole seconds
            pipes.report_asset_materialization(metadata={"second": 2})
    """,
    "job_hosts": """
        hosts = json.loads((container.root / "input/config/resourceconfig.json").read_text())
        print("I am", hosts["current_host"], "of", len(hosts["hosts"]), flush=True)
        with open_pipes() as pipes:
            time.sleep(1)
    """,
    "job_takes_its_time": """
        with open_pipes() as pipes:
            for number in range(20):
                print("line", number, flush=True)
                time.sleep(0.1)
    """,
}


@pytest.fixture
def world(aws_environment: TestBed, tmp_path: Path) -> World:
    folder = tmp_path / "modules"
    jobs = {name: code.replace("@PAUSE@", str(slowness())) for name, code in MORE.items()}
    write_modules(folder, JOBS | jobs)
    store = ObjectStore(url=f"s3://{aws_environment.bucket()}")
    store.ensure()
    store.put("in/deep/x.txt", b"data")
    job = f"train-{uuid.uuid4().hex[:12]}"
    return World("sagemaker", folder, store, sagemaker_compute(store), job)


def with_training(world: World, **resources: Any) -> None:
    world.compute = sagemaker_compute(world.store, training=TrainingResources(**resources))


def calls(bed: TestBed, operation: str, job: str) -> list[dict[str, Any]]:
    """The calls about a job or its attempts."""
    return [call for call in bed.calls(operation) if job in json.dumps(call["request"])]


def test_a_spot_interruption_costs_no_message(world: World, aws_environment: TestBed) -> None:
    with_training(world, spot=True, max_runtime_s=600)
    aws_environment.fault("*", "spot_interruption", job=world.job)
    result, log = run_in_dagster(world.compute, world.spec("job_resumes"))
    assert result.messages == [{"epoch": 1}, {"epoch": 2}]
    assert result.metadata == {"first": 1, "second": 2}
    assert "Interrupted" in log
    assert len(calls(aws_environment, "CreateTrainingJob", world.job)) == 1
    record = json.loads(world.store.get(record_key(world.job)))["aws"]
    assert (record["interruptions"], record["spot"]) == (1, True)
    assert record["billable_seconds"] < record["run_seconds"]
    assert record["cost_usd"] == pytest.approx(0.23 * record["billable_seconds"] / 3600, abs=1e-6)
    assert result.details["spot saving (%)"] > 0
    assert world.job in result.details["SageMaker console"].value
    assert result.details["secondary status"].value == "Completed"
    assert result.details["billable seconds"] == record["billable_seconds"]
    [cost] = [name for name in result.details if name.startswith("estimated cost (USD")]
    assert result.details[cost] == record["cost_usd"]


def test_what_a_warm_pool_may_cost_is_reported(world: World) -> None:
    with_training(world, keep_alive_s=600)
    result = world.run(world.spec("job_good"))
    most = 0.23 * 600 / 3600
    assert result.details["warm pool afterwards (USD, at most)"] == pytest.approx(most, abs=1e-6)
    record = json.loads(world.store.get(record_key(world.job)))["aws"]
    assert (record["keep_alive_seconds"], record["keep_alive_cost_usd"]) == (600, round(most, 6))
    assert record["cost_usd"] < most


@pytest.mark.parametrize("kind", ["throttle", "error500"])
def test_a_hiccup_of_a_service_is_ridden_out(
    world: World, aws_environment: TestBed, kind: str
) -> None:
    """Each of a job's services has its own, in one job."""
    for operation in ("CreateTrainingJob", "DescribeTrainingJob", "logs", "s3"):
        aws_environment.fault(operation, kind, times=2)
    assert world.run(world.spec("job_good")).metadata == {"accuracy": 0.5}
    assert world.starts == 1
    assert [fault["taken"] for fault in aws_environment.faults()] == [2] * 4


def test_a_lost_answer_does_not_pay_twice(world: World, aws_environment: TestBed) -> None:
    aws_environment.fault("CreateTrainingJob", "lost", when="after")
    assert world.run(world.spec("job_good")).metadata == {"accuracy": 0.5}
    assert world.starts == 1
    assert [fault["taken"] for fault in aws_environment.faults()] == [1]


def test_a_killed_orchestrator_is_not_paid_twice(world: World, aws_environment: TestBed) -> None:
    spec = world.spec("job_waits")
    orchestrator = world.orchestrator(spec)
    orchestrator.kill()
    orchestrator.wait()
    result, _ = run_in_dagster(world.compute, spec, (world.folder / "go").touch)
    assert result.reattached
    assert len(calls(aws_environment, "CreateTrainingJob", world.job)) == 1


def test_no_capacity_is_worth_a_retry(world: World, aws_environment: TestBed) -> None:
    aws_environment.fault("*", "capacity", job=world.job)
    with pytest.raises(dg.Failure, match="CapacityError") as failed:
        world.run(world.spec("job_good"))
    assert failed.value.allow_retries
    assert world.run(world.spec("job_good")).metadata == {"accuracy": 0.5}
    assert dict(world.compute.outputs(world.job, "training")).keys() == {"sub/report.json"}
    record = json.loads(world.store.get(record_key(world.job)))["aws"]
    assert record["job"] == f"{world.job}-2"


def created(bed: TestBed, job: str) -> list[tuple[str, bool, int | None]]:
    """Of every training job that was asked for: its name, whether on spot, and its longest wait."""
    requests = [call["request"] for call in bed.calls("CreateTrainingJob")]
    return [
        (
            request["TrainingJobName"],
            request["EnableManagedSpotTraining"],
            request["StoppingCondition"].get("MaxWaitTimeInSeconds"),
        )
        for request in requests
        if request["TrainingJobName"].startswith(job)
    ]


@pytest.mark.parametrize(
    "limits",
    [
        {"spot_wait_s": 1},  # a job of a minute may run for a day, so we end its wait
        {"max_runtime_s": 100, "max_wait_s": 100},  # SageMaker does
    ],
)
def test_without_spot_capacity_the_job_goes_on_on_demand(
    world: World, aws_environment: TestBed, limits: dict[str, int]
) -> None:
    with_training(world, spot=True, **limits)
    aws_environment.fault("*", "capacity", job=world.job, time_scale=100)
    spec = world.spec("job_good", max_runtime_s=600) if "spot_wait_s" in limits else None
    result = world.run(spec or world.spec("job_good"))
    assert result.metadata == {"accuracy": 0.5}
    (first, second) = created(aws_environment, world.job)
    assert first[:2] == (world.job, True)
    assert second == (f"{world.job}-2", False, None)
    assert world.starts == 1, "nothing is paid twice"
    reported = aws_environment.client("sagemaker").describe_training_job(TrainingJobName=world.job)
    assert reported["TrainingJobStatus"] == "Stopped"
    record = json.loads(world.store.get(record_key(world.job)))
    assert (record["aws"]["job"], record["aws"]["spot"]) == (f"{world.job}-2", False)
    assert "no spot capacity" in record["details"]["capacity"]["raw_value"]


def test_a_job_that_gets_spot_capacity_in_time_stays_on_spot(
    world: World, aws_environment: TestBed
) -> None:
    with_training(world, spot=True, spot_wait_s=3600)
    aws_environment.fault("*", "capacity", job=world.job, seconds=1)
    result, _ = run_in_dagster(world.compute, world.spec("job_good"))
    assert [job[:2] for job in created(aws_environment, world.job)] == [(world.job, True)]
    assert result.details["capacity"].value == "spot"


def test_who_wants_spot_only_gets_it_or_a_failure(world: World, aws_environment: TestBed) -> None:
    with_training(world, spot=True, spot_wait_s=1, spot_fallback=False)
    aws_environment.fault("*", "capacity", job=world.job)
    with pytest.raises(dg.Failure, match=r"no spot capacity.*spot_fallback") as failed:
        world.run(world.spec("job_good"))
    assert failed.value.allow_retries
    assert world.run(world.spec("job_good")).metadata == {"accuracy": 0.5}
    assert [job[:2] for job in created(aws_environment, world.job)] == [
        (world.job, True),
        (f"{world.job}-2", True),
    ]


def test_a_process_killed_after_the_wait_is_followed_by_one_on_demand(
    world: World, aws_environment: TestBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_training(world, spot=True, spot_wait_s=1)
    aws_environment.fault("*", "capacity", job=world.job)

    def killed(*_: object) -> None:
        raise SystemError("kill -9")

    with monkeypatch.context() as patch:
        patch.setattr(SageMakerAttempt, "_goes_on_demand", killed)
        with pytest.raises(Exception, match="kill -9"):
            world.run(world.spec("job_good"))
    assert world.run(world.spec("job_good")).metadata == {"accuracy": 0.5}
    assert [job[:2] for job in created(aws_environment, world.job)] == [
        (world.job, True),
        (f"{world.job}-2", False),
    ]


@pytest.mark.parametrize(
    ("fields", "fault", "says"),
    [
        ({}, "quota", "Service Quotas"),
        ({"job_role_arn": ""}, None, "aws.job_role_arn"),
        ({"training": {"instance_type": "ml.g5.xlarge"}}, None, "aws.gpu_image_uri"),
        ({"image_uri": "no image " * 40}, None, "ValidationException"),
    ],
)
def test_what_a_retry_cannot_cure_is_not_retried(
    world: World, aws_environment: TestBed, fields: dict[str, Any], fault: str | None, says: str
) -> None:
    if fault:
        aws_environment.fault("CreateTrainingJob", fault)
    world.compute = sagemaker_compute(world.store, **fields)
    with pytest.raises(JobFailed, match=says) as failed:
        world.run(world.spec("job_good"))
    assert not failed.value.allow_retries


@pytest.mark.parametrize(
    ("kind", "module", "processes"),
    [("training", "training.train", "4"), ("processing", "training.embed", "1")],
)
def test_a_gpu_instance_whose_gpus_are_not_seen_fails_for_good(
    world: World, kind: str, module: str, processes: str
) -> None:
    with_gpus = {"instance_type": "ml.g5.12xlarge"}
    world.compute = sagemaker_compute(
        world.store, gpu_image_uri="123456789012.dkr.ecr.us-east-1.amazonaws.com/imgclf:gpu",
        training=with_gpus, processing=with_gpus,
    )  # fmt: skip
    name = f"{'train' if kind == 'training' else 'eval'}-{uuid.uuid4().hex[:12]}"
    spec = world.spec(module, name=name, kind=kind, hyperparameters={})
    spec.environment.update(CUDA_VISIBLE_DEVICES="", IMGCLF_PROCESSES_PER_HOST=processes)
    with pytest.raises(JobFailed, match=r"NoGpu: ml\.g5\.12xlarge has GPUs, but PyTorch") as failed:
        world.run(spec)
    assert not failed.value.allow_retries
    assert re.search("The host('s| has no) NVIDIA driver", failed.value.description or "")
    assert not (world.folder / "starts").exists(), "nothing was computed"


def test_limits_are_checked_before_anything_is_launched(aws_environment: TestBed) -> None:
    store = ObjectStore(url=f"s3://{aws_environment.bucket()}/{secrets.token_hex(200)}")
    store.ensure()
    name = f"eval-{uuid.uuid4().hex[:12]}"
    spec = JobSpec(name=name, kind="processing", module="training.evaluate")
    with pytest.raises(dg.Failure, match=r"DAGSTER_PIPES_CONTEXT has \d+ characters \(256"):
        run_in_dagster(sagemaker_compute(store), spec)
    assert calls(aws_environment, "CreateProcessingJob", name) == []


def test_a_job_stopped_in_the_console_is_a_failure_that_says_so(
    world: World, aws_environment: TestBed
) -> None:
    def stop() -> None:
        wait_for((world.folder / "waiting").exists)
        aws_environment.client("sagemaker").stop_training_job(TrainingJobName=world.job)

    threading.Thread(target=stop).start()
    with pytest.raises(dg.Failure, match="stopped from outside") as failed:
        world.run(world.spec("job_waits"))
    assert not failed.value.allow_retries
    (world.folder / "go").touch()
    assert world.run(world.spec("job_waits")).metadata == {"accuracy": 0.75}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A Dagster that starts lost runs again, as ours does."""
    home = tmp_path / "dagster"
    home.mkdir()
    retries = {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}
    settings = {"run_retries": retries, "telemetry": {"enabled": False}}
    (home / "dagster.yaml").write_text(json.dumps(settings))
    with open_instance(home) as instance:
        assert instance.get_runs_count() == 0
    return home


def test_a_cancelled_run_stops_the_job(world: World, aws_environment: TestBed, home: Path) -> None:
    orchestrator = world.orchestrator(world.spec("job_waits"), home)
    with open_instance(home) as instance:
        [run] = instance.get_runs()
        instance.report_run_canceling(run)  # as every launcher does before it ends the process
        orchestrator.send_signal(signal.SIGTERM)
        assert orchestrator.wait(timeout=WAIT_S) != 0
        assert instance.get_runs()[0].status is dg.DagsterRunStatus.CANCELED
    assert len(calls(aws_environment, "StopTrainingJob", world.job)) == 1
    sagemaker = aws_environment.client("sagemaker")
    job = sagemaker.describe_training_job(TrainingJobName=world.job)
    assert job["TrainingJobStatus"] in ("Stopping", "Stopped")


def test_a_run_that_is_stopped_unasked_leaves_the_job_to_its_next_process(
    world: World, aws_environment: TestBed, home: Path
) -> None:
    """ECS retires a task: SIGTERM, and nobody has cancelled the run."""
    spec = world.spec("job_waits")
    orchestrator = world.orchestrator(spec, home)
    orchestrator.send_signal(signal.SIGTERM)
    assert orchestrator.wait(timeout=WAIT_S) != 0
    assert calls(aws_environment, "StopTrainingJob", world.job) == []
    with open_instance(home) as instance:
        [run] = instance.get_runs()
        assert run.tags["dagster/will_retry"] == "true"
    result, _ = run_in_dagster(world.compute, spec, (world.folder / "go").touch)
    assert result.reattached
    assert len(calls(aws_environment, "CreateTrainingJob", world.job)) == 1


def test_the_output_of_every_host_is_shown(
    world: World, aws_environment: TestBed, capfd: pytest.CaptureFixture[str]
) -> None:
    with_training(world, instance_count=2)
    world.run(world.spec("job_hosts"))
    shown = capfd.readouterr().out
    assert "algo-1: I am algo-1 of 2" in shown
    assert "algo-2: job_hosts works on algo-1 alone" in shown
    request = calls(aws_environment, "CreateTrainingJob", world.job)[0]["request"]
    assert request["EnableInterContainerTrafficEncryption"]
    assert request["ResourceConfig"]["InstanceCount"] == 2


def test_a_poll_is_one_call_and_one_for_the_log(
    world: World, aws_environment: TestBed, capfd: pytest.CaptureFixture[str]
) -> None:
    result = world.run(world.spec("job_takes_its_time"))
    polls = len(calls(aws_environment, "DescribeTrainingJob", world.job))
    logs = calls(aws_environment, "GetLogEvents", world.job)
    logs += calls(aws_environment, "DescribeLogStreams", world.job)
    assert polls <= 1 + result.seconds / 0.1 + 1  # one before the launch
    assert len(logs) <= polls + 3  # reading to the end takes three
    lines = [line for line in capfd.readouterr().out.splitlines() if ": line " in line]
    assert lines == [f"algo-1: line {number}" for number in range(20)]


def test_the_twin_of_another_deployment_is_not_taken(
    world: World, aws_environment: TestBed
) -> None:
    elsewhere = ObjectStore(url=f"s3://{aws_environment.bucket()}")
    elsewhere.ensure()
    elsewhere.put("in/deep/x.txt", b"data")
    run_in_dagster(sagemaker_compute(elsewhere), world.spec("job_good"))
    assert world.run(world.spec("job_good")).metadata == {"accuracy": 0.5}
    assert world.starts == 2
    assert world.model_files(world.job) == ["model.bin"]


def test_deleting_the_outputs_has_the_job_done_again(world: World) -> None:
    world.run(world.spec("job_good"))
    world.store.delete_all([info.key for info in world.store.list(f"models/{world.job}")])
    assert not world.run(world.spec("job_good")).reused
    assert world.model_files(world.job) == ["model.bin"]
    assert world.starts == 2


class Late(SageMakerCompute):
    """Looks for the record just before another orchestrator writes it."""

    def _reused(self, context: Context, spec: JobSpec) -> JobResult | None:
        return None


def test_a_job_done_by_another_meanwhile_is_not_done_again(world: World) -> None:
    world.run(world.spec("job_good"))
    late = Late(**{name: getattr(world.compute, name) for name in Late.model_fields})
    result, _ = run_in_dagster(late, world.spec("job_good"))
    assert result.reused
    assert set(result.details) == {"SageMaker job", "SageMaker console", "CloudWatch logs"}
    assert world.starts == 1


def test_a_job_may_need_its_third_attempt(world: World) -> None:
    spec = world.spec("job_raises")
    for _ in range(2):
        with pytest.raises(dg.Failure, match=r"(?s)ValueError.*SageMaker: AlgorithmError"):
            world.run(spec)
    assert world.run(spec.model_copy(update={"module": "job_good"})).metadata == {"accuracy": 0.5}
    assert json.loads(world.store.get(record_key(world.job)))["aws"]["attempt"] == 3

"""The test bed's SageMaker behaves as the service does: training jobs."""

import json

import pytest
from botocore.exceptions import ClientError

from tests.patience import wait_for
from tests.testbed.bed import TestBed
from tests.testbed.examples import (
    archive,
    log_lines,
    run_training,
    spot_request,
    training_request,
    wait_training,
)

pytestmark = pytest.mark.contract


def _statuses(description: dict) -> list[str]:
    return [entry["Status"] for entry in description["SecondaryStatusTransitions"]]


def test_a_training_job_runs_in_the_layout_of_a_container(bed: TestBed) -> None:
    bucket = bed.bucket()
    s3 = bed.client("s3")
    for key in ("data/a.txt", "data/deep/b.txt", "other/c.txt"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    manifest = json.dumps([{"prefix": f"s3://{bucket}/data/"}, "deep/b.txt"]).encode()
    s3.put_object(Bucket=bucket, Key="list.manifest", Body=manifest)

    def channel(name: str, kind: str, key: str) -> dict:
        source = {"S3DataType": kind, "S3Uri": f"s3://{bucket}/{key}"}
        return {"ChannelName": name, "DataSource": {"S3DataSource": source}}

    code = """
config = {p.stem: json.loads(p.read_text()) for p in (root / "input/config").glob("*.json")}
found = sorted(str(p.relative_to(root / "input/data")) for p in (root / "input/data").rglob("*.txt"))
(root / "model/found.json").write_text(json.dumps([found, config, dict(os.environ)]))
(root / "output/data/report.txt").write_text("well")
print("loss=0.5;"); print("loss=0.25;", file=sys.stderr)
"""
    request = training_request(
        bed,
        "layout",
        code,
        bucket=bucket,
        HyperParameters={"epochs": "3"},
        Environment={"MINE": "yes"},
        InputDataConfig=[
            channel("prefix", "S3Prefix", "data/"),
            channel("listed", "ManifestFile", "list.manifest"),
        ],
    )
    request["AlgorithmSpecification"]["MetricDefinitions"] = [
        {"Name": "loss", "Regex": "loss=([0-9.]+);"}
    ]
    found = run_training(bed, request)
    assert found["TrainingJobStatus"] == "Completed", found
    stages = ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert _statuses(found) == stages
    assert all(
        entry["EndTime"] >= entry["StartTime"] for entry in found["SecondaryStatusTransitions"]
    )
    assert found["BillableTimeInSeconds"] == found["TrainingTimeInSeconds"] >= 1
    assert [(m["MetricName"], m["Value"]) for m in found["FinalMetricDataList"]] == [("loss", 0.25)]
    assert found["HyperParameters"] == {"epochs": "3"}
    assert found["Environment"] == {"MINE": "yes"}

    model = found["ModelArtifacts"]["S3ModelArtifacts"]
    assert model == f"s3://{bucket}/models/layout/output/model.tar.gz"
    files, config, environ = json.loads(archive(bed, model)["found.json"])
    assert files == ["listed/deep/b.txt", "prefix/a.txt", "prefix/deep/b.txt"]
    assert config["hyperparameters"] == {"epochs": "3"}
    assert config["inputdataconfig"]["listed"]["TrainingInputMode"] == "File"
    assert config["resourceconfig"]["hosts"] == ["algo-1"]
    assert (environ["TRAINING_JOB_NAME"], environ["MINE"]) == ("layout", "yes")
    assert environ["AWS_ENDPOINT_URL"] == bed.url
    assert "PYTEST_CURRENT_TEST" not in environ
    output = archive(bed, model.replace("model.tar.gz", "output.tar.gz"))
    assert output == {"report.txt": b"well"}
    assert sorted(log_lines(bed, "TrainingJobs", "layout")[0]) == ["loss=0.25;", "loss=0.5;"]


def test_a_failure_names_its_file_and_exit_code(bed: TestBed) -> None:
    code = "(root / 'output/failure').write_text('no labels: ' + 'x' * 5000); sys.exit(3)"
    found = run_training(bed, training_request(bed, "fails", code))
    assert found["TrainingJobStatus"] == found["SecondaryStatus"] == "Failed"
    assert found["FailureReason"].startswith("AlgorithmError: no labels: xxx")
    assert found["FailureReason"].endswith(", exit code: 3")
    assert len(found["FailureReason"]) <= 1024
    silent = run_training(bed, training_request(bed, "fails-silently", "os.kill(os.getpid(), 9)"))
    assert silent["FailureReason"] == "AlgorithmError: , exit code: 137"


def test_an_input_that_is_missing(bed: TestBed) -> None:
    def with_source(kind: str, url: str) -> dict:
        source = {"S3DataSource": {"S3DataType": kind, "S3Uri": url}}
        name = f"missing-{kind.lower()}"
        channels = [{"ChannelName": "images", "DataSource": source}]
        return training_request(bed, name, InputDataConfig=channels)

    bucket = bed.bucket()
    with pytest.raises(ClientError, match="No S3 objects found under S3 URL"):
        run_training(bed, with_source("S3Prefix", f"s3://{bucket}/nothing/"))
    found = run_training(bed, with_source("ManifestFile", f"s3://{bucket}/nothing.manifest"))
    assert found["FailureReason"].startswith("ClientError: Data download failed:NoSuchKey (404)")
    assert _statuses(found) == ["Starting", "Downloading", "Failed"]


def test_a_name_is_used_once(bed: TestBed) -> None:
    request = training_request(bed, "once")
    run_training(bed, request)
    with pytest.raises(ClientError, match="already exists") as caught:
        bed.client("sagemaker").create_training_job(**request)
    assert caught.value.response["Error"]["Code"] == "ResourceInUse"
    with pytest.raises(ClientError, match="Requested resource not found") as caught:
        bed.client("sagemaker").describe_training_job(TrainingJobName="never-made")
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_stop_gives_time_to_save_and_keeps_the_model(bed: TestBed) -> None:
    code = """
import signal
def save(*_):
    (root / "model/saved").write_text("in time")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
time.sleep(3600)
"""
    sagemaker = bed.client("sagemaker")
    sagemaker.create_training_job(**training_request(bed, "stopped", code))
    _wait_for_line(bed, "stopped", "ready")
    sagemaker.stop_training_job(TrainingJobName="stopped")
    found = wait_training(bed, "stopped")
    assert found["TrainingJobStatus"] == found["SecondaryStatus"] == "Stopped"
    assert _statuses(found)[-2:] == ["Stopping", "Stopped"]
    assert archive(bed, found["ModelArtifacts"]["S3ModelArtifacts"]) == {"saved": b"in time"}
    with pytest.raises(ClientError, match="is in status Stopped"):
        sagemaker.stop_training_job(TrainingJobName="stopped")


def test_what_ignores_the_stop_is_killed(bed: TestBed) -> None:
    bed.settings(grace_s=0.2)
    try:
        code = "import signal; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(3600)"
        bed.client("sagemaker").create_training_job(**training_request(bed, "stubborn", code))
        _wait_for_line(bed, "stubborn", "ready")
        bed.client("sagemaker").stop_training_job(TrainingJobName="stubborn")
        assert wait_training(bed, "stubborn")["TrainingJobStatus"] == "Stopped"
    finally:
        bed.settings(grace_s=10.0)


def test_a_job_that_runs_too_long_is_stopped(bed: TestBed) -> None:
    request = training_request(
        bed, "too-long", "time.sleep(3600)", StoppingCondition={"MaxRuntimeInSeconds": 1}
    )
    found = run_training(bed, request)
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == (
        "Stopped",
        "MaxRuntimeExceeded",
    )


def test_a_spot_job_restarts_with_its_checkpoints(bed: TestBed) -> None:
    bucket = bed.bucket()
    code = """
folder = root / "checkpoints"; folder.mkdir(exist_ok=True)
done = sorted(p.name for p in folder.iterdir())
print("found", done, flush=True)
if done == ["one", "two"]:
    (root / "model/done").write_text(str(done)); sys.exit(0)
name = "two" if done else "one"
(folder / name).write_text(name)
time.sleep(3600)
"""
    bed.fault("CreateTrainingJob", "spot_interruption", job="spot-*", times=2)
    request = spot_request(
        bed, "spot-1", code, bucket=bucket, CheckpointConfig={"S3Uri": f"s3://{bucket}/ck/spot-1/"}
    )
    found = run_training(bed, request)
    attempt = ["Starting", "Downloading", "Training"]
    again = [*attempt, "Interrupted"]
    assert _statuses(found) == [*again, *again, *attempt, "Uploading", "Completed"]
    assert found["BillableTimeInSeconds"] <= found["TrainingTimeInSeconds"]
    assert [lines[0] for lines in log_lines(bed, "TrainingJobs", "spot-1")] == [
        "found []",
        "found ['one']",
        "found ['one', 'two']",
    ]
    assert bed.faults()[0]["taken"] == 2


def test_a_spot_job_that_waits_too_long(bed: TestBed) -> None:
    bed.fault("CreateTrainingJob", "capacity", job="waits")
    request = spot_request(bed, "waits") | {
        "StoppingCondition": {"MaxRuntimeInSeconds": 1, "MaxWaitTimeInSeconds": 1}
    }
    found = run_training(bed, request)
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == (
        "Stopped",
        "MaxWaitTimeExceeded",
    )


def test_hosts_of_a_job_find_each_other(bed: TestBed) -> None:
    code = """
config = json.loads((root / "input/config/resourceconfig.json").read_text())
assert config["hosts"] == ["algo-1", "algo-2"] and os.environ["IMGCLF_MASTER_ADDRESS"]
import socket
port = int(os.environ["IMGCLF_MASTER_PORT"])
if config["current_host"] == "algo-1":
    server = socket.create_server((os.environ["IMGCLF_MASTER_ADDRESS"], port))
    print("from", server.accept()[0].recv(10).decode())
else:
    while True:
        try: socket.create_connection(("127.0.0.1", port)).send(b"algo-2"); break
        except OSError: time.sleep(0.05)
(root / "model" / config["current_host"]).write_text("")
"""
    request = training_request(bed, "hosts", code)
    request["ResourceConfig"]["InstanceCount"] = 2
    found = run_training(bed, request)
    assert found["TrainingJobStatus"] == "Completed", found
    assert set(archive(bed, found["ModelArtifacts"]["S3ModelArtifacts"])) == {"algo-1", "algo-2"}
    assert log_lines(bed, "TrainingJobs", "hosts") == [["from algo-2"]]


def test_a_warm_pool_is_reused_by_a_job_like_it(bed: TestBed) -> None:
    def pool(name: str) -> dict:
        return bed.client("sagemaker").describe_training_job(TrainingJobName=name)["WarmPoolStatus"]

    for name, kind in (("warm-1", "ml.m5.xlarge"), ("warm-2", "ml.c5.xlarge")):
        request = training_request(bed, name)
        request["ResourceConfig"] |= {"KeepAlivePeriodInSeconds": 600, "InstanceType": kind}
        run_training(bed, request)
    assert (pool("warm-1")["Status"], pool("warm-2")["Status"]) == ("Available", "Available")
    request["TrainingJobName"] = "warm-3"
    run_training(bed, request)
    assert pool("warm-1")["Status"] == "Available"
    assert (pool("warm-2")["Status"], pool("warm-2")["ReusedByJob"]) == ("Reused", "warm-3")


def _wait_for_line(bed: TestBed, job: str, line: str) -> None:
    def has_logged() -> bool:
        try:
            return any(line in lines for lines in log_lines(bed, "TrainingJobs", job))
        except ClientError:
            return False

    wait_for(has_logged, f"{job} never said {line!r}")

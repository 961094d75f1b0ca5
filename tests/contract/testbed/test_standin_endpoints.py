"""The stand-in's endpoints: they serve, move through SageMaker's states and roll back."""

import io
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from tests.patience import WAIT_S
from tests.testbed.bed import TestBed
from training.artefact.artefact import digest, pack

pytestmark = pytest.mark.contract

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/imgclf:1"
ROLE = "arn:aws:iam::123456789012:role/endpoint"
SETTLE_S = WAIT_S


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "lime").save(file, "PNG")
    return file.getvalue()


class Shop:
    """A bucket with models, and what is made of them."""

    def __init__(
        self, bed: TestBed, colour_artefact: Callable[..., Path], folder: Path, name: str
    ) -> None:
        self.bed = bed
        self.bucket = bed.bucket()
        self.sagemaker = bed.client("sagemaker")
        self.runtime = bed.client("sagemaker-runtime")
        self.name = name
        self._artefact = colour_artefact
        self._folder = folder

    def config(self, version: str, *, environ: dict[str, str] | None = None, **fields: Any) -> str:
        """A model and an endpoint configuration of the same name."""
        name = f"{self.name}-{version}"
        folder = self._artefact(self._folder / version, model_version=version)
        pack(folder, archive := self._folder / f"{version}.tar.gz")
        key = f"models/{version}/output/model.tar.gz"
        self.bed.client("s3").put_object(Bucket=self.bucket, Key=key, Body=archive.read_bytes())
        given = {"IMGCLF_MODEL_VERSION": version, "IMGCLF_DIGEST": digest(folder)}
        self.sagemaker.create_model(
            ModelName=name,
            PrimaryContainer={
                "Image": IMAGE,
                "ModelDataUrl": f"s3://{self.bucket}/{key}",
                "Environment": {**given, **(environ or {})},
            },
            ExecutionRoleArn=ROLE,
        )
        variant = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 2}
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[{"VariantName": "AllTraffic", "ModelName": name, **variant}],
            **fields,
        )
        return name

    def create(self, config: str) -> dict[str, Any]:
        self.sagemaker.create_endpoint(EndpointName=self.name, EndpointConfigName=config)
        return self.settled("Creating")

    def describe(self) -> dict[str, Any]:
        return dict(self.sagemaker.describe_endpoint(EndpointName=self.name))

    def settled(self, *passing: str) -> dict[str, Any]:
        """The endpoint once it is in none of the states ``passing``."""
        deadline = time.monotonic() + SETTLE_S
        while (reported := self.describe())["EndpointStatus"] in passing:
            assert time.monotonic() < deadline, reported
            time.sleep(0.05)
        return reported

    def invoke(self, **fields: Any) -> dict[str, Any]:
        call = {"EndpointName": self.name, "Body": picture(), "ContentType": "image/png"}
        answer = self.runtime.invoke_endpoint(**{**call, **fields})
        return {**answer, "Body": json.loads(answer["Body"].read())}

    def version(self) -> str:
        return str(self.invoke()["Body"]["model_version"])


@pytest.fixture
def shop(
    bed: TestBed,
    colour_artefact: Callable[..., Path],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Shop]:
    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:30].strip("-")
    made = Shop(bed, colour_artefact, tmp_path, name)
    yield made
    with suppress(ClientError):  # its container takes 150 MB
        made.settled("Creating", "Updating", "RollingBack")
        made.sagemaker.delete_endpoint(EndpointName=name)


def canary(percent: int = 10, wait_s: int = 300, alarm: str | None = None) -> dict[str, Any]:
    policy: dict[str, Any] = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "CANARY",
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": percent},
                "WaitIntervalInSeconds": wait_s,
            },
            "TerminationWaitInSeconds": 60,
        }
    }
    if alarm:
        policy["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": alarm}]}
    return policy


@pytest.mark.parametrize(
    ("kind", "refused"),
    [
        ("application/vnd.docker.distribution.manifest.v2+json", False),
        ("application/vnd.oci.image.manifest.v1+json", True),
        ("application/vnd.oci.image.index.v1+json", True),
    ],
)
def test_a_model_of_an_oci_image_is_refused(bed: TestBed, kind: str, refused: bool) -> None:
    ecr, sagemaker = bed.client("ecr"), bed.client("sagemaker")
    repository = f"format-{kind.rpartition('.')[0].replace('/', '-')}"
    uri = ecr.create_repository(repositoryName=repository)["repository"]["repositoryUri"]
    ecr.put_image(
        repositoryName=repository,
        imageManifest=json.dumps({"schemaVersion": 2, "mediaType": kind}),
        imageManifestMediaType=kind,
        imageTag="1",
    )
    bucket = bed.bucket()
    bed.client("s3").put_object(Bucket=bucket, Key="model.tar.gz", Body=b"")
    container = {"Image": f"{uri}:1", "ModelDataUrl": f"s3://{bucket}/model.tar.gz"}
    request = {"PrimaryContainer": container, "ExecutionRoleArn": ROLE}
    if not refused:
        sagemaker.create_model(ModelName=repository.replace(".", "-"), **request)
        return
    with pytest.raises(ClientError, match=f"Unsupported manifest media type {re.escape(kind)}"):
        sagemaker.create_model(ModelName=repository.replace(".", "-"), **request)


def test_an_endpoint_serves_and_captures(shop: Shop) -> None:
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{shop.bucket}/captures",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }
    reported = shop.create(shop.config("train-1", DataCaptureConfig=capture))
    assert reported["EndpointStatus"] == "InService", reported
    [variant] = reported["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["CurrentWeight"]) == (2, 1.0)
    assert variant["DeployedImages"][0]["SpecifiedImage"] == IMAGE
    assert reported["DataCaptureConfig"]["CaptureStatus"] == "Started"

    answer = shop.invoke(CustomAttributes="top_k=1", InferenceId="order-7")
    assert (answer["InvokedProductionVariant"], answer["CustomAttributes"]) == (
        "AllTraffic",
        "top_k=1",
    )
    [prediction] = answer["Body"]["predictions"]
    assert (prediction["prediction_id"], len(prediction["labels"])) == ("order-7", 1)

    s3 = shop.bed.client("s3")
    [entry] = s3.list_objects_v2(Bucket=shop.bucket, Prefix="captures/")["Contents"]
    assert entry["Key"].startswith(f"captures/{shop.name}/AllTraffic/20")
    line = json.loads(s3.get_object(Bucket=shop.bucket, Key=entry["Key"])["Body"].read())
    assert line["captureData"]["endpointInput"]["encoding"] == "BASE64"
    assert line["captureData"]["endpointOutput"]["encoding"] == "JSON"
    assert json.loads(line["captureData"]["endpointOutput"]["data"]) == answer["Body"]
    assert line["eventMetadata"]["inferenceId"] == "order-7"

    with pytest.raises(
        shop.runtime.exceptions.ModelError, match=r"client error \(400\)"
    ) as refused:
        shop.invoke(Body=b"no image")
    assert refused.value.response["OriginalStatusCode"] == 400
    assert '"unreadable_image"' in refused.value.response["OriginalMessage"]
    assert shop.name in refused.value.response["LogStreamArn"]
    for fields, code in (
        ({"Body": b"x" * (26 * 1024**2)}, "413"),
        ({"TargetVariant": "Other"}, "ValidationError"),
        ({"EndpointName": "nobody"}, "ValidationError"),
    ):
        with pytest.raises(ClientError) as reply:
            shop.invoke(**fields)
        assert reply.value.response["Error"]["Code"] == code
    group = f"/aws/sagemaker/Endpoints/{shop.name}"
    events = shop.bed.client("logs").filter_log_events(logGroupName=group)["events"]
    assert any("serves train-1" in event["message"] for event in events)
    shop.sagemaker.delete_endpoint(EndpointName=shop.name)
    with pytest.raises(ClientError, match="Could not find endpoint"):
        shop.settled("Deleting")


def test_a_model_that_is_not_the_one_named_fails_its_ping(shop: Shop) -> None:
    reported = shop.create(shop.config("train-1", environ={"IMGCLF_DIGEST": "f" * 64}))
    assert reported["EndpointStatus"] == "Failed"
    assert reported["FailureReason"] == (
        "The primary container for production variant AllTraffic did not pass the ping health "
        "check. Please check CloudWatch logs for this endpoint."
    )
    group = f"/aws/sagemaker/Endpoints/{shop.name}"
    events = shop.bed.client("logs").filter_log_events(logGroupName=group)["events"]
    assert any("has digest" in event["message"] for event in events)
    with pytest.raises(ClientError, match="not found"):
        shop.invoke()


def test_a_canary_shifts_in_two_steps(shop: Shop) -> None:
    shop.create(shop.config("train-1"))
    new = shop.config("train-2")
    update = {"EndpointName": shop.name, "EndpointConfigName": new}
    shop.sagemaker.update_endpoint(**update, DeploymentConfig=canary(percent=25))
    seen: Counter[str] = Counter()
    states = set()
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        shop.sagemaker.update_endpoint(**update)
    while (reported := shop.describe())["EndpointStatus"] == "Updating":
        pending = reported["PendingDeploymentSummary"]
        assert (reported["EndpointConfigName"], pending["EndpointConfigName"]) == (
            f"{shop.name}-train-1",
            new,
        )
        states.add(pending["ProductionVariants"][0]["VariantStatus"][0]["Status"])
        seen[shop.version()] += 1
        time.sleep(0.02)
    assert (reported["EndpointStatus"], reported["EndpointConfigName"]) == ("InService", new)
    assert "FailureReason" not in reported
    assert states == {"Creating", "Baking"}
    assert seen["train-1"] > 5
    assert seen["train-2"] > 5
    assert [shop.version() for _ in range(3)] == ["train-2"] * 3


def test_an_alarm_rolls_a_canary_back(shop: Shop) -> None:
    shop.create(shop.config("train-1"))
    cloudwatch = shop.bed.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=f"{shop.name}-errors",
        MetricName="Invocation5XXErrors",
        Namespace="AWS/SageMaker",
        ComparisonOperator="GreaterThanThreshold",
        Threshold=1,
        Period=60,
        EvaluationPeriods=1,
        Statistic="Sum",
    )
    policy = canary(percent=50, alarm=f"{shop.name}-errors")
    shop.sagemaker.update_endpoint(
        EndpointName=shop.name,
        EndpointConfigName=shop.config("train-2"),
        DeploymentConfig=policy,
    )
    while "train-2" not in (shop.version(), shop.version()):
        assert shop.describe()["EndpointStatus"] == "Updating"
    cloudwatch.set_alarm_state(
        AlarmName=f"{shop.name}-errors", StateValue="ALARM", StateReason="test"
    )
    reported = shop.settled("Updating", "RollingBack")
    assert (reported["EndpointStatus"], reported["EndpointConfigName"]) == (
        "InService",
        f"{shop.name}-train-1",
    )
    assert f"{shop.name}-errors" in reported["FailureReason"]
    assert [shop.version() for _ in range(4)] == ["train-1"] * 4


def test_a_fleet_on_demand_unhealthy_keeps_the_old_one(shop: Shop) -> None:
    shop.create(shop.config("train-1"))
    shop.bed.fault("UpdateEndpoint", "unhealthy", endpoint=shop.name)
    shop.sagemaker.update_endpoint(
        EndpointName=shop.name, EndpointConfigName=shop.config("train-2")
    )
    reported = shop.settled("Updating", "RollingBack")
    assert reported["EndpointStatus"] == "InService"
    assert "did not pass the ping health check" in reported["FailureReason"]
    assert shop.version() == "train-1"


def test_counts_of_autoscaling_survive_an_update_if_asked(shop: Shop) -> None:
    shop.create(shop.config("train-1"))
    desired = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 5}]
    shop.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=shop.name, DesiredWeightsAndCapacities=desired
    )
    shop.settled("Updating")
    for version, retain, count in (("train-2", True, 5), ("train-3", False, 2)):
        shop.sagemaker.update_endpoint(
            EndpointName=shop.name,
            EndpointConfigName=shop.config(version),
            RetainAllVariantProperties=retain,
        )
        [variant] = shop.settled("Updating")["ProductionVariants"]
        assert variant["CurrentInstanceCount"] == count


def test_an_endpoint_is_updated_to_a_new_configuration_only(shop: Shop) -> None:
    config = shop.config("train-1")
    shop.create(config)
    again = {"EndpointName": shop.name, "EndpointConfigName": config}
    with pytest.raises(ClientError, match="you must create a new EndpointConfig"):
        shop.sagemaker.update_endpoint(**again)
    with pytest.raises(ClientError, match="you must create a new EndpointConfig"):
        shop.sagemaker.update_endpoint(**again, DeploymentConfig=canary())
    assert shop.describe()["EndpointStatus"] == "InService"


def test_serverless_becomes_instances_and_not_the_reverse(shop: Shop) -> None:
    model = shop.config("train-1")
    serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    for name in ("first", "second"):
        shop.sagemaker.create_endpoint_config(
            EndpointConfigName=f"{shop.name}-{name}",
            ProductionVariants=[
                {"VariantName": "AllTraffic", "ModelName": model, "ServerlessConfig": serverless}
            ],
        )
    assert shop.create(f"{shop.name}-first")["EndpointStatus"] == "InService"
    shop.sagemaker.update_endpoint(EndpointName=shop.name, EndpointConfigName=model)
    [variant] = shop.settled("Updating")["ProductionVariants"]
    assert variant["CurrentInstanceCount"] == 2
    with pytest.raises(ClientError, match="cannot convert your instance-based, real-time endpoint"):
        shop.sagemaker.update_endpoint(
            EndpointName=shop.name, EndpointConfigName=f"{shop.name}-second"
        )
    assert shop.describe()["EndpointConfigName"] == model


def test_what_sagemaker_refuses_is_refused(shop: Shop) -> None:
    config = shop.config("train-1")
    create_config = shop.sagemaker.create_endpoint_config
    serverless = {"MemorySizeInMB": 3000, "MaxConcurrency": 5}
    variant = {"VariantName": "AllTraffic", "ModelName": config, "ServerlessConfig": serverless}
    with pytest.raises(ClientError, match="MemorySizeInMB must be"):
        create_config(EndpointConfigName="c", ProductionVariants=[variant])
    with pytest.raises(ClientError, match="do not support instance types"):
        create_config(
            EndpointConfigName="c",
            ProductionVariants=[
                {**variant, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
            ],
        )
    with pytest.raises(ClientError, match="Cannot create already existing endpoint configuration"):
        create_config(EndpointConfigName=config, ProductionVariants=[variant])
    with pytest.raises(ClientError, match="Could not find model data at s3://"):
        shop.sagemaker.create_model(
            ModelName="m",
            ExecutionRoleArn=ROLE,
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"s3://{shop.bucket}/nothing.tar.gz"},
        )
    for policy, says in ((canary(percent=90), "50 percent or less"),):
        with pytest.raises(ClientError, match=says):
            shop.sagemaker.create_endpoint(
                EndpointName=shop.name, EndpointConfigName=config, DeploymentConfig=policy
            )
    with pytest.raises(ClientError, match="Could not find endpoint configuration"):
        shop.create("nothing")

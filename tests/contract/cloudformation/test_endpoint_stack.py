"""``cloudformation/endpoint.yaml``, deployed by change sets to a real (local) CloudFormation."""

import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.contract.cloudformation.endpoint_stack import TEMPLATE, Stack
from tests.testbed.bed import TestBed

pytestmark = pytest.mark.contract

ALARM = "ServerErrorAlarm"


@pytest.fixture
def open_stack(
    bed: TestBed,
    colour_artefact: Callable[..., Path],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Callable[[str], Stack]]:
    bed.with_cloudformation()
    opened = []
    project = f"shop{zlib.crc32(request.node.name.encode()) % 10_000}"

    def open_one(stage: str) -> Stack:
        opened.append(Stack(bed, project, stage, tmp_path, colour_artefact))
        return opened[-1]

    yield open_one
    bed.settings(time_scale=100)
    for stack in opened:
        if stack.status():
            stack.settled()
            stack.delete()


def test_staging_is_created_answers_and_is_updated_only_if_something_changes(
    open_stack: Callable[[str], Stack],
) -> None:
    stack = open_stack("staging")
    first = stack.model("train-1")
    plan = stack.plan(**first)
    kinds = {
        c["ResourceChange"]["LogicalResourceId"]: c["ResourceChange"]["Action"]
        for c in plan["Changes"]
    }
    assert kinds == dict.fromkeys(
        ("ClientErrorAlarm", "Endpoint", "EndpointConfig", "LatencyAlarm", "Model", ALARM), "Add"
    )
    stack.cloudformation.execute_change_set(ChangeSetName=plan["ChangeSetId"])
    assert stack.settled() == "CREATE_COMPLETE"
    assert stack.version() == "train-1"
    outputs = stack.outputs()
    assert outputs["EndpointName"] == stack.endpoint
    assert outputs["ModelDigest"] == first["ModelDigest"]
    assert outputs["EndpointConfigName"] == stack.describe()["EndpointConfigName"]
    model = stack.sagemaker.describe_model(ModelName=outputs["ModelName"])
    assert model["EnableNetworkIsolation"] is True
    assert model["PrimaryContainer"]["Environment"]["IMGCLF_DIGEST"] == first["ModelDigest"]
    tags = stack.sagemaker.list_tags(ResourceArn=outputs["EndpointArn"])["Tags"]
    assert {"Key": "imgclf:deployed-by", "Value": "Jörg Ann ann@example.org"} in tags

    unchanged = stack.plan(**first)
    assert (unchanged["Status"], unchanged["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert "didn't contain changes" in unchanged["StatusReason"]
    by_another = {**first, "DeployedBy": "bob"}
    assert stack.deploy(**by_another) == "UPDATE_COMPLETE"
    updates = [call["request"]["EndpointName"] for call in stack.bed.calls("UpdateEndpoint")]
    assert stack.endpoint not in updates, "a tag is no new deployment"
    assert stack.outputs() == outputs


def test_prod_is_updated_by_canary_and_rolled_back_by_an_alarm(
    open_stack: Callable[[str], Stack],
) -> None:
    stack = open_stack("prod")
    assert stack.deploy(**stack.model("train-1")) == "CREATE_COMPLETE"
    grows_by_itself(stack, to=4)
    a_canary_takes_over(stack)
    an_alarm_brings_back_what_was_served(stack)
    stack.bed.settings(time_scale=1000)
    assert stack.deploy(**stack.model("train-4")) == "UPDATE_COMPLETE"
    assert stack.version() == "train-4"


def grows_by_itself(stack: Stack, to: int) -> None:
    """The endpoint is in autoscaling's hands, which give it more instances."""
    scaling = stack.bed.client("application-autoscaling")
    [target] = scaling.describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[f"endpoint/{stack.endpoint}/variant/AllTraffic"]
    )["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 6)
    [variant] = stack.describe()["ProductionVariants"]
    assert variant["CurrentInstanceCount"] == 2
    stack.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=stack.endpoint,
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": to}],
    )


def a_canary_takes_over(stack: Stack) -> None:
    """From train-1 to train-2: both answer for a while, and then the second one."""
    plan = stack.plan(**stack.model("train-2"))
    changes = {
        c["ResourceChange"]["LogicalResourceId"]: c["ResourceChange"] for c in plan["Changes"]
    }
    texts = {name: (c["Action"], c["Replacement"]) for name, c in changes.items()}
    assert texts == {
        "Model": ("Modify", "True"),
        "EndpointConfig": ("Modify", "Conditional"),
        "Endpoint": ("Modify", "False"),
    }
    [detail] = changes["EndpointConfig"]["Details"]
    assert (detail["CausingEntity"], detail["Evaluation"]) == ("Model", "Dynamic")
    stack.bed.settings(time_scale=300)
    stack.cloudformation.execute_change_set(ChangeSetName=plan["ChangeSetId"])
    seen: Counter[str] = Counter()
    while stack.status().endswith("_IN_PROGRESS"):
        seen[stack.version()] += 1
    assert stack.status() == "UPDATE_COMPLETE", stack.events()
    assert min(seen["train-1"], seen["train-2"]) > 0, "both fleets answer, each its share"
    assert stack.version() == "train-2"
    after = stack.describe()
    policy = after["LastDeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"]["Type"] == "CANARY"
    [variant] = after["ProductionVariants"]
    assert variant["CurrentInstanceCount"] == 4, "what autoscaling has grown to survives"
    assert ("EndpointConfig", "DELETE_SKIPPED", "") in stack.events()


def an_alarm_brings_back_what_was_served(stack: Stack) -> None:
    """An alarm during the update to train-3: train-2 goes on, and the stack says why."""
    good = stack.outputs()
    alarm = stack.physical(ALARM)

    def ring() -> None:
        while stack.version() == "train-2":
            pass
        stack.cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="test")

    stack.bed.settings(time_scale=100)
    ringing = threading.Thread(target=ring)
    ringing.start()
    status = stack.deploy(**stack.model("train-3"))
    ringing.join()
    assert status == "UPDATE_ROLLBACK_COMPLETE"
    assert stack.version() == "train-2"
    assert stack.outputs() == good
    after = stack.describe()
    assert after["EndpointConfigName"] == good["EndpointConfigName"]
    assert alarm in after["FailureReason"]
    events = stack.events()
    [failed] = [e for e in events if e[1] == "UPDATE_FAILED"]
    assert failed[0] == "Endpoint"
    assert alarm in failed[2]
    assert (
        stack.name,
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "The following resource(s) failed to update: [Endpoint]. ",
    ) in events
    names = {m["ModelName"] for m in stack.sagemaker.list_models(MaxResults=100)["Models"]}
    assert good["ModelName"] in names
    stack.cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="test")


def test_an_unhealthy_model_is_rolled_back(open_stack: Callable[[str], Stack]) -> None:
    stack = open_stack("staging")
    first = stack.model("train-1")
    bad = {**stack.model("train-2"), "ModelDigest": "f" * 64}
    assert stack.deploy(**bad) == "ROLLBACK_COMPLETE"
    events = stack.events()
    [failed] = [e for e in events if e[1] == "CREATE_FAILED"]
    assert failed[0] == "Endpoint"
    assert "did not pass the ping health check" in failed[2]
    assert not stack.sagemaker.list_endpoints(NameContains=stack.endpoint)["Endpoints"]
    with pytest.raises(ClientError, match="already exists"):
        stack.cloudformation.create_change_set(
            StackName=stack.name,
            ChangeSetName="again",
            ChangeSetType="CREATE",
            TemplateBody=TEMPLATE,
        )
    stack.delete()
    assert stack.deploy(**first) == "CREATE_COMPLETE"
    assert stack.deploy(**bad) == "UPDATE_ROLLBACK_COMPLETE"
    assert stack.version() == "train-1"
    assert stack.outputs()["ModelDigest"] == first["ModelDigest"]


def test_a_serverless_endpoint_leaves_out_what_serverless_excludes(
    open_stack: Callable[[str], Stack],
) -> None:
    stack = open_stack("staging")
    serverless = {
        **stack.model("train-1"),
        "ServerlessMemoryMB": "2048",
        "KmsKeyId": "alias/imgclf",
    }
    assert stack.deploy(**serverless) == "CREATE_COMPLETE"
    [variant] = stack.describe()["ProductionVariants"]
    assert variant["CurrentServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    assert stack.version() == "train-1"
    model = stack.sagemaker.describe_model(ModelName=stack.outputs()["ModelName"])
    assert "EnableNetworkIsolation" not in model
    for wrong, says in (
        ({"CaptureSamplingPercentage": "5"}, "captures nothing"),
        ({"SubnetIds": "subnet-12345678", "SecurityGroupIds": "sg-12345678"}, "in a VPC"),
        ({"CanaryPercentage": "10", "InstanceCount": "2"}, "has no canary"),
    ):
        with pytest.raises(ClientError, match=says):
            stack.plan(**serverless, **wrong)


def test_everything_at_once_is_taken(open_stack: Callable[[str], Stack]) -> None:
    stack = open_stack("prod")
    key = "arn:aws:kms:us-east-1:123456789012:key/1234"
    more = {
        "KmsKeyId": key,
        "SubnetIds": "subnet-12345678,subnet-87654321",
        "MaxErrorRatePercent": "100",
    }
    model = stack.model("train-1")
    assert stack.deploy(**model, **more, SecurityGroupIds="sg-12345678") == "CREATE_COMPLETE"
    outputs = stack.outputs()
    config = stack.sagemaker.describe_endpoint_config(
        EndpointConfigName=outputs["EndpointConfigName"]
    )
    assert config["KmsKeyId"] == config["DataCaptureConfig"]["KmsKeyId"] == key
    reported = stack.sagemaker.describe_model(ModelName=outputs["ModelName"])
    assert reported["VpcConfig"]["Subnets"] == ["subnet-12345678", "subnet-87654321"]
    deployment = stack.describe()["LastDeploymentConfig"]
    assert "AutoRollbackConfiguration" not in deployment, "a repair while alarms ring"
    assert stack.version() == "train-1"
    s3 = stack.bed.client("s3")
    listed = s3.list_objects_v2(
        Bucket=stack.bucket, Prefix=f"captures/prod/{stack.endpoint}/AllTraffic/"
    )
    assert listed["KeyCount"] == 1
    for wrong, says in (
        ({"InstanceType": "ml.g5.xlarge"}, "without GPU"),
        ({"CaptureUri": ""}, "Say where captures go"),
        ({"InstanceCount": "1"}, "at most half"),
        ({"SubnetIds": "subnet-12345678"}, "need SecurityGroupIds"),
        ({"Instances": "2"}, "do not exist in the template"),
    ):
        with pytest.raises(ClientError, match=says):
            stack.plan(**{**model, **wrong})

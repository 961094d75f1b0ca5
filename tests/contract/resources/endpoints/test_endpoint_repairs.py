"""SageMaker's endpoints when CloudFormation refuses, takes long, or somebody deletes what it made."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resources.endpoints.endpoint_host import DeploymentFailed, HostUnavailable
from resources.endpoints.sagemaker import SageMakerEndpoints
from resources.stacks import stacks as stacks_module
from resources.stacks.plan import StackRequest
from resources.stacks.stacks import Stacks
from serving.deployments import Deployment, DeploymentRecord
from tests.contract.resources.endpoints.endpoint_shops import Shop, records, sagemaker_shop
from tests.patience import wait_for
from tests.testbed.bed import TestBed

pytestmark = pytest.mark.contract

DENIED = {
    "status": 403,
    "code": "AccessDenied",
    "message": "User: arn:aws:sts::123456789012:assumed-role/imgclf-orchestrator/i-0 is not "
    "authorized to perform: cloudformation:{} on resource: arn:aws:cloudformation:…",
}


@pytest.fixture
def shop(
    tmp_path: Path, publish_model: Callable[..., tuple[str, str]], aws_with_stacks: TestBed
) -> Shop:
    """Production serves train-1."""
    made = sagemaker_shop(tmp_path, publish_model, aws_with_stacks)
    made.model("train-1")
    made.deploy("prod", "train-1")
    return made


def refuse(bed: TestBed, operation: str) -> None:
    message = str(DENIED["message"]).format(operation)
    bed.fault(operation, "refused", **{**DENIED, "message": message})


def name_of(shop: Shop) -> str:
    return f"{shop.project}-prod"


def recreated(shop: Shop, **fields: Any) -> Shop:
    """The shop as another process has it, which remembers nothing."""
    host = shop.endpoints
    assert isinstance(host, SageMakerEndpoints)
    kept = {name: getattr(host, name) for name in type(host).model_fields}
    return Shop(shop.folder, SageMakerEndpoints(**{**kept, **fields}), shop.publish, shop.digests)


def delete_endpoint(shop: Shop, bed: TestBed) -> None:
    client = bed.client("sagemaker")
    client.delete_endpoint(EndpointName=name_of(shop))
    wait_for(lambda: not client.list_endpoints(NameContains=name_of(shop))["Endpoints"])


def delete_behind(shop: Shop, bed: TestBed, what: str) -> str:
    """Delete the endpoint's model or configuration; name of the configuration."""
    client = bed.client("sagemaker")
    config: str = client.describe_endpoint(EndpointName=name_of(shop))["EndpointConfigName"]
    if what == "configuration":
        client.delete_endpoint_config(EndpointConfigName=config)
    else:
        found = client.describe_endpoint_config(EndpointConfigName=config)
        client.delete_model(ModelName=found["ProductionVariants"][0]["ModelName"])
    return config


def test_a_deployment_that_takes_too_long_is_not_undone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its record would be followed by one of train-1, which the sensor would bring back."""
    digest = shop.model("train-2")
    whole = Stacks.execute

    def impatient(self: Stacks, *args: Any, **named: Any) -> Any:
        return whole(self, *args, **{**named, "timeout_s": 0})

    with monkeypatch.context() as patched:
        patched.setattr(Stacks, "execute", impatient)
        with pytest.raises(HostUnavailable, match="it continues: deploy again to wait"):
            shop.deploy("prod", "train-2")
    assert list(records(shop)) == ["train-2", "train-1"]
    assert shop.deploy("prod", "train-2").digest == digest
    assert list(records(shop)) == ["train-2", "train-1"]
    assert shop.answering() == "train-2"


def test_a_deployment_plans_its_change_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = shop.model("train-2")
    asked: list[str] = []
    create = stacks_module.create_change_set

    def noted(client: Any, request: StackRequest, **more: Any) -> Any:
        asked.append(request.parameters["ModelVersion"])
        return create(client, request, **more)

    monkeypatch.setattr(stacks_module, "create_change_set", noted)
    assert shop.deploy("prod", "train-2").digest == digest
    assert asked == ["train-2"]


def test_a_plan_that_another_change_of_the_stack_overtook_is_made_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = shop.model("train-2")
    host = shop.endpoints
    assert isinstance(host, SageMakerEndpoints)
    write = SageMakerEndpoints._write

    def changed_in_between(self: SageMakerEndpoints, deployment: Deployment) -> DeploymentRecord:
        """As the pipeline does when an image is new, between the plan and its execution."""
        served = self.current("prod")
        assert served is not None
        stack = host.stack("prod")
        pushed = stack.request(served.deployment)
        image = {**pushed.parameters, "ImageUri": f"{host.image_uri}-1"}
        stack.stacks.deploy(replace(pushed, parameters=image))
        return write(self, deployment)

    monkeypatch.setattr(SageMakerEndpoints, "_write", changed_in_between)
    messages: list[str] = []
    assert shop.deploy("prod", "train-2", on_event=messages.append).digest == digest
    assert any("deploy again" in line for line in messages), messages
    assert list(records(shop)) == ["train-2", "train-1"]
    assert shop.answering() == "train-2"


def test_what_cloudformation_refuses_is_not_recorded(
    shop: Shop, bed: TestBed, tmp_path: Path
) -> None:
    shop.model("train-2")
    refuse(bed, "CreateChangeSet")
    with pytest.raises(
        DeploymentFailed,
        match=r"(?s)nothing was changed: CreateChangeSet.*Remedy: allow cloudformation:CreateCh",
    ):
        shop.deploy("prod", "train-2")
    with pytest.raises(DeploymentFailed, match=r"nothing was changed: .* has no prod\.json"):
        recreated(shop, stages_dir=str(tmp_path)).deploy("prod", "train-2")
    assert list(records(shop)) == ["train-1"]


def test_a_change_that_may_not_be_executed_leaves_the_record_of_what_is_served(
    shop: Shop, bed: TestBed
) -> None:
    shop.model("train-2")
    refuse(bed, "ExecuteChangeSet")
    with pytest.raises(
        DeploymentFailed, match=r"(?s)Remedy: allow cloudformation:Execute.*goes on"
    ):
        shop.deploy("prod", "train-2")
    assert list(records(shop)) == ["train-1", "train-2", "train-1"]
    assert shop.endpoints.describe("prod").status == "InService"


def test_a_silent_cloudformation_undoes_nothing(shop: Shop, bed: TestBed) -> None:
    shop.model("train-2")
    refuse(bed, "DescribeStackEvents")
    with pytest.raises(HostUnavailable, match="Remedy: allow cloudformation:DescribeStackEvents"):
        shop.deploy("prod", "train-2")
    assert list(records(shop)) == ["train-2", "train-1"]
    assert shop.deploy("prod", "train-2").status == "InService"


def test_an_endpoint_that_does_not_come_up_again_is_no_success(shop: Shop, bed: TestBed) -> None:
    delete_endpoint(shop, bed)
    bed.fault("CreateEndpoint", "unhealthy", endpoint=name_of(shop))
    for _ in range(2):  # it stays so, and no record says otherwise
        with pytest.raises(HostUnavailable, match="is Failed .* aws sagemaker delete-endpoint"):
            shop.deploy("prod", "train-1")
        assert list(records(shop)) == ["train-1"]
    delete_endpoint(shop, bed)
    assert shop.deploy("prod", "train-1").status == "InService"
    assert shop.answering() == "train-1"


def test_a_new_model_comes_in_the_place_of_a_deleted_endpoint(shop: Shop, bed: TestBed) -> None:
    shop.model("train-2")
    delete_endpoint(shop, bed)
    assert shop.deploy("prod", "train-2").model_version == "train-2"
    assert list(records(shop)) == ["train-2", "train-1"]


@pytest.mark.parametrize("what", ["model", "configuration"])
def test_what_is_deleted_behind_an_endpoint_is_made_again(
    shop: Shop, bed: TestBed, what: str
) -> None:
    lost = delete_behind(shop, bed, what)
    found = recreated(shop)
    status = found.endpoints.describe("prod")
    assert (status.status, status.digest) == ("Failed", None)
    assert "drift: train-1" in str(status.failure_reason)
    assert "the served model is not known" in str(status.failure_reason)
    messages: list[str] = []
    assert found.deploy("prod", "train-1", on_event=messages.append).status == "InService"
    assert any(f"{lost} or its model was deleted" in line for line in messages)
    client = bed.client("sagemaker")
    config = client.describe_endpoint(EndpointName=name_of(shop))["EndpointConfigName"]
    assert config != lost
    assert client.describe_endpoint_config(EndpointConfigName=config)
    assert recreated(shop).endpoints.describe("prod").status == "InService"
    assert list(records(shop)) == ["train-1"]


def test_a_new_model_is_not_kept_back_by_a_deleted_one(shop: Shop, bed: TestBed) -> None:
    shop.model("train-2")
    shop.model("train-3")
    delete_behind(shop, bed, "model")
    bed.fault("UpdateEndpoint", "unhealthy", endpoint=name_of(shop))
    with pytest.raises(DeploymentFailed, match=r"train-2 cannot be served.*train-1 goes on"):
        recreated(shop).deploy("prod", "train-2")
    assert list(records(shop)) == ["train-1", "train-2", "train-1"]
    assert recreated(shop).deploy("prod", "train-3").model_version == "train-3"
    assert shop.answering() == "train-3"


def test_settings_that_are_not_todays_are_named(shop: Shop, bed: TestBed) -> None:
    assert shop.endpoints.differing_settings("prod") == []
    assert shop.endpoints.differing_settings("staging") == [], "there is no stack"
    host = shop.endpoints
    assert isinstance(host, SageMakerEndpoints)
    changed = {**host.parameters, "MaxP95LatencyMs": "700"}
    other = recreated(shop, parameters=changed, image_uri=f"{host.image_uri}-1").endpoints
    assert other.differing_settings("prod") == ["ImageUri", "MaxP95LatencyMs"]
    refuse(bed, "DescribeStacks")
    with pytest.raises(HostUnavailable, match="Remedy: allow cloudformation:DescribeStacks"):
        other.differing_settings("prod")

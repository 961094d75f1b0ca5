"""``imgclf doctor`` on profile aws: quotas, registry, endpoints, a service that does not answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imgclf_dagster.doctor import aws as doctor_aws
from imgclf_dagster.doctor.findings import Finding
from serving.deployments import Deployment
from tests.contract.imgclf_dagster.doctor.world import World
from tests.patience import wait_for

pytestmark = pytest.mark.contract


def test_a_quota_of_nothing(world: World) -> None:
    world.aws["training"] = {"instance_type": "ml.g5.xlarge", "spot": True}
    world.aws["gpu_image_uri"] = world.aws["image_uri"]
    world.bed.admin("quotas", **{"ml.g5.xlarge for spot training job usage": 0})
    found = world.only("quota", "failed")
    assert found.detail == "ml.g5.xlarge for spot training job usage: 0, and 1 are needed"
    assert "Service Quotas" in found.remedy
    assert "aws.training" in found.remedy


def test_a_quota_for_what_spot_falls_back_to(world: World) -> None:
    world.aws["training"] = {"instance_type": "ml.m5.2xlarge", "spot": True}
    world.bed.admin("quotas", **{"ml.m5.2xlarge for training job usage": 0})
    found = world.only("quota", "warning")
    assert "1 on demand, where no spot capacity comes in time" in found.detail
    assert "aws.training" in found.remedy
    world.aws["training"]["spot_fallback"] = False
    assert world.ill() == []


def test_quotas_of_endpoints_and_of_unknown_types(world: World) -> None:
    world.bed.admin("quotas", **{"ml.c6i.large for endpoint usage": 6})
    found = world.only("quota", "warning")
    assert "8 with all that autoscaling may add" in found.detail
    world.bed.admin("quotas", **{"ml.c6i.large for endpoint usage": 5})
    assert "and 6 are needed" in world.only("quota", "failed").detail
    world.bed.admin("quotas", **{"ml.c6i.large for endpoint usage": None})
    assert "not listed" in world.only("quota", "warning").detail


def test_sagemaker_does_not_answer(world: World) -> None:
    world.bed.fault("sagemaker", "lost", times=-1)
    found = world.only("sagemaker", "failed")
    assert "cannot be reached" in found.remedy


def test_a_service_that_hangs_does_not_hold_the_doctor_up(world: World) -> None:
    world.monkeypatch.setattr(doctor_aws, "LIMIT_S", 4.0)
    world.bed.fault("SimulatePrincipalPolicy", "slow", times=-1, seconds=3)
    ill = [finding for finding in world.looks() if finding.health != "ok"]
    assert {finding.health for finding in ill} == {"warning"}
    assert all("no full answer" in finding.detail for finding in ill)


def test_there_is_no_package_group_yet(own_world: World) -> None:
    own_world.client("sagemaker").delete_model_package_group(
        ModelPackageGroupName=own_world.account.project
    )
    found = own_world.only("package group", "warning")
    assert "`imgclf deploy foundation`" in found.remedy


def test_a_store_that_was_there_is_gone(world: World, tmp_path: Path) -> None:
    (tmp_path / "home" / "dagster").mkdir(parents=True)
    (tmp_path / "home" / "dagster" / "dagster.yaml").touch()
    assert "aws.bucket" in world.only("store", "failed").remedy


def test_an_endpoint_that_is_not_what_is_recorded(
    own_world: World, publish_model: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    """Found, mended and found well again: all of it by the orchestrator's role."""
    from imgclf_dagster.profiles.aws import build_endpoints, build_store

    world = own_world
    name = f"{world.account.project}-staging"
    world.bed.with_cloudformation()
    for variable, value in world.bed.environ.items():
        if "ENDPOINT_URL" in variable:
            world.monkeypatch.setenv(variable, value)
    settings = world.settings(poll_s=0.2)
    store = build_store(settings)
    store.ensure()
    digests = {}
    for version in ("train-1", "train-2"):
        digests[version], key = publish_model(tmp_path / version, version)
        store.put(key, tmp_path / version / key)
    host = build_endpoints(settings, store)

    def deploy() -> None:
        host.deploy(
            Deployment(
                stage="staging",
                model_version="train-1",
                digest=digests["train-1"],
                model_key="models/train-1/output/model.tar.gz",
                deployed_by="ann",
                reason="",
            )
        )

    deploy()
    assert world.finding(name) == Finding(name, "ok", "InService train-1")
    _change_by_hand(world.client("sagemaker"), name, digests)
    found = world.only(name, "failed")
    assert "drift: train-1" in found.detail
    assert "train-2" in found.detail
    assert "imgclf rollback" in found.remedy
    deploy()
    assert world.finding(name).health == "ok"


def _change_by_hand(sagemaker: Any, name: str, digests: dict[str, str]) -> None:
    """Have an endpoint serve train-2 instead of train-1, as somebody in the console might."""
    config = sagemaker.describe_endpoint_config(
        EndpointConfigName=sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"]
    )
    variant = config["ProductionVariants"][0]
    model = sagemaker.describe_model(ModelName=variant["ModelName"])
    container = model["PrimaryContainer"]
    container["ModelDataUrl"] = container["ModelDataUrl"].replace("train-1", "train-2")
    container["Environment"] |= {
        "IMGCLF_MODEL_VERSION": "train-2",
        "IMGCLF_DIGEST": digests["train-2"],
    }
    other = f"{name}-by-hand"
    sagemaker.create_model(
        ModelName=other, PrimaryContainer=container, ExecutionRoleArn=model["ExecutionRoleArn"]
    )
    sagemaker.create_endpoint_config(
        EndpointConfigName=other, ProductionVariants=[{**variant, "ModelName": other}]
    )
    sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=other)
    wait_for(
        lambda: sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"
    )

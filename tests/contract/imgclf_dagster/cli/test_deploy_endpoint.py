"""``imgclf deploy endpoint``: an endpoint takes today's settings and image, its model stays."""

import json
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from imgclf_dagster.cli.main import app
from imgclf_dagster.profiles.aws import build_endpoints, build_store
from imgclf_dagster.settings.root import load_settings
from imgclf_dagster.status.status import _stage, _waiting
from resources.endpoints.endpoint_host import DeploymentFailed
from resources.endpoints.sagemaker import SageMakerEndpoints
from resources.stacks.change_sets import describe
from tests.contract.resources.endpoints.endpoint_shops import Shop, records
from tests.patience import wait_for
from tests.testbed.account import aws_section
from tests.testbed.bed import TestBed

pytestmark = pytest.mark.contract


@pytest.fixture
def stages(tmp_path: Path) -> Path:
    """The stages' files as somebody has copied them, for quick deployments."""
    folder = tmp_path / "stages"
    shutil.copytree(str(files("cloudformation") / "stages"), folder)
    edit(folder, CanaryWaitSeconds="0", TerminationWaitSeconds="0")
    return folder


@pytest.fixture
def host(
    tmp_path: Path, stages: Path, aws_with_stacks: TestBed, monkeypatch: pytest.MonkeyPatch
) -> SageMakerEndpoints:
    """Endpoints as the settings say, which come from the environment."""
    section = aws_section(aws_with_stacks, stages_dir=str(stages))
    del section["training"]
    for name, value in section.items():
        monkeypatch.setenv(f"IMGCLF_AWS__{name.upper()}", str(value))
    monkeypatch.setenv("IMGCLF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IMGCLF_PROFILE", "aws")
    monkeypatch.setenv("IMGCLF_PROJECT", section["bucket"])
    settings = load_settings()
    return build_endpoints(settings, build_store(settings))


@pytest.fixture
def shop(
    host: SageMakerEndpoints, tmp_path: Path, publish_model: Callable[..., tuple[str, str]]
) -> Shop:
    """Staging serves train-1."""
    host.objects.ensure()
    made = Shop(tmp_path, host, publish_model)
    made.model("train-1")
    made.deploy("staging", "train-1")
    return made


def edit(folder: Path, **parameters: str) -> None:
    path = folder / "staging.json"
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    values["Parameters"].update(parameters)
    path.write_text(json.dumps(values), encoding="utf-8")


def deploy(*options: str) -> Result:
    return CliRunner().invoke(app, ["deploy", "endpoint", "staging", *options])


def waiting(shop: Shop) -> list[str]:
    facts = {"staging": _stage(shop.endpoints, "staging", [])}
    images, labels = (
        {"not_indexed": 0, name: 0, "conflicts": 0} for name in ("usable", "labelled")
    )
    return _waiting(images, labels, None, facts, [])


def config_of(shop: Shop, bed: TestBed) -> dict[str, Any]:
    client = bed.client("sagemaker")
    endpoint = client.describe_endpoint(EndpointName=f"{shop.project}-staging")
    config: dict[str, Any] = client.describe_endpoint_config(
        EndpointConfigName=endpoint["EndpointConfigName"]
    )
    return config


def test_edited_settings_and_another_image_are_taken_on(
    shop: Shop, stages: Path, bed: TestBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert waiting(shop) == []
    edit(stages, InstanceType="ml.c6i.xlarge")
    assert waiting(shop) == [
        "staging does not have today's InstanceType "
        "(imgclf deploy endpoint staging, or the next model)"
    ]
    assert shop.deploy("staging", "train-1").status == "InService", "is content with the model"
    before = config_of(shop, bed)["EndpointConfigName"]
    looked = deploy("--plan", "--json")
    assert looked.exit_code == 0, looked.output
    assert {change["logical_id"] for change in json.loads(looked.stdout)} == {
        "EndpointConfig",
        "Endpoint",
    }
    asked = deploy()
    assert (asked.exit_code, "add --yes" in asked.output) == (1, True)
    assert config_of(shop, bed)["EndpointConfigName"] == before

    image = f"{load_settings().aws.image_uri}-1"
    monkeypatch.setenv("IMGCLF_AWS__IMAGE_URI", image)
    done = deploy("--yes", "--json")
    assert done.exit_code == 0, done.output
    output = json.loads(done.stdout)
    assert (output["changed"], output["model_version"]) == (True, "train-1")
    variant = config_of(shop, bed)["ProductionVariants"][0]
    assert variant["InstanceType"] == "ml.c6i.xlarge"
    model = bed.client("sagemaker").describe_model(ModelName=variant["ModelName"])
    assert model["PrimaryContainer"]["Image"] == image
    assert list(records(shop, "staging")) == ["train-1"]
    again = deploy("--yes")
    assert (again.exit_code, "nothing to change" in again.stdout) == (0, True)


def test_settings_of_the_deployment_alone_make_a_new_configuration(
    shop: Shop, stages: Path, bed: TestBed
) -> None:
    """SageMaker takes no update to the configuration that an endpoint is on."""
    seen = {config_of(shop, bed)["EndpointConfigName"]}
    changes = ({"TerminationWaitSeconds": "1"}, {"MaxErrorRatePercent": "100"},
               {"MaxInstanceCount": "2"})  # fmt: skip
    for changed in changes:
        edit(stages, **changed)
        done = deploy("--yes", "--json")
        assert done.exit_code == 0, done.output
        name = config_of(shop, bed)["EndpointConfigName"]
        assert name not in seen
        seen.add(name)
    assert shop.answering("staging") == "train-1"


def test_an_endpoint_on_instances_does_not_become_serverless(
    shop: Shop, stages: Path, bed: TestBed
) -> None:
    """Refused before CloudFormation is asked for anything: on AWS it would fail every time."""
    edit(stages, ServerlessMemoryMB="2048", CanaryPercentage="0", CaptureSamplingPercentage="0")
    asked = len(bed.calls("CreateChangeSet"))
    shop.model("train-2")
    outputs = [deploy("--plan").output, deploy("--yes").output]
    with pytest.raises(DeploymentFailed) as failed:
        shop.deploy("staging", "train-2")
    for message in (*outputs, str(failed.value)):
        text = " ".join(message.split())
        assert "has instances" in text
        assert f"delete-stack --stack-name {shop.project}-endpoint-staging" in text
    assert len(bed.calls("CreateChangeSet")) == asked
    assert list(records(shop, "staging")) == ["train-1"], "nobody is told that it is wanted"
    assert shop.endpoints.describe("staging").status == "InService"


def test_a_serverless_endpoint_becomes_one_on_instances(
    shop: Shop, stages: Path, bed: TestBed
) -> None:
    stack = f"{shop.project}-endpoint-staging"
    client = bed.client("cloudformation")
    client.delete_stack(StackName=stack)
    wait_for(lambda: describe(client, stack) is None)
    edit(stages, ServerlessMemoryMB="2048", CanaryPercentage="0", CaptureSamplingPercentage="0")
    assert shop.deploy("staging", "train-1").status == "InService"
    assert "ServerlessConfig" in config_of(shop, bed)["ProductionVariants"][0]
    edit(stages, ServerlessMemoryMB="0")
    done = deploy("--yes")
    assert done.exit_code == 0, done.output
    assert "InstanceType" in config_of(shop, bed)["ProductionVariants"][0]


def test_settings_that_sagemaker_went_back_from_are_no_success(
    shop: Shop, stages: Path, bed: TestBed
) -> None:
    """The model is the same before and after, so that no digest tells."""
    before = config_of(shop, bed)["EndpointConfigName"]
    edit(stages, InstanceType="ml.c6i.xlarge")
    bed.fault("UpdateEndpoint", "silent_rollback", endpoint=f"{shop.project}-staging")
    failed = deploy("--yes")
    assert failed.exit_code == 1
    assert "SageMaker went back" in failed.output
    assert config_of(shop, bed)["EndpointConfigName"] == before
    done = deploy("--yes")
    assert done.exit_code == 0, done.output
    assert config_of(shop, bed)["ProductionVariants"][0]["InstanceType"] == "ml.c6i.xlarge"


def test_the_line_comes_first(host: SageMakerEndpoints, bed: TestBed) -> None:
    host.objects.ensure()
    nothing = deploy("--yes")
    assert (nothing.exit_code, "nothing was deployed to staging yet" in nothing.output) == (1, True)


def test_what_is_not_served_is_not_deployed_by_hand(shop: Shop, bed: TestBed) -> None:
    """A model comes to an endpoint by the line alone, which looks at its approval and checks."""
    bed.client("sagemaker").delete_endpoint(EndpointName=f"{shop.project}-staging")
    refused = deploy("--yes")
    assert refused.exit_code == 1
    assert "does not serve what is recorded" in " ".join(refused.output.split())


def test_a_laptop_has_no_such_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGCLF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IMGCLF_PROFILE", "local")
    refused = deploy()
    assert (refused.exit_code, "under profile aws only" in refused.output) == (2, True)

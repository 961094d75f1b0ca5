"""What the pipeline runs beside CloudFormation, on a stack and an endpoint of the test bed."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from PIL import Image

from cloudformation.pipeline import endpoint_test, plan
from tests.contract.cloudformation.test_endpoint_stack import Stack, open_stack  # noqa: F401 - a fixture
from tests.testbed.bed import TestBed

pytestmark = pytest.mark.contract

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/imgclf:c0ffee"


def picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "lime").save(file, kind)
    return file.getvalue()


@pytest.fixture
def staging(
    open_stack: Callable[[str], Stack],  # noqa: F811 - that fixture
    aws_environment: Any,
) -> Stack:
    """An endpoint stack of staging, as Dagster deployed it."""
    stack = open_stack("staging")
    assert stack.deploy(**stack.model("train-000000000001")) == "CREATE_COMPLETE"
    return stack


def project_of(stack: Stack) -> str:
    return stack.endpoint.removesuffix("-staging")


def test_a_plan_keeps_what_dagster_released_and_brings_the_commits_image(
    staging: Stack, tmp_path: Path
) -> None:
    now = {
        item["ParameterKey"]: item["ParameterValue"]
        for item in staging.cloudformation.describe_stacks(StackName=staging.name)["Stacks"][0][
            "Parameters"
        ]
    }
    client = boto3.client("cloudformation")
    found = plan.look(client, project_of(staging))
    assert found == {"foundation": False, "orchestrator": False, "staging": True, "prod": False}
    path = plan.write_plan(client, project_of(staging), "staging", {"ImageUri": IMAGE}, tmp_path)
    assert path == tmp_path / "staging.json"
    assert plan.write_plan(client, project_of(staging), "prod", {}, tmp_path) is None
    written = json.loads(path.read_text())
    assert set(written) == {"Parameters", "Tags"}
    assert written["Parameters"] == {**now, "ImageUri": IMAGE}
    # The repository's own tag, and the one that the deployment gave.
    assert written["Tags"] == {"team": "vision", "environment": "staging"}
    # As the pipeline's actions do: create a change set of it, execute it.
    assert staging.deploy(**written["Parameters"]) == "UPDATE_COMPLETE"
    assert staging.version() == "train-000000000001"


def test_what_the_repository_decides_wins_over_what_the_stack_has(staging: Stack) -> None:
    client = boto3.client("cloudformation")
    stack = plan.find_stack(client, staging.name)
    assert stack is not None
    summary = {"Parameters": [{"ParameterKey": "InstanceType"}, {"ParameterKey": "Stage"}]}
    chosen = {"Parameters": {"InstanceType": "ml.c6i.xlarge"}}
    made = plan.configuration(stack, summary, chosen=chosen, images={"ImageUri": IMAGE})
    # Parameters that the new template has not got any more would be refused.
    assert made["Parameters"] == {"InstanceType": "ml.c6i.xlarge", "Stage": "staging"}


def test_a_new_parameter_without_a_value_is_named(staging: Stack) -> None:
    stack = plan.find_stack(boto3.client("cloudformation"), staging.name)
    summary = {
        "Parameters": [{"ParameterKey": "Colour"}, {"ParameterKey": "Size", "DefaultValue": ""}]
    }
    with pytest.raises(SystemExit, match=r"new parameters Colour: give them a Default"):
        plan.configuration(stack or {}, summary, chosen={}, images={})


@pytest.mark.parametrize(
    ("now", "chosen", "refused"),
    [("0", "2048", True), ("2048", "0", False), ("2048", "4096", False), ("0", "0", False)],
)
def test_an_endpoint_on_instances_is_not_planned_to_be_serverless(
    now: str, chosen: str, refused: bool
) -> None:
    given = [{"ParameterKey": "ServerlessMemoryMB", "ParameterValue": now}]
    stack = {"StackName": "s", "StackStatus": "UPDATE_COMPLETE", "Parameters": given}
    summary = {"Parameters": [{"ParameterKey": "ServerlessMemoryMB", "DefaultValue": "0"}]}
    wanted = {"Parameters": {"ServerlessMemoryMB": chosen}}
    if refused:
        with pytest.raises(SystemExit, match="does not convert such an endpoint to serverless"):
            plan.configuration(stack, summary, chosen=wanted, images={})
    else:
        made = plan.configuration(stack, summary, chosen=wanted, images={})
        assert made["Parameters"] == {"ServerlessMemoryMB": chosen}


def test_a_stack_that_somebody_deploys_is_left_alone() -> None:
    stack = {"StackName": "shop-endpoint-prod", "StackStatus": "UPDATE_IN_PROGRESS"}
    with pytest.raises(SystemExit, match="Retry this stage afterwards"):
        plan.configuration(stack, {"Parameters": []}, chosen={}, images={})


class Stacks:
    """CloudFormation, as far as a plan asks it; a canary is under way in production."""

    def describe_stacks(self, *, StackName: str) -> dict[str, Any]:  # boto3's name
        busy = StackName == "shop-endpoint-prod"
        status = "UPDATE_IN_PROGRESS" if busy else "UPDATE_COMPLETE"
        return {"Stacks": [{"StackName": StackName, "StackStatus": status}]}

    def get_template_summary(self, **_: Any) -> dict[str, Any]:
        return {"Parameters": [{"ParameterKey": "ImageUri"}]}


def planned(stack: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Files that the build of a stage leaves."""
    monkeypatch.setattr(boto3, "client", lambda _: Stacks())
    words = ["plan", "--project", "shop", "--stack", stack, "--image", IMAGE, "--to", str(folder)]
    monkeypatch.setattr(sys, "argv", words)
    plan.main()
    return {path.name for path in folder.iterdir()}


def test_a_stage_is_planned_while_another_stack_is_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert planned("none", tmp_path, monkeypatch) == {"variables.sh", "stacks.json"}
    assert "export PROD=true" in (tmp_path / "variables.sh").read_text()
    assert "staging.json" in planned("staging", tmp_path, monkeypatch)
    with pytest.raises(SystemExit, match="shop-endpoint-prod is UPDATE_IN_PROGRESS"):
        planned("prod", tmp_path, monkeypatch)


def test_an_endpoint_that_answers_about_real_images_is_fit(
    staging: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    s3 = staging.bed.client("s3")
    for key, body in {
        "line/raw/a.png": picture("PNG"),
        "line/raw/b.JPG": picture("JPEG"),
        "line/raw/broken.jpg": picture("JPEG")[:40],
        "line/raw/notes.txt": b"not asked about",
        "raw/elsewhere.png": b"not under the prefix",
    }.items():
        s3.put_object(Bucket=staging.bucket, Key=key, Body=body)
    output = endpoint_test.run(
        boto3.Session(),
        project=project_of(staging),
        stage="staging",
        bucket=staging.bucket,
        prefix="line/",
    )
    # Two of the store, and the one that is generated.
    assert "serves train-000000000001: 3 images answered" in output
    assert "refused, with a reason: line/raw/broken.jpg" in capsys.readouterr().out


def test_an_endpoint_that_serves_another_model_is_unfit(staging: Stack) -> None:
    endpoint = endpoint_test.Endpoint(boto3.Session(), project_of(staging), "staging")
    endpoint.check_in_service()
    endpoint.digest = "0" * 64
    with pytest.raises(endpoint_test.Unfit, match=r"its stack says train-000000000001 \(0000"):
        endpoint.predict(endpoint_test.generated_png(), "image/png")


def test_an_endpoint_that_fails_is_unfit(
    staging: Stack, bed: TestBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    bed.fault("InvokeEndpoint", "error500")
    with pytest.raises(endpoint_test.Unfit, match="cannot be invoked"):
        endpoint_test.run(
            boto3.Session(), project=project_of(staging), stage="staging", bucket="", prefix=""
        )


def test_the_generated_image_is_one() -> None:
    with Image.open(io.BytesIO(endpoint_test.generated_png())) as image:
        image.load()
        assert image.mode == "RGB"

"""``imgclf deploy foundation`` and what follows it, in a local AWS."""

import json
import tomllib

import boto3
import pytest
from typer.testing import CliRunner

from imgclf_dagster.cli.main import app
from imgclf_dagster.cloud import container_image
from tests.testbed.deployed_foundation import deployed_foundation
from tests.testbed.role_calls import ACCOUNT, REGION, role_arn

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with deployed_foundation(tmp_path_factory.mktemp("foundation")) as deployed:
        yield deployed


@pytest.fixture(scope="module")
def outputs(account):
    return account["said"]["outputs"]


def test_an_image_that_arrives_is_reported(outputs):
    s3, sqs = boto3.client("s3"), boto3.client("sqs")
    s3.put_object(Bucket=outputs["BucketName"], Key="raw/a.jpg", Body=b"x")
    s3.put_object(Bucket=outputs["BucketName"], Key="models/a", Body=b"x")
    s3.delete_object(Bucket=outputs["BucketName"], Key="raw/a.jpg")
    messages = []
    while batch := sqs.receive_message(
        QueueUrl=outputs["ArrivalsQueueUrl"], MaxNumberOfMessages=10, WaitTimeSeconds=1
    ).get("Messages"):
        bodies = [json.loads(message["Body"]) for message in batch]
        messages += [record for body in bodies for record in body.get("Records", [])]
    assert {record["s3"]["object"]["key"] for record in messages} == {"raw/a.jpg"}
    kinds = [record["eventName"].removeprefix("s3:").partition(":")[0] for record in messages]
    assert sorted(kinds) == ["ObjectCreated", "ObjectRemoved"]


def test_it_writes_the_settings_that_follow(account, outputs):
    from imgclf_dagster.settings.root import load_settings

    path = account["home"] / "aws.toml"
    assert account["said"]["settings_file"] == str(path)
    assert path.read_text().startswith("# Written by `imgclf deploy`")
    written = tomllib.loads(path.read_text())["aws"]
    assert written["bucket"] == outputs["BucketName"] == f"imgclf-{ACCOUNT}-{REGION}"
    assert written["region"] == REGION
    settings = load_settings()
    assert settings.aws.job_role_arn == role_arn("jobs")
    assert settings.aws.arrivals_queue_url == outputs["ArrivalsQueueUrl"]


def test_again_it_finds_nothing_to_change(account):
    done = CliRunner().invoke(app, ["deploy", "foundation", "--yes"])
    assert done.exit_code == 0, done.output
    assert "nothing to change" in done.stdout


def test_without_anybody_to_ask_it_does_nothing(account):
    done = CliRunner().invoke(app, ["deploy", "foundation", "--set", "CaptureDays=7"])
    assert done.exit_code == 1
    assert "add --yes" in done.output
    looked = CliRunner().invoke(
        app, ["deploy", "foundation", "--set", "CaptureDays=7", "--plan", "--json"]
    )
    assert looked.exit_code == 0
    assert [change["logical_id"] for change in json.loads(looked.stdout)] == ["Store"]
    stack = boto3.client("cloudformation").describe_stacks(StackName="imgclf-foundation")["Stacks"]
    values = {item["ParameterKey"]: item["ParameterValue"] for item in stack[0]["Parameters"]}
    assert values["CaptureDays"] == "90"
    assert values["MonthlyBudgetUSD"] == "50"


def test_a_wrong_parameter_is_named(account):
    done = CliRunner().invoke(app, ["deploy", "foundation", "--yes", "--set", "CaptureDays"])
    assert done.exit_code == 2
    assert "Name=Value" in done.output


def test_the_edge_gets_what_the_foundation_made(account, outputs):
    from imgclf_dagster.cloud.stack_requests import request_for
    from imgclf_dagster.settings.root import load_settings
    from resources.stacks.stacks import Stacks

    request = request_for(
        "edge", load_settings(), Stacks(session=boto3.Session()), {"ThrottleRate": "5"}
    )
    assert request.name == "imgclf-edge"
    assert request.parameters["AlertsTopicArn"] == outputs["AlertsTopicArn"]
    assert request.parameters["ThrottleRate"] == "5"
    assert "BucketName" not in request.parameters


def test_the_image_is_taken_into_use_once_it_is_there(account, outputs, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    uri = outputs["ImageRepositoryUri"]
    lines = CliRunner().invoke(app, ["deploy", "image", "--tag", "1.0", "--print"])
    assert lines.stdout.splitlines()[-1] == f"docker push {uri}:1.0"
    done = CliRunner().invoke(app, ["deploy", "image", "--tag", "1.0"])
    assert done.exit_code == 1
    assert "no docker and no aws on this machine" in done.output
    assert f"docker push {uri}:1.0" in done.output
    manifest = json.dumps({"schemaVersion": 2})
    boto3.client("ecr").put_image(repositoryName="imgclf", imageManifest=manifest, imageTag="1.0")
    done = CliRunner().invoke(app, ["deploy", "image", "--tag", "1.0", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["pushed"] is False
    written = tomllib.loads((account["home"] / "aws.toml").read_text())["aws"]
    assert written["image_uri"] == f"{uri}:1.0"
    assert written["bucket"] == outputs["BucketName"]


@pytest.mark.parametrize(
    "kind",
    [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ],
)
def test_an_image_that_sagemaker_refuses_is_not_taken_into_use(account, outputs, kind):
    tag = kind.rpartition(".")[0].replace("/", "-")
    boto3.client("ecr").put_image(
        repositoryName="imgclf",
        imageManifest=json.dumps({"schemaVersion": 2, "mediaType": kind}),
        imageManifestMediaType=kind,
        imageTag=tag,
    )
    done = CliRunner().invoke(app, ["deploy", "image", "--tag", tag])
    assert done.exit_code == 1
    output = " ".join(done.output.split())
    assert f"is there as {kind}, which SageMaker refuses" in output
    assert f"--repository-name imgclf --image-ids imageTag={tag}" in output
    assert tag not in (account["home"] / "aws.toml").read_text()


def test_the_image_is_built_and_pushed_by_docker(account, outputs, monkeypatch, tmp_path):
    (tmp_path / "Dockerfile").touch()
    for name, body in {
        "aws": "echo password",
        "docker": f'[ "$1" = login ] && cat > /dev/null; echo "$@" >> {tmp_path}/ran; [ "$1" != push ]',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    uri = outputs["ImageRepositoryUri"]
    # Before and after each push; the first one fails.
    answers = iter([False, False, True])
    monkeypatch.setattr(container_image, "is_pushed", lambda *_: next(answers))
    done = CliRunner().invoke(app, ["deploy", "image", "--tag", "2.0", "--gpu"])
    assert done.exit_code == 1
    assert f"docker push {uri}:2.0" in done.output, "a push that fails is told"
    assert "gpu_image_uri" not in (account["home"] / "aws.toml").read_text()
    script = (tmp_path / "docker").read_text().replace('[ "$1" != push ]', "exit 0")
    (tmp_path / "docker").write_text(script)
    done = CliRunner().invoke(app, ["deploy", "image", "--tag", "2.0", "--gpu"])
    assert done.exit_code == 0, done.output
    ran = (tmp_path / "ran").read_text().splitlines()[-3:]
    assert ran[0].startswith("login --username AWS --password-stdin 123456789012.dkr.ecr.")
    assert ran[1] == (
        "buildx build --platform linux/amd64 --provenance=false --sbom=false "
        f"--build-arg VARIANT=gpu --output type=docker,name={uri}:2.0,oci-mediatypes=false ."
    )
    assert ran[2] == f"push {uri}:2.0"
    written = tomllib.loads((account["home"] / "aws.toml").read_text())["aws"]
    assert written["gpu_image_uri"] == f"{uri}:2.0"


def test_without_a_foundation_the_rest_says_so(account, monkeypatch):
    monkeypatch.setenv("IMGCLF_PROJECT", "another")
    done = CliRunner().invoke(app, ["deploy", "edge", "--plan"])
    assert done.exit_code == 1
    assert "run `imgclf deploy foundation` first" in " ".join(done.output.split())

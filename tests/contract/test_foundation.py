"""``imgclf deploy foundation`` into a local AWS, and what the roles it makes may do and may not.

The policies are read back from where they were deployed to, so that every reference in them is
resolved. Types that ministack lacks are taken on trust (``ministack_trial.TAKEN_ON_TRUST``).
"""

import json
import tomllib
from urllib.parse import unquote

import boto3
import pytest
from typer.testing import CliRunner

from imgclf_dagster.cli.main import app
from tests.testbed.iam import is_allowed
from tests.testbed.ministack_trial import ENVIRON, trial_stacks

pytestmark = pytest.mark.contract

REGION, ACCOUNT = "us-east-1", "123456789012"
BUCKET = f"arn:aws:s3:::imgclf-{ACCOUNT}-{REGION}"


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    """The environment of an account with the foundation in it, and what the command said."""
    folder = tmp_path_factory.mktemp("foundation")
    with trial_stacks(folder) as url, pytest.MonkeyPatch.context() as patch:
        for key, value in {
            **ENVIRON,
            "AWS_ENDPOINT_URL": url,
            "IMGCLF_HOME": str(folder / "home"),
            "IMGCLF_AWS__POLL_S": "0.1",
        }.items():
            patch.setenv(key, value)
        done = CliRunner().invoke(
            app, ["deploy", "foundation", "--yes", "--json", "--budget", "50"]
        )
        assert done.exit_code == 0, done.output
        yield {"said": json.loads(done.stdout), "home": folder / "home"}


@pytest.fixture(scope="module")
def outputs(account):
    return account["said"]["outputs"]


@pytest.fixture(scope="module")
def roles(account):
    """All statements that apply to a role, by the end of its name."""
    iam = boto3.client("iam")
    found = {}
    for role in ("jobs", "endpoints", "orchestrator", "cloudformation", "ci"):
        name = f"imgclf-{REGION}-{role}"
        documents = [
            iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
        ]
        for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            arn = policy["PolicyArn"]
            version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            answer = iam.get_policy_version(PolicyArn=arn, VersionId=version)
            documents.append(answer["PolicyVersion"]["Document"])
        found[role] = _statements(documents)
    return found


def _statements(documents):
    parsed = [json.loads(unquote(d)) if isinstance(d, str) else d for d in documents]
    return [statement for document in parsed for statement in document["Statement"]]


def sagemaker(resource):
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{resource}"


def role_arn(name):
    return f"arn:aws:iam::{ACCOUNT}:role/imgclf-{REGION}-{name}"


def stack(name):
    return f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{name}/0f2c"


VIA_S3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
TO_SAGEMAKER = {"iam:PassedToService": "sagemaker.amazonaws.com"}
TO_STACKS = {"iam:PassedToService": "cloudformation.amazonaws.com"}
GRANT = {"kms:GrantIsForAWSResource": "true"}
OURS = {"aws:ResourceTag/imgclf:project": "imgclf", "aws:RequestTag/imgclf:project": "imgclf"}
THEIRS = {"aws:ResourceTag/imgclf:project": "other", "aws:RequestTag/imgclf:project": "other"}
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:imgclf-arrivals"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/sagemaker"
TRAINING, TUNING = (
    sagemaker("training-job/train-0a1b"),
    sagemaker("hyper-parameter-tuning-job/tune-1"),
)
PROCESSING, GROUP = sagemaker("processing-job/eval-2c"), sagemaker("model-package-group/imgclf")
PACKAGE, ENDPOINT = sagemaker("model-package/imgclf/7"), sagemaker("endpoint/imgclf-prod")
CONFIG, MODEL = sagemaker("endpoint-config/endpointconfig-x"), sagemaker("model/model-x")
ALARM = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:imgclf-endpoint-prod-ServerErrorAlarm-X"
IMAGES = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/imgclf"
TARGET = f"arn:aws:application-autoscaling:{REGION}:{ACCOUNT}:scalable-target/0ab"

ALLOWED = {
    "orchestrator": [
        (
            "s3:GetObject s3:PutObject s3:DeleteObject s3:AbortMultipartUpload",
            f"{BUCKET}/raw/a.jpg",
            {},
        ),
        ("s3:ListBucket", BUCKET, {}),
        ("s3:ListBucket", BUCKET, {"s3:prefix": "raw/"}),
        ("s3:GetBucketNotification s3:GetBucketPublicAccessBlock", BUCKET, {}),
        ("sqs:ReceiveMessage sqs:DeleteMessage sqs:GetQueueAttributes", QUEUE, {}),
        ("sqs:ChangeMessageVisibility", QUEUE, {}),
        ("kms:Decrypt kms:GenerateDataKey", "KEY", VIA_S3),
        ("kms:CreateGrant", "KEY", GRANT),
        ("kms:DescribeKey", "KEY", {}),
        ("sagemaker:CreateTrainingJob sagemaker:DescribeTrainingJob", TRAINING, {}),
        ("sagemaker:StopTrainingJob sagemaker:AddTags", TRAINING, {}),
        ("sagemaker:DescribeTrainingJob", sagemaker("training-job/tune-1-001-ab"), {}),
        ("sagemaker:CreateProcessingJob sagemaker:DescribeProcessingJob", PROCESSING, {}),
        ("sagemaker:StopProcessingJob sagemaker:AddTags", PROCESSING, {}),
        (
            "sagemaker:CreateHyperParameterTuningJob sagemaker:StopHyperParameterTuningJob",
            TUNING,
            {},
        ),
        ("sagemaker:DescribeHyperParameterTuningJob", TUNING, {}),
        ("sagemaker:ListTrainingJobsForHyperParameterTuningJob", TUNING, {}),
        ("sagemaker:DescribeModelPackageGroup sagemaker:CreateModelPackageGroup", GROUP, {}),
        ("sagemaker:CreateModelPackage sagemaker:UpdateModelPackage", PACKAGE, {}),
        ("sagemaker:DescribeModelPackage", PACKAGE, {}),
        ("sagemaker:ListModelPackages", "*", {}),
        ("sagemaker:DescribeEndpoint sagemaker:InvokeEndpoint", ENDPOINT, {}),
        ("sagemaker:CreateEndpoint sagemaker:UpdateEndpoint sagemaker:AddTags", ENDPOINT, {}),
        ("sagemaker:DescribeEndpointConfig sagemaker:UpdateEndpoint", CONFIG, OURS),
        ("sagemaker:CreateEndpoint", CONFIG, OURS),
        ("sagemaker:ListEndpoints", "*", {}),
        ("sagemaker:DescribeModel", MODEL, OURS),
        ("logs:DescribeLogStreams", f"{LOGS}/TrainingJobs:log-stream:", {}),
        ("logs:GetLogEvents", f"{LOGS}/ProcessingJobs:log-stream:eval-2c/algo-1-1", {}),
        (
            "cloudformation:CreateChangeSet cloudformation:ExecuteChangeSet",
            stack("imgclf-endpoint-prod"),
            {},
        ),
        (
            "cloudformation:DescribeChangeSet cloudformation:DeleteChangeSet",
            stack("imgclf-endpoint-prod"),
            {},
        ),
        (
            "cloudformation:DescribeStacks cloudformation:DescribeStackEvents",
            stack("imgclf-endpoint-staging"),
            {},
        ),
        (
            "cloudformation:ListChangeSets cloudformation:DeleteStack",
            stack("imgclf-endpoint-staging"),
            {},
        ),
        ("cloudformation:GetTemplateSummary", "*", {}),
        ("iam:PassRole", role_arn("jobs"), TO_SAGEMAKER),
        ("iam:PassRole", role_arn("cloudformation"), TO_STACKS),
        ("iam:SimulatePrincipalPolicy iam:GetRole", role_arn("jobs"), {}),
        ("cloudwatch:DescribeAlarms", ALARM, {}),
        ("servicequotas:ListServiceQuotas", "*", {}),
        ("ecr:DescribeImages", IMAGES, {}),
    ],
    "jobs": [
        ("s3:GetObject", f"{BUCKET}/datasets/v1/shard-0.tar", {}),
        ("s3:GetObject", f"{BUCKET}/inputs/weights/mobilenet_v2.pth", {}),
        ("s3:GetObject s3:PutObject", f"{BUCKET}/pipes/train-0a1b/1-0.json", {}),
        ("s3:GetObject s3:PutObject", f"{BUCKET}/models/train-0a1b/output/model.tar.gz", {}),
        (
            "s3:GetObject s3:PutObject s3:DeleteObject",
            f"{BUCKET}/checkpoints/train-0a1b/last.ckpt",
            {},
        ),
        ("s3:ListBucket", BUCKET, {}),
        ("kms:Decrypt kms:GenerateDataKey", "KEY", VIA_S3),
        ("kms:CreateGrant", "KEY", GRANT),
        ("ecr:GetAuthorizationToken", "*", {}),
        ("ecr:BatchGetImage ecr:GetDownloadUrlForLayer", IMAGES, {}),
        (
            "logs:CreateLogStream logs:PutLogEvents",
            f"{LOGS}/TrainingJobs:log-stream:train-0a1b/algo-1",
            {},
        ),
        ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"}),
    ],
    "endpoints": [
        ("s3:GetObject", f"{BUCKET}/models/train-0a1b/output/model.tar.gz", {}),
        ("s3:PutObject", f"{BUCKET}/captures/imgclf-prod/AllTraffic/2026/11/23/00/x.jsonl", {}),
        ("kms:Decrypt kms:GenerateDataKey", "KEY", VIA_S3),
        ("ecr:BatchGetImage", IMAGES, {}),
        ("logs:PutLogEvents", f"{LOGS}/Endpoints/imgclf-prod:log-stream:AllTraffic/i-1", {}),
        ("cloudwatch:DescribeAlarms", ALARM, {}),
    ],
    "cloudformation": [
        ("sagemaker:CreateModel", MODEL, OURS),
        ("sagemaker:AddTags", MODEL, {"sagemaker:TaggingAction": "CreateModel"}),
        ("sagemaker:DescribeModel sagemaker:DeleteModel", MODEL, OURS),
        ("sagemaker:CreateEndpointConfig", CONFIG, OURS),
        ("sagemaker:DescribeEndpointConfig sagemaker:DeleteEndpointConfig", CONFIG, OURS),
        ("sagemaker:CreateEndpoint sagemaker:UpdateEndpoint", CONFIG, {}),
        ("sagemaker:CreateEndpoint sagemaker:UpdateEndpoint", ENDPOINT, {}),
        ("sagemaker:DeleteEndpoint sagemaker:DescribeEndpoint sagemaker:AddTags", ENDPOINT, {}),
        ("iam:PassRole", role_arn("endpoints"), TO_SAGEMAKER),
        ("cloudwatch:PutMetricAlarm cloudwatch:DeleteAlarms cloudwatch:TagResource", ALARM, {}),
        (
            "application-autoscaling:RegisterScalableTarget",
            TARGET,
            {"application-autoscaling:service-namespace": "sagemaker"},
        ),
        (
            "application-autoscaling:PutScalingPolicy",
            TARGET,
            {"application-autoscaling:service-namespace": "sagemaker"},
        ),
        ("application-autoscaling:DescribeScalableTargets", "*", {}),
        ("kms:CreateGrant", "KEY", GRANT),
    ],
    "ci": [
        ("ecr:GetAuthorizationToken", "*", {}),
        (
            "ecr:PutImage ecr:InitiateLayerUpload ecr:UploadLayerPart ecr:CompleteLayerUpload",
            IMAGES,
            {},
        ),
        (
            "cloudformation:CreateChangeSet cloudformation:ExecuteChangeSet",
            stack("imgclf-endpoint-staging"),
            {},
        ),
        ("cloudformation:DescribeStacks", stack("imgclf-foundation"), {}),
        ("iam:PassRole", role_arn("cloudformation"), TO_STACKS),
        ("sagemaker:InvokeEndpoint", sagemaker("endpoint/imgclf-staging"), {}),
    ],
}

OTHER_BUCKET = "arn:aws:s3:::other"
DENIED = {
    "orchestrator": [
        ("s3:GetObject s3:PutObject s3:DeleteObject", f"{OTHER_BUCKET}/raw/a.jpg", {}),
        ("s3:ListBucket", OTHER_BUCKET, {}),
        ("s3:DeleteBucket s3:PutBucketPolicy s3:PutLifecycleConfiguration", BUCKET, {}),
        ("s3:DeleteObjectVersion", f"{BUCKET}/raw/a.jpg", {}),
        ("sqs:DeleteQueue sqs:PurgeQueue sqs:SendMessage", QUEUE, {}),
        ("kms:Decrypt", "KEY", {}),
        ("kms:ScheduleKeyDeletion kms:PutKeyPolicy", "KEY", {}),
        ("kms:CreateGrant", "KEY", {"kms:GrantIsForAWSResource": "false"}),
        (
            "sagemaker:CreateTrainingJob sagemaker:StopTrainingJob",
            sagemaker("training-job/theirs"),
            {},
        ),
        ("sagemaker:DeleteEndpoint sagemaker:UpdateEndpointWeightsAndCapacities", ENDPOINT, {}),
        ("sagemaker:CreateEndpoint sagemaker:UpdateEndpoint", CONFIG, THEIRS),
        ("sagemaker:CreateModel sagemaker:CreateEndpointConfig", MODEL, OURS),
        ("sagemaker:InvokeEndpoint", sagemaker("endpoint/theirs-prod"), {}),
        ("sagemaker:DescribeModel", MODEL, THEIRS),
        ("sagemaker:DeleteModelPackageGroup", GROUP, {}),
        ("sagemaker:DeleteModelPackage", PACKAGE, {}),
        ("sagemaker:CreateModelPackage", sagemaker("model-package/theirs/1"), {}),
        ("sagemaker:CreateNotebookInstance", sagemaker("notebook-instance/x"), {}),
        (
            "cloudformation:CreateChangeSet cloudformation:DeleteStack",
            stack("imgclf-foundation"),
            {},
        ),
        ("cloudformation:ExecuteChangeSet", stack("theirs"), {}),
        ("iam:PassRole", role_arn("jobs"), TO_STACKS),
        ("iam:PassRole", role_arn("endpoints"), TO_SAGEMAKER),
        ("iam:PassRole", role_arn("cloudformation"), TO_SAGEMAKER),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/Admin", TO_SAGEMAKER),
        ("iam:CreateUser iam:CreateRole iam:PutRolePolicy", role_arn("jobs"), {}),
        ("iam:AttachRolePolicy", role_arn("orchestrator"), {}),
        ("ecr:PutImage ecr:DeleteRepository", IMAGES, {}),
        (
            "logs:GetLogEvents",
            f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/theirs:log-stream:x",
            {},
        ),
    ],
    "jobs": [
        ("s3:GetObject", f"{BUCKET}/captures/imgclf-prod/x.jsonl", {}),
        ("s3:PutObject s3:DeleteObject", f"{BUCKET}/raw/a.jpg", {}),
        ("s3:PutObject", f"{BUCKET}/datasets/v1/manifest.parquet", {}),
        ("s3:DeleteObject", f"{BUCKET}/models/train-0a1b/output/model.tar.gz", {}),
        ("s3:GetObject", f"{OTHER_BUCKET}/x", {}),
        ("sagemaker:CreateTrainingJob", TRAINING, {}),
        ("iam:PassRole", role_arn("jobs"), TO_SAGEMAKER),
        ("kms:Decrypt", "KEY", {}),
        ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "AWS/EC2"}),
        ("ec2:CreateNetworkInterface", f"arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/subnet-1", {}),
        ("ecr:PutImage", IMAGES, {}),
    ],
    "endpoints": [
        ("s3:GetObject", f"{BUCKET}/raw/a.jpg", {}),
        ("s3:PutObject", f"{BUCKET}/models/train-0a1b/output/model.tar.gz", {}),
        ("s3:GetObject", f"{BUCKET}/captures/imgclf-prod/x.jsonl", {}),
        ("sagemaker:InvokeEndpoint", ENDPOINT, {}),
        ("cloudwatch:DeleteAlarms", ALARM, {}),
    ],
    "cloudformation": [
        ("sagemaker:CreateModel sagemaker:DeleteModel", MODEL, THEIRS),
        ("sagemaker:CreateModel", MODEL, {}),
        ("sagemaker:DeleteEndpoint", sagemaker("endpoint/theirs-prod"), {}),
        ("sagemaker:CreateTrainingJob", TRAINING, {}),
        ("iam:PassRole", role_arn("jobs"), TO_SAGEMAKER),
        ("iam:PassRole", role_arn("endpoints"), TO_STACKS),
        ("iam:CreateRole", role_arn("endpoints"), {}),
        (
            "application-autoscaling:RegisterScalableTarget",
            TARGET,
            {"application-autoscaling:service-namespace": "ecs"},
        ),
        ("s3:GetObject", f"{BUCKET}/models/x", {}),
        ("cloudwatch:DeleteAlarms", f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:theirs", {}),
    ],
    "ci": [
        ("ecr:BatchDeleteImage ecr:DeleteRepository ecr:PutLifecyclePolicy", IMAGES, {}),
        ("ecr:PutImage", f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/theirs", {}),
        ("cloudformation:CreateChangeSet", stack("imgclf-foundation"), {}),
        ("cloudformation:DeleteStack", stack("imgclf-endpoint-prod"), {}),
        ("iam:PassRole", role_arn("jobs"), TO_SAGEMAKER),
        ("s3:GetObject", f"{BUCKET}/raw/a.jpg", {}),
        ("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/x", {}),
    ],
}


def _decisions(table, role, statements, key):
    """Each call of a row of the table, and whether it is allowed."""
    for actions, resource, context in table[role]:
        for action in actions.split():
            on = key if resource == "KEY" else resource
            yield f"{action} on {on} {context}", is_allowed(statements, action, on, context)


@pytest.mark.parametrize("role", ALLOWED)
def test_a_role_may_do_what_its_part_needs(roles, outputs, role):
    calls = _decisions(ALLOWED, role, roles[role], outputs["KmsKeyArn"])
    assert [call for call, allowed in calls if not allowed] == []


@pytest.mark.parametrize("role", DENIED)
def test_a_role_may_do_nothing_else(roles, outputs, role):
    calls = _decisions(DENIED, role, roles[role], outputs["KmsKeyArn"])
    assert [call for call, allowed in calls if allowed] == []


def test_the_doctor_asks_for_nothing_that_the_roles_lack(roles, account):
    """What ``imgclf doctor`` simulates is what the policies allow."""
    from imgclf_dagster import doctor_needs as doctor
    from imgclf_dagster.doctor_account import Account
    from imgclf_dagster.settings import load_settings
    from resources.aws.session import AwsSession

    seen = Account(load_settings(), AwsSession(), role_arn("orchestrator"))
    usual = doctor.usual_context(seen)
    for role, needs in {
        "orchestrator": doctor.caller_needs,
        "jobs": doctor.job_needs,
        "endpoints": doctor.endpoint_needs,
        "cloudformation": doctor.stack_needs,
    }.items():
        for need in needs(seen):
            context = {key: value for key, (_, value) in {**usual, **need.context}.items()}
            for action in need.actions:
                allowed = is_allowed(roles[role], action, need.resource, context)
                assert allowed, (role, action, need.resource)


@pytest.mark.parametrize(
    ("encryption", "allowed"),
    [
        ({}, True),
        ({"s3:x-amz-server-side-encryption": "aws:kms"}, True),
        ({"s3:x-amz-server-side-encryption": "AES256"}, False),
        ({"s3:x-amz-server-side-encryption-customer-algorithm": "AES256"}, False),
        ({"s3:x-amz-server-side-encryption-aws-kms-key-id": "KEY"}, True),
        (
            {"s3:x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:us-east-1:1:key/k"},
            False,
        ),
    ],
)
def test_the_bucket_takes_only_what_its_key_encrypts(roles, outputs, encryption, allowed):
    policy = boto3.client("s3").get_bucket_policy(Bucket=outputs["BucketName"])["Policy"]
    everything = [*roles["orchestrator"], *json.loads(policy)["Statement"]]
    context = {
        key: outputs["KmsKeyArn"] if value == "KEY" else value for key, value in encryption.items()
    }
    put = ("s3:PutObject", f"{BUCKET}/raw/a.jpg")
    assert is_allowed(everything, *put, {"aws:SecureTransport": "true", **context}) is allowed
    assert not is_allowed(everything, *put, {"aws:SecureTransport": "false", **context})


def test_only_the_store_sends_to_the_queue(outputs):
    url = outputs["ArrivalsQueueUrl"]
    attributes = boto3.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    policy = json.loads(attributes["Attributes"]["Policy"])["Statement"]
    tls = {"aws:SecureTransport": "true", "aws:SourceAccount": ACCOUNT}
    assert is_allowed(policy, "sqs:SendMessage", QUEUE, {**tls, "aws:SourceArn": BUCKET})
    assert not is_allowed(policy, "sqs:SendMessage", QUEUE, {**tls, "aws:SourceArn": OTHER_BUCKET})
    stranger = {**tls, "aws:SourceArn": BUCKET, "aws:SourceAccount": "999999999999"}
    assert not is_allowed(policy, "sqs:SendMessage", QUEUE, stranger)


def test_an_image_that_arrives_is_told_of(outputs):
    s3, sqs = boto3.client("s3"), boto3.client("sqs")
    s3.put_object(Bucket=outputs["BucketName"], Key="raw/a.jpg", Body=b"x")
    s3.put_object(Bucket=outputs["BucketName"], Key="models/a", Body=b"x")
    s3.delete_object(Bucket=outputs["BucketName"], Key="raw/a.jpg")
    told = []
    while batch := sqs.receive_message(
        QueueUrl=outputs["ArrivalsQueueUrl"], MaxNumberOfMessages=10, WaitTimeSeconds=1
    ).get("Messages"):
        bodies = [json.loads(message["Body"]) for message in batch]
        told += [record for body in bodies for record in body.get("Records", [])]
    assert {record["s3"]["object"]["key"] for record in told} == {"raw/a.jpg"}
    kinds = [record["eventName"].removeprefix("s3:").partition(":")[0] for record in told]
    assert sorted(kinds) == ["ObjectCreated", "ObjectRemoved"]


def test_it_writes_the_settings_that_follow(account, outputs):
    from imgclf_dagster.settings import load_settings

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
    from imgclf_dagster.deployments import request_for
    from imgclf_dagster.settings import load_settings
    from resources.aws.stacks import Stacks

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
    done = CliRunner().invoke(app, ["deploy", "image", "--tag", "2.0", "--gpu"])
    assert done.exit_code == 1
    assert f"docker push {uri}:2.0" in done.output, "a push that fails is told"
    assert "gpu_image_uri" not in (account["home"] / "aws.toml").read_text()
    script = (tmp_path / "docker").read_text().replace('[ "$1" != push ]', "exit 0")
    (tmp_path / "docker").write_text(script)
    assert CliRunner().invoke(app, ["deploy", "image", "--tag", "2.0", "--gpu"]).exit_code == 0
    ran = (tmp_path / "ran").read_text().splitlines()[-3:]
    assert ran[0].startswith("login --username AWS --password-stdin 123456789012.dkr.ecr.")
    assert ran[1].startswith(
        "build --platform linux/amd64 --provenance=false --build-arg VARIANT=gpu"
    )
    assert ran[2] == f"push {uri}:2.0"
    written = tomllib.loads((account["home"] / "aws.toml").read_text())["aws"]
    assert written["gpu_image_uri"] == f"{uri}:2.0"


def test_without_a_foundation_the_rest_says_so(account, monkeypatch):
    monkeypatch.setenv("IMGCLF_PROJECT", "another")
    done = CliRunner().invoke(app, ["deploy", "edge", "--plan"])
    assert done.exit_code == 1
    assert "run `imgclf deploy foundation` first" in " ".join(done.output.split())

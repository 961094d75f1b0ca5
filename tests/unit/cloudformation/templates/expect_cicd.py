"""What matters of each resource of ``cicd.yaml``; the pipeline as a whole: ``test_cicd.py``."""

from collections.abc import Callable
from typing import Any

from tests.unit.cloudformation.templates.expect_orchestrator import Resource, has, kept, log

Look = Callable[[Resource], None]


def bucket(resource: Resource) -> None:
    kept(resource)
    (rule,) = resource["Properties"]["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] <= 30
    encryption = resource["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
    assert encryption["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] == {"Ref": "KmsKeyArn"}


def policy(*actions: str) -> Look:
    """A managed policy that allows these actions, and no others."""

    def look(resource: Resource) -> None:
        assert granted(resource["Properties"]["PolicyDocument"]) == set(actions)

    return look


def granted(document: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        action = statement["Action"]
        found |= {action} if isinstance(action, str) else set(action)
    return found


def role(service: str, *actions: str) -> Look:
    def look(resource: Resource) -> None:
        (trust,) = resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": service}
        (own,) = resource["Properties"]["Policies"]
        assert granted(own["PolicyDocument"]) == set(actions)

    return look


def tls_only(resource: Resource) -> None:
    (statement,) = resource["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def build(name: str, spec: str, role: dict[str, Any], *, privileged: bool = False) -> Look:
    def look(resource: Resource) -> None:
        given = resource["Properties"]
        # The build's role trusts a project of this name only.
        assert given["Name"] == {"Fn::Sub": f"${{Project}}-{name}"}
        assert given["Source"]["BuildSpec"] == f"cloudformation/buildspecs/{spec}.yml"
        assert given["ServiceRole"] == role
        assert given["EncryptionKey"] == {"Ref": "KmsKeyArn"}
        assert given["Environment"]["PrivilegedMode"] is privileged
        assert given["TimeoutInMinutes"] <= 90

    return look


def arn_of(role: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [role, "Arn"]}


def pipeline(resource: Resource) -> None:
    has(PipelineType="V2", ExecutionMode="QUEUED")(resource)
    store = resource["Properties"]["ArtifactStore"]
    assert store["EncryptionKey"] == {"Type": "KMS", "Id": {"Ref": "KmsKeyArn"}}


ARTIFACTS = ("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject")
CODEBUILD = "codebuild.amazonaws.com"
LOGS = ("logs:CreateLogStream", "logs:PutLogEvents")
SOURCE = ("s3:GetObject", "s3:GetObjectVersion", "kms:Decrypt", *LOGS)
FAILED = has(MetricName="FailedBuilds", AlarmActions=[{"Ref": "AlertsTopicArn"}])

EXPECTED: dict[str, Look] = {
    "Artifacts": bucket,
    "ArtifactsPolicy": tls_only,
    "BuildRole": role(
        CODEBUILD,
        *SOURCE,
        "ecr:GetAuthorizationToken",
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:CompleteLayerUpload",
        "ecr:DescribeImages",
        "ecr:GetDownloadUrlForLayer",
        "ecr:InitiateLayerUpload",
        "ecr:PutImage",
        "ecr:UploadLayerPart",
    ),
    "PlanRole": role(
        CODEBUILD,
        *SOURCE,
        "s3:PutObject",
        "kms:GenerateDataKey",
        "cloudformation:DescribeStacks",
        "cloudformation:GetTemplateSummary",
    ),
    "EndpointTestRole": role(
        CODEBUILD,
        *SOURCE,
        "s3:ListBucket",
        "cloudformation:DescribeStacks",
        "sagemaker:DescribeEndpoint",
        "sagemaker:InvokeEndpoint",
    ),
    "TestRole": role(CODEBUILD, *SOURCE),
    "TestDataPolicy": policy("s3:GetObject", "s3:ListBucket"),
    "PipelineRole": role(
        "codepipeline.amazonaws.com",
        *ARTIFACTS,
        "s3:PutObjectAcl",
        "codeconnections:UseConnection",
        "codestar-connections:UseConnection",
        "s3:GetBucketLocation",
        "s3:GetBucketVersioning",
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "codebuild:BatchGetBuilds",
        "codebuild:StartBuild",
        "cloudformation:CreateChangeSet",
        "cloudformation:DeleteChangeSet",
        "cloudformation:DescribeChangeSet",
        "cloudformation:DescribeStackEvents",
        "cloudformation:DescribeStacks",
        "cloudformation:ExecuteChangeSet",
        "cloudformation:TagResource",
        "cloudformation:UntagResource",
        "iam:PassRole",
        "sns:Publish",
    ),
    "TestLog": log(30),
    "TestProject": build("test", "test", arn_of("TestRole")),
    "ImageLog": log(30),
    "ImageProject": build("image", "image", arn_of("BuildRole"), privileged=True),
    "PlanLog": log(30),
    "PlanProject": build("plan", "plan", arn_of("PlanRole")),
    "EndpointTestLog": log(30),
    "EndpointTestProject": build("endpoint-test", "test-endpoint", arn_of("EndpointTestRole")),
    "Pipeline": pipeline,
    "TestAlarm": FAILED,
    "ImageAlarm": FAILED,
    "EndpointTestAlarm": FAILED,
}

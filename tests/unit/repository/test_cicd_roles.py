"""What the roles of CI may do, by their policies: their own work, and no release.

A build runs code of a commit, so whatever its role may do, a commit may do before its approval.
"""

import re
from typing import Any

import pytest

from tests.testbed.iam import is_allowed
from tests.unit.cloudformation.templates.template import Template, items

pytestmark = pytest.mark.unit

ACCOUNT, REGION, PROJECT = "123456789012", "us-east-1", "shop"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k"
ARTIFACTS = "arn:aws:s3:::artifacts"
IMAGES = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{PROJECT}"
GIVEN = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "Project": PROJECT,
    "BucketName": "store",
    "KeyPrefix": "line/",
    "KmsKeyArn": KEY,
    "ImageRepositoryUri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{PROJECT}",
    "TestDataUri": "s3://photos/data/",
    "ConnectionArn": f"arn:aws:codeconnections:{REGION}:{ACCOUNT}:connection/c",
    "AlertsTopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:{PROJECT}-alerts",
    "CloudFormationRoleArn": f"arn:aws:iam::{ACCOUNT}:role/{PROJECT}-{REGION}-cloudformation",
    "DeployRoleArn": f"arn:aws:iam::{ACCOUNT}:role/admin",
    "Artifacts.Arn": ARTIFACTS,
    "Images.Arn": IMAGES,
}
VIA_S3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
CI_ROLES = {
    "BuildRole": "cicd.yaml",
    "PlanRole": "cicd.yaml",
    "EndpointTestRole": "cicd.yaml",
    "TestRole": "cicd.yaml",
    "CiRole": "foundation.yaml",
}


def resolved(node: Any) -> Any:
    """A node of a policy with its functions carried out; what is made here has a name of its own."""
    if isinstance(node, list):
        return [resolved(item) for item in items(node)]
    if not isinstance(node, dict):
        return node
    if "Ref" in node:
        return GIVEN[node["Ref"]]
    if "Fn::GetAtt" in node:
        place = node["Fn::GetAtt"]
        name = place if isinstance(place, str) else ".".join(place)
        return GIVEN.get(name, f"arn:of:{name}")
    if "Fn::Select" in node:
        return resolved(node["Fn::Select"][1])[int(node["Fn::Select"][0])]
    if "Fn::Split" in node:
        mark, text = node["Fn::Split"]
        return resolved(text).split(mark)
    if "Fn::Join" in node:
        return node["Fn::Join"][0].join(resolved(node["Fn::Join"][1]))
    if "Fn::Sub" in node:
        given = node["Fn::Sub"]
        text, own = (given, {}) if isinstance(given, str) else given
        known = {**GIVEN, **{name: resolved(value) for name, value in own.items()}}
        return re.sub(r"\$\{([^}]+)\}", lambda found: known[found[1]], text)
    return {key: resolved(value) for key, value in node.items()}


def statements_of(role: str, template: str) -> list[dict[str, Any]]:
    """Every statement that applies to a role: its own policies, and those that name it."""
    resources = Template.ours(template).resources
    own = resources[role]["Properties"].get("Policies", [])
    documents = [policy["PolicyDocument"] for policy in own]
    documents += [
        item["Properties"]["PolicyDocument"]
        for item in resources.values()
        if item["Type"] == "AWS::IAM::ManagedPolicy"
        and {"Ref": role} in items(item["Properties"].get("Roles", []))
    ]
    assert "ManagedPolicyArns" not in resources[role]["Properties"]
    return [resolved(statement) for document in documents for statement in document["Statement"]]


def stack(name: str) -> str:
    return f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{PROJECT}-{name}/id"


def sagemaker(rest: str) -> str:
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{rest}"


PASSED = {"iam:PassedToService": "cloudformation.amazonaws.com"}
RELEASES: list[tuple[str, str, dict[str, str]]] = [
    *(
        (f"cloudformation:{action}", stack(name), {})
        for action in (
            "CreateChangeSet", "ExecuteChangeSet", "DeleteChangeSet", "CreateStack", "UpdateStack",
            "DeleteStack", "SetStackPolicy", "CancelUpdateStack", "ContinueUpdateRollback",
        )
        for name in ("endpoint-staging", "endpoint-prod", "foundation", "orchestrator", "cicd")
    ),
    *(
        ("iam:PassRole", GIVEN[role], {**PASSED, "iam:PassedToService": f"{service}.amazonaws.com"})
        for role in ("CloudFormationRoleArn", "DeployRoleArn")
        for service in ("cloudformation", "codebuild", "codepipeline", "sagemaker", "lambda")
    ),
    *(
        (f"sagemaker:{action}", sagemaker(what), {"aws:ResourceTag/imgclf:project": PROJECT})
        for action in ("UpdateEndpoint", "CreateEndpoint", "DeleteEndpoint",
                       "UpdateEndpointWeightsAndCapacities", "CreateModel", "CreateEndpointConfig",
                       "UpdateModelPackage")
        for what in (f"endpoint/{PROJECT}-prod", "endpoint-config/x", "model/x",
                     f"model-package/{PROJECT}/1")
    ),
    ("sts:AssumeRole", GIVEN["CloudFormationRoleArn"], {}),
    ("sts:AssumeRole", GIVEN["DeployRoleArn"], {}),
    ("codepipeline:PutApprovalResult", f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:{PROJECT}", {}),
    ("codepipeline:UpdatePipeline", f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:{PROJECT}", {}),
    ("codebuild:UpdateProject", f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/{PROJECT}-plan", {}),
    ("iam:PutRolePolicy", GIVEN["CloudFormationRoleArn"], {}),
    ("iam:AttachRolePolicy", GIVEN["CloudFormationRoleArn"], {}),
    ("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/x", {}),
    # What a later stage reads: the commit itself, and of the image what is there already.
    ("s3:PutObject", f"{ARTIFACTS}/shop/Source/abc123", {}),
    ("s3:DeleteObject", f"{ARTIFACTS}/shop/PlanProd/abc123", {}),
    ("s3:PutObject", "arn:aws:s3:::store/line/raw/a.jpg", {}),
    ("s3:PutObject", "arn:aws:s3:::store/line/models/train-1/output/model.tar.gz", {}),
    ("ecr:BatchDeleteImage", IMAGES, {}),
    ("ecr:PutImageTagMutability", IMAGES, {}),
]  # fmt: skip
"""Calls by which something reaches an endpoint, or the way to it is opened."""


@pytest.mark.parametrize(("role", "template"), CI_ROLES.items())
def test_no_role_that_runs_code_of_a_commit_can_release(role: str, template: str) -> None:
    own = statements_of(role, template)
    assert own
    allowed = [call for call in RELEASES if is_allowed(own, *call)]
    assert allowed == []


RUNS: dict[str, list[tuple[str, str, dict[str, str]]]] = {
    "BuildRole": [
        ("s3:GetObject", f"{ARTIFACTS}/shop/Source/abc123", {}),
        ("kms:Decrypt", KEY, VIA_S3),
        ("ecr:GetAuthorizationToken", "*", {}),
        ("ecr:PutImage", IMAGES, {}),
        ("ecr:DescribeImages", IMAGES, {}),
        ("logs:PutLogEvents", "arn:of:ImageLog.Arn", {}),
    ],
    "PlanRole": [
        ("s3:GetObject", f"{ARTIFACTS}/shop/Source/abc123", {}),
        *(
            # CodePipeline cuts an artifact's name to ten characters.
            ("s3:PutObject", f"{ARTIFACTS}/shop/{name}/abc123", {})
            for name in ("PlanStagin", "PlanProd", "PlanFounda", "PlanOrches", "Look")
        ),
        ("kms:GenerateDataKey", KEY, VIA_S3),
        ("cloudformation:DescribeStacks", stack("endpoint-prod"), {}),
        ("cloudformation:GetTemplateSummary", "*", {}),
    ],
    "EndpointTestRole": [
        ("s3:GetObject", f"{ARTIFACTS}/shop/Source/abc123", {}),
        ("s3:GetObject", "arn:aws:s3:::store/line/raw/a.jpg", {}),
        ("s3:ListBucket", "arn:aws:s3:::store", {"s3:prefix": "line/raw/"}),
        ("kms:Decrypt", KEY, VIA_S3),
        ("cloudformation:DescribeStacks", stack("endpoint-staging"), {}),
        ("sagemaker:DescribeEndpoint", sagemaker(f"endpoint/{PROJECT}-staging"), {}),
        ("sagemaker:InvokeEndpoint", sagemaker(f"endpoint/{PROJECT}-prod"), {}),
    ],
    "TestRole": [("s3:GetObject", f"{ARTIFACTS}/shop/Source/abc123", {})],
    "PipelineRole": [
        # The source action uploads the commit with an ACL.
        ("s3:PutObjectAcl", f"{ARTIFACTS}/shop/Source/abc123", {}),
        ("s3:PutObject", f"{ARTIFACTS}/shop/Source/abc123", {}),
        ("cloudformation:ExecuteChangeSet", stack("endpoint-prod"), {}),
        ("iam:PassRole", GIVEN["CloudFormationRoleArn"], PASSED),
    ],
}


@pytest.mark.parametrize("role", RUNS)
def test_a_role_may_do_its_own_work(role: str) -> None:
    own = statements_of(role, "cicd.yaml")
    assert [call for call in RUNS[role] if not is_allowed(own, *call)] == []


@pytest.mark.parametrize(
    ("role", "call"),
    [
        ("BuildRole", ("s3:GetObject", "arn:aws:s3:::store/line/raw/a.jpg", {})),
        ("BuildRole", ("s3:PutObject", f"{ARTIFACTS}/shop/PlanProd/abc123", {})),
        ("BuildRole", ("sagemaker:InvokeEndpoint", sagemaker(f"endpoint/{PROJECT}-prod"), {})),
        ("PlanRole", ("ecr:PutImage", IMAGES, {})),
        ("PlanRole", ("s3:GetObject", "arn:aws:s3:::store/line/raw/a.jpg", {})),
        ("EndpointTestRole", ("ecr:PutImage", IMAGES, {})),
        ("EndpointTestRole", ("s3:PutObject", f"{ARTIFACTS}/shop/PlanProd/abc123", {})),
        ("TestRole", ("s3:GetObject", "arn:aws:s3:::store/line/raw/a.jpg", {})),
        ("TestRole", ("ecr:PutImage", IMAGES, {})),
    ],
)
def test_a_role_may_not_do_the_work_of_another(
    role: str, call: tuple[str, str, dict[str, str]]
) -> None:
    assert not is_allowed(statements_of(role, "cicd.yaml"), *call)


def test_every_build_has_the_role_of_its_own_project() -> None:
    resources = Template.ours("cicd.yaml").resources
    roles = {}
    for logical_id, resource in resources.items():
        if resource["Type"] == "AWS::CodeBuild::Project":
            given = resource["Properties"]
            role = given["ServiceRole"]["Fn::GetAtt"]
            name = role.partition(".")[0] if isinstance(role, str) else role[0]
            roles[logical_id] = name
            (trust,) = resources[name]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
            source = resolved(trust["Condition"]["ArnLike"]["aws:SourceArn"])
            assert source.endswith(f":project/{resolved(given['Name'])}")
    assert len(set(roles.values())) == len(roles), "no two builds share a role"

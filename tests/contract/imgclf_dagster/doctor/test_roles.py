"""``imgclf doctor`` on profile aws: what the roles may do, and what the doctor may look at."""

import json

import pytest

from tests.contract.imgclf_dagster.doctor.world import World, policy_of
from tests.testbed.bed import ACCOUNT

pytestmark = pytest.mark.contract


def test_a_role_lacks_a_permission(own_world: World) -> None:
    iam, name = own_world.client("iam"), own_world.account.made["JobRole"][0]
    policy = iam.get_role_policy(RoleName=name, PolicyName="store")["PolicyDocument"]
    for statement in policy["Statement"]:
        if "s3:PutObject" in statement["Action"]:
            statement["Resource"] = [r for r in statement["Resource"] if "/models/" not in r]
    iam.put_role_policy(RoleName=name, PolicyName="store", PolicyDocument=json.dumps(policy))
    found = own_world.only("role of the jobs", "failed")
    assert found.detail.endswith(f"may not s3:PutObject on {_object(own_world, 'models/x')}")
    assert "foundation.yaml" in found.remedy


def _object(own_world: World, key: str) -> str:
    return f"arn:aws:s3:::{own_world.aws['bucket']}/line/{key}"


def test_a_role_must_not_be_passed(own_world: World) -> None:
    own_world.without("OrchestratorRole", "iam:PassRole")
    found = own_world.only("permissions of the caller", "failed")
    assert f"iam:PassRole on {own_world.aws['job_role_arn']}" in found.detail
    assert f"iam:PassRole on {own_world.aws['cloudformation_role_arn']}" in found.detail


def test_a_role_is_not_there(world: World) -> None:
    world.aws["endpoint_role_arn"] += "-gone"
    ill = {f.what: f for f in world.looks() if f.health != "ok"}
    assert ill["role of the endpoints"].detail.startswith("there is no role")
    assert "iam:PassRole" in ill["role of the stacks"].detail, "which may pass another one"


def test_a_role_trusts_somebody_else(own_world: World) -> None:
    name = own_world.account.made["EndpointRole"][0]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": ["ec2.amazonaws.com"]},
        "Action": "sts:AssumeRole",
    }
    own_world.client("iam").update_assume_role_policy(
        RoleName=name, PolicyDocument=policy_of(statement)
    )
    found = own_world.only("role of the endpoints", "failed")
    assert "sagemaker.amazonaws.com" in found.detail


def test_a_permission_that_depends_on_what_is_not_known(own_world: World) -> None:
    iam, name = own_world.client("iam"), own_world.account.made["EndpointRole"][0]
    policy = iam.get_role_policy(RoleName=name, PolicyName="models-and-captures")["PolicyDocument"]
    policy["Statement"][0]["Condition"] = {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}
    iam.put_role_policy(
        RoleName=name, PolicyName="models-and-captures", PolicyDocument=json.dumps(policy)
    )
    assert "aws:PrincipalOrgID" in own_world.only("role of the endpoints", "warning").detail


def test_without_its_own_role_cloudformation_works_with_the_callers(world: World) -> None:
    world.aws["cloudformation_role_arn"] = ""
    found = world.only("permissions of the caller", "failed")
    assert "sagemaker:CreateEndpoint" in found.detail
    assert f"iam:PassRole on {world.aws['endpoint_role_arn']}" in found.detail


def test_somebody_who_is_no_role(world: World) -> None:
    world.as_administrator()
    assert (
        "neither a role nor an IAM user"
        in world.only("permissions of the caller", "warning").detail
    )


def test_a_user_of_iam(world: World) -> None:
    iam, name = world.client("iam"), f"ann-{world.account.project}"
    iam.create_user(UserName=name)
    given = iam.create_access_key(UserName=name)["AccessKey"]
    for policy in ("LineDataPolicyArn", "LineControlPolicyArn"):
        iam.attach_user_policy(UserName=name, PolicyArn=world.account.outputs[policy])
    itself = {"Effect": "Allow", "Action": "iam:SimulatePrincipalPolicy", "Resource": "*"}
    iam.put_user_policy(UserName=name, PolicyName="itself", PolicyDocument=policy_of(itself))
    world.monkeypatch.setenv("AWS_ACCESS_KEY_ID", given["AccessKeyId"])
    world.monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", given["SecretAccessKey"])
    world.monkeypatch.delenv("AWS_SESSION_TOKEN")
    assert world.ill() == []


def test_what_may_not_be_looked_at_is_a_warning(own_world: World) -> None:
    """Which names the permission, and holds up nothing else."""
    roles = [f"role of the {name}" for name in ("jobs", "endpoints", "stacks")]
    simulated = [("permissions of the caller", "iam:SimulatePrincipalPolicy")]
    for role in roles:
        simulated += [(role, "iam:GetRole"), (role, "iam:SimulatePrincipalPolicy")]
    expected = [
        ("public access", "s3:GetBucketPublicAccessBlock"),
        ("arrivals", "sqs:GetQueueAttributes"),
        ("encryption", "kms:DescribeKey"),
        ("image", "ecr:DescribeImages"),
        ("package group", "sagemaker:DescribeModelPackageGroup"),
        ("quotas", "servicequotas:ListServiceQuotas"),
        *simulated,
    ]
    own_world.without("OrchestratorRole", *(action for _, action in expected))
    findings = own_world.looks()
    ill = [finding for finding in findings if finding.health != "ok"]
    assert {finding.health for finding in ill} == {"warning"}
    assert [finding.what for finding in ill] == [what for what, _ in expected]
    for finding, (_, action) in zip(ill, expected, strict=True):
        assert f"allow {action} to" in finding.remedy
        assert f"{action} is denied" in finding.detail
    well = {finding.what for finding in findings} - {finding.what for finding in ill}
    assert {"bucket", "store", "clock"} <= well


def test_a_bucket_whose_notifications_may_not_be_seen(own_world: World) -> None:
    own_world.without("OrchestratorRole", "s3:GetBucketNotification")
    assert "allow s3:GetBucketNotification" in own_world.only("arrivals", "warning").remedy


def test_what_the_line_needs_is_asked_of_services_that_exist(world: World) -> None:
    """A misspelt action would be denied everywhere, or allowed by a wildcard, unnoticed."""
    import botocore.session

    from imgclf_dagster.doctor.aws_account import Account
    from imgclf_dagster.doctor.aws_role_needs import (
        caller_needs,
        endpoint_needs,
        job_needs,
        stack_needs,
    )
    from imgclf_dagster.profiles.aws import build_session

    settings = world.settings()
    account = Account(settings, build_session(settings), f"arn:aws:iam::{ACCOUNT}:user/ann")
    not_operations = {"s3:ListBucket", "iam:PassRole", "sagemaker:InvokeEndpoint"}
    core = botocore.session.get_session()
    for needs in (caller_needs, job_needs, endpoint_needs, stack_needs):
        for need in needs(account):
            for action in need.actions:
                service, _, operation = action.partition(":")
                names = core.get_service_model({"ecr": "ecr"}.get(service, service)).operation_names
                assert action in not_operations or operation in names, action

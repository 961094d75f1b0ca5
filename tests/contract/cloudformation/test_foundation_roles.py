"""What the roles and the policies that ``foundation.yaml`` makes allow, and what they refuse.

The policies are read back from where they were deployed to, so that every reference in them is
resolved.
"""

import json
from urllib.parse import unquote

import boto3
import pytest

from tests.testbed.deployed_foundation import deployed_foundation
from tests.testbed.iam import is_allowed
from tests.testbed.role_calls import (
    ACCOUNT,
    ALLOWED,
    BUCKET,
    DENIED,
    OTHER_BUCKET,
    QUEUE,
    REGION,
    role_arn,
)

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with deployed_foundation(tmp_path_factory.mktemp("foundation")) as deployed:
        yield deployed


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
    from imgclf_dagster.doctor import aws_role_needs as doctor
    from imgclf_dagster.doctor.aws_account import Account
    from imgclf_dagster.settings.root import load_settings
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

"""The test bed's IAM decides as AWS's does; the tests of our roles rest on it."""

import pytest

from tests.testbed.iam import is_allowed

pytestmark = pytest.mark.unit


def allow(action="s3:GetObject", resource="arn:aws:s3:::b/*", **condition):
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {**statement, "Condition": condition} if condition else statement


CASES = [
    ("nothing said is no", [], {}, False),
    ("allowed", [allow()], {}, True),
    ("case of actions is all one", [allow("S3:getobject")], {}, True),
    ("another action", [allow("s3:PutObject")], {}, False),
    ("another resource", [allow(resource="arn:aws:s3:::c/*")], {}, False),
    ("a refusal wins", [allow(), {**allow(), "Effect": "Deny"}], {}, False),
    ("condition holds", [allow(StringEquals={"a:b": ["x", "y"]})], {"a:B": "y"}, True),
    ("condition fails", [allow(StringEquals={"a:b": "x"})], {"a:b": "y"}, False),
    ("a missing key fails it", [allow(StringEquals={"a:b": "x"})], {}, False),
    ("unless it says if exists", [allow(StringLikeIfExists={"a:b": "x*"})], {}, True),
    ("if it exists, it counts", [allow(StringLikeIfExists={"a:b": "x*"})], {"a:b": "y"}, False),
    ("a missing key is not equal", [allow(StringNotEquals={"a:b": "x"})], {}, True),
    ("null: it is there", [allow(Null={"a:b": "false"})], {"a:b": "x"}, True),
    ("null: it is not", [allow(Null={"a:b": "false"})], {}, False),
    ("truth", [allow(Bool={"a:b": True})], {"a:b": "true"}, True),
    ("arns by pattern", [allow(ArnLike={"a:b": "arn:*:x"})], {"a:b": "arn:1:x"}, True),
    (
        "all conditions",
        [allow(Bool={"a:b": "true"}, Null={"c:d": "true"})],
        {"a:b": "true", "c:d": "1"},
        False,
    ),
]


@pytest.mark.parametrize(
    ("statements", "context", "decision"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_it_decides(statements, context, decision):
    assert is_allowed(statements, "s3:GetObject", "arn:aws:s3:::b/k", context) is decision


def test_what_it_does_not_know_it_says():
    with pytest.raises(NotImplementedError, match="DateLessThan"):
        is_allowed(
            [allow(DateLessThan={"a:b": "x"})], "s3:GetObject", "arn:aws:s3:::b/k", {"a:b": "x"}
        )
    with pytest.raises(NotImplementedError, match="exclusion"):
        is_allowed([{"Effect": "Allow", "NotAction": "x", "Resource": "*"}], "a:b", "c")

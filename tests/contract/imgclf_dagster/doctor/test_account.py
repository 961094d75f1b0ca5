"""``imgclf doctor`` on profile aws: a healthy account, and what everything else needs."""

import socket

import pytest

from tests.contract.imgclf_dagster.doctor.world import World
from tests.testbed.bed import ACCOUNT

pytestmark = pytest.mark.contract


def test_a_healthy_account_is_found_well(world: World) -> None:
    findings = world.looks()
    assert {f.health for f in findings} == {"ok"}, [f for f in findings if f.health != "ok"]
    texts = {finding.what: finding.detail for finding in findings}
    assert list(texts) == [
        "aws settings",
        "aws credentials",
        "clock",
        "bucket",
        "store",
        "public access",
        "arrivals",
        "encryption",
        "image",
        "package group",
        "quota",
        "permissions of the caller",
        "role of the jobs",
        "role of the endpoints",
        "role of the stacks",
    ]
    assert ":assumed-role/doctor-us-east-1-orchestrator/" in texts["aws credentials"]


def test_no_credentials(world: World) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        world.monkeypatch.delenv(name)
    found = world.only("aws credentials", "failed")
    assert "aws sso login" in found.remedy


def test_an_unknown_profile(world: World) -> None:
    world.aws["profile_name"] = "nobody"
    found = world.only("aws credentials", "failed")
    assert "nobody" in found.detail
    assert "aws.profile_name" in found.remedy


def test_an_expired_token(world: World) -> None:
    world.refused(
        "GetCallerIdentity",
        "ExpiredToken",
        "The security token included in the request is expired",
        403,
    )
    found = world.only("aws credentials", "failed")
    assert "expired" in found.detail
    assert "sign in again" in found.remedy


def test_no_region(world: World) -> None:
    world.aws["region"] = ""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        world.monkeypatch.delenv(name)
    assert "aws.region" in world.only("aws credentials", "failed").remedy


def test_nothing_answers(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    world.monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    assert "network" in world.only("aws credentials", "failed").remedy


def test_missing_settings_are_what_the_foundation_sets(world: World) -> None:
    world.aws = {"region": world.bed.region}
    found = world.only("aws settings", "failed")
    for name in ("bucket", "job_role_arn", "endpoint_role_arn", "image_uri"):
        assert f"aws.{name}" in found.detail
    assert "`imgclf deploy foundation`" in found.remedy
    asked = {finding.what for finding in world.looks()}
    assert {"aws credentials", "quota", "package group"} <= asked, "what can be asked, is"


def test_the_credentials_are_of_another_account(world: World) -> None:
    world.aws["job_role_arn"] = "arn:aws:iam::999999999999:role/x"
    found = world.only("aws account", "failed")
    assert "999999999999" in found.detail
    assert ACCOUNT in found.detail
    world.aws["job_role_arn"] = "imgclf-jobs"
    assert "no role's ARN" in world.only("aws settings", "failed").detail


@pytest.mark.parametrize(
    ("seconds", "health", "says"),
    [(100, "warning", "behind"), (-100, "warning", "ahead"), (600, "failed", "behind")],
)
def test_a_wrong_clock(world: World, seconds: int, health: str, says: str) -> None:
    world.bed.fault("GetCallerIdentity", "clock", times=-1, seconds=seconds)
    found = world.only("clock", health)
    assert says in found.detail
    assert int(found.detail.split()[0]) == pytest.approx(abs(seconds), abs=10)
    assert "timedatectl" in found.remedy


def test_no_secret_is_repeated(world: World) -> None:
    token = "a-very-secret-session-token"
    world.monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    world.refused(
        "GetCallerIdentity",
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check "
        f"your key {token}.\n\nThe Canonical String for this request should have been\n'POST\n"
        f"x-amz-security-token:{token}\n'",
        403,
    )
    found = world.only("aws credentials", "failed")
    assert token not in f"{found}"
    assert "Canonical" not in found.detail
    assert "signature" in found.detail

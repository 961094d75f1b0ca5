"""What ``imgclf doctor`` checks on profile ``aws``: everything that could make a run fail.

Settings, credentials and the clock come first, since the rest depends on them; then all other
checks in parallel. A check that the caller lacks a permission for is a warning that names it.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from imgclf_dagster.doctor.aws_account import FOUNDATION, Account, finding_of_error
from imgclf_dagster.doctor.aws_quotas import look_at_quotas
from imgclf_dagster.doctor.aws_roles import role_looks
from imgclf_dagster.doctor.aws_sagemaker import look_at_images, look_at_sagemaker
from imgclf_dagster.doctor.aws_storage import look_at_arrivals, look_at_bucket, look_at_key
from imgclf_dagster.doctor.findings import Finding, Look, look_at_once
from imgclf_dagster.profiles.aws import missing_settings
from imgclf_dagster.settings.root import Settings, deployed_file
from resources.aws.session import AwsSession
from resources.compute.sagemaker.machines import JobResources
from resources.compute.sagemaker.requests import JobSettings, NotConfigured

LIMIT_S = 15.0
"""Time after which the doctor reports what it has found so far (seconds)."""

CLOCK_WARNING_S = 60.0
CLOCK_LIMIT_S = 300.0
"""AWS refuses a request signed more than five minutes off its own clock
(https://docs.aws.amazon.com/IAM/latest/UserGuide/signing-elements.html)."""

_ATTEMPTS = 2
_READ_TIMEOUT_S = 5.0
_SHORTEST_SECRET = 16


def examine_aws(settings: Settings) -> list[Finding]:
    """Check the AWS account; stop early if the credentials do not work. Never raises."""
    deadline = time.monotonic() + LIMIT_S
    findings = list(_settings(settings))
    session = AwsSession(
        region=settings.aws.region,
        profile_name=settings.aws.profile_name,
        max_attempts=_ATTEMPTS,
        read_timeout_s=_READ_TIMEOUT_S,
    )
    callers: list[str] = []
    findings += look_at_once(
        {"aws credentials": lambda: _credentials(session, callers)}, deadline, finding_of_error
    )
    if callers:
        account = Account(settings, session, callers[0])
        strangers = list(_strangers(account))
        findings += strangers or look_at_once(_looks(account), deadline, finding_of_error)
    return [_discreet(finding) for finding in findings]


def _looks(account: Account) -> dict[str, Look]:
    """Return the checks whose settings are set, by name."""
    aws = account.settings.aws
    looks: dict[str, tuple[object, Callable[[Account], Iterable[Finding]]]] = {
        "bucket": (aws.bucket, look_at_bucket),
        "arrivals": (aws.bucket, look_at_arrivals),
        "encryption": (True, look_at_key),
        "image": (aws.image_uri or aws.gpu_image_uri, look_at_images),
        "sagemaker": (True, look_at_sagemaker),
        "quotas": (True, look_at_quotas),
    }
    chosen: dict[str, Look] = {
        name: partial(look, account) for name, (needed, look) in looks.items() if needed
    }
    return chosen | (role_looks(account) if aws.bucket else {})


def _settings(settings: Settings) -> Iterator[Finding]:
    missing = missing_settings(settings)
    if missing:
        yield Finding(
            "aws settings",
            "failed",
            f"not set: {', '.join(missing)}",
            f"{FOUNDATION}, which writes its outputs into {deployed_file()}",
        )
    else:
        yield Finding("aws settings", "ok", f"complete ({deployed_file()} and imgclf.toml)")
    aws = settings.aws
    if bool(aws.subnets) != bool(aws.security_group_ids):
        yield Finding(
            "aws settings",
            "failed",
            "aws.subnets and aws.security_group_ids must both be set, and only one is",
            "set both, or none to run without a VPC",
        )
    kinds: dict[str, JobResources] = {"training": aws.training, "processing": aws.processing}
    images = JobSettings(role_arn="", image_uri=aws.image_uri, gpu_image_uri=aws.gpu_image_uri)
    for kind, resources in kinds.items():
        try:
            images.image(resources.instance_type)
        except NotConfigured as error:
            if aws.image_uri:
                yield Finding(
                    "gpu image",
                    "failed",
                    f"aws.{kind}.instance_type {resources.instance_type} has GPUs: {error}",
                    "build and push it (`imgclf deploy image --gpu`, or VARIANT=gpu by hand, see "
                    "docs/aws.md) and set aws.gpu_image_uri, or choose an instance type without "
                    "GPUs",
                )


def _credentials(session: AwsSession, callers: list[str]) -> Iterator[Finding]:
    """Check the credentials and the clock; append the caller's ARN to ``callers`` if they work."""
    from botocore.exceptions import ClientError

    try:
        sts = session.client("sts")
        answer = sts.get_caller_identity()
    except ClientError as error:
        clock = list(_clock(error.response))
        if any(finding.health == "failed" for finding in clock):
            yield from clock  # a wrong clock makes the signature invalid
        else:
            yield replace(finding_of_error("aws credentials", error), health="failed")
        return
    except Exception as error:  # noqa: BLE001 - no region, no credentials, no network …
        yield replace(finding_of_error("aws credentials", error), health="failed")
        return
    yield Finding("aws credentials", "ok", f"{answer['Arn']} in {sts.meta.region_name}")
    yield from _clock(answer)
    callers.append(answer["Arn"])


def _clock(answer: Any) -> Iterator[Finding]:
    """Compare this machine's clock with the Date header of an answer of AWS."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if not date:
        return
    off = (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
    detail = f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} AWS's"
    remedy = "set this machine's clock (timedatectl set-ntp true)"
    if abs(off) < CLOCK_WARNING_S:
        yield Finding("clock", "ok", detail)
    elif abs(off) < CLOCK_LIMIT_S:
        yield Finding("clock", "warning", detail, remedy)
    else:
        yield Finding("clock", "failed", f"{detail}: AWS refuses its signatures", remedy)


def _strangers(account: Account) -> Iterator[Finding]:
    """Yield findings on role ARNs that are malformed or belong to another account."""
    names = ("job_role_arn", "endpoint_role_arn", "cloudformation_role_arn")
    for name in names:
        arn = getattr(account.settings.aws, name)
        parts = arn.split(":")
        if arn and (len(parts) < 6 or parts[2] != "iam"):
            yield Finding(
                "aws settings", "failed", f"aws.{name} is no role's ARN: {arn}", FOUNDATION
            )
        elif arn and parts[4] != account.id:
            yield Finding(
                "aws account",
                "failed",
                f"aws.{name} is of account {parts[4]}, the credentials are of {account.id}",
                "sign in to the other account (aws.profile_name, AWS_PROFILE), or correct the "
                "settings",
            )
            return


def _discreet(finding: Finding) -> Finding:
    """Return the finding with secrets of this process's environment replaced by ``***``."""
    secrets = [
        value
        for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        if len(value := os.environ.get(name, "")) >= _SHORTEST_SECRET
    ]
    detail, remedy = finding.detail, finding.remedy
    for secret in secrets:
        detail, remedy = detail.replace(secret, "***"), remedy.replace(secret, "***")
    return replace(finding, detail=detail, remedy=remedy)

"""What an account has when ``imgclf deploy foundation`` was run: as settings on the test bed."""

from typing import Any

from tests.testbed.bed import ACCOUNT, TestBed

IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/imgclf:1.0.0"


def role(name: str) -> str:
    """ARN of a role of the account."""
    return f"arn:aws:iam::{ACCOUNT}:role/imgclf-{name}"


def aws_section(bed: TestBed, **changes: Any) -> dict[str, Any]:
    """The section ``[aws]`` of the settings, with a bucket of its own, looking often."""
    bucket = bed.bucket()
    return {
        "region": bed.region,
        "bucket": bucket,
        "package_group": bucket,
        "prefix": "line",
        "job_role_arn": role("jobs"),
        "endpoint_role_arn": role("endpoints"),
        "image_uri": IMAGE,
        "poll_s": 0.2,
        "training": {"instance_type": "ml.m5.xlarge", "spot": True},
        **changes,
    }

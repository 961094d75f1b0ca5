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


def told_by_a_queue(bed: TestBed, bucket: str, prefix: str) -> str:
    """The URL of a queue that gets the bucket's notifications, as the foundation has it."""
    sqs = bed.client("sqs")
    url = str(sqs.create_queue(QueueName=f"{bucket}-arrivals")["QueueUrl"])
    names = {"QueueUrl": url, "AttributeNames": ["QueueArn"]}
    notifications = [
        {
            "QueueArn": sqs.get_queue_attributes(**names)["Attributes"]["QueueArn"],
            "Events": ["s3:ObjectCreated:*"],
            "Filter": {
                "Key": {"FilterRules": [{"Name": "prefix", "Value": f"{prefix}/{folder}/"}]}
            },
        }
        for folder in ("raw", "annotations")
    ]
    bed.client("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": notifications}
    )
    return url

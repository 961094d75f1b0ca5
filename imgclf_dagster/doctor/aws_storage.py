"""The doctor's checks of the line's storage: bucket, arrivals queue, encryption key."""

from collections.abc import Iterator
from typing import Any

from imgclf_dagster.doctor.aws_account import FOUNDATION, Account, finding_of_error
from imgclf_dagster.doctor.findings import Finding
from imgclf_dagster.home.home import is_prepared, require_store
from imgclf_dagster.profiles.aws import build_store, missing_settings, store_url
from object_store.errors import StoreError, StoreMissing
from resources.aws.errors import error_code


def look_at_bucket(account: Account) -> Iterator[Finding]:
    """Check that the bucket exists, is in this region, is accessible and blocks public access."""
    from botocore.exceptions import ClientError

    bucket, s3 = account.settings.aws.bucket, account.client("s3")
    refusal: Finding | None = None
    try:
        answer = s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        answer, refusal = error.response, _refusal(account, error)
    region = _region(answer, account.region)
    if region != account.region:
        yield Finding(
            "bucket",
            "failed",
            f"{bucket} is in {region}, and jobs would run in {account.region}",
            f"set aws.region to {region}, or take a bucket in {account.region}",
        )
    elif refusal:
        yield refusal
    else:
        yield Finding("bucket", "ok", f"{bucket} in {region}")
        if not missing_settings(account.settings):
            yield _store(account)
        yield _public_access(account)


def _refusal(account: Account, error: Any) -> Finding:
    """Make a finding from the HTTP status of HeadBucket, whose answer has no body."""
    bucket = account.settings.aws.bucket
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if status == 404:
        remedy = f"check aws.bucket, or {FOUNDATION}"
        return Finding("bucket", "failed", f"there is no bucket {bucket}", remedy)
    if status == 403:
        return Finding(
            "bucket",
            "failed",
            f"{bucket} denies access to {account.caller}",
            f"allow s3:ListBucket on it to {account.caller}; is it a bucket of account "
            f"{account.id}?",
        )
    return finding_of_error("bucket", error)


def _region(answer: Any, default: str) -> str:
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region: str = headers.get("x-amz-bucket-region", default)
    return region


def _store(account: Account) -> Finding:
    """Check that the store can be read by obstore, the client that jobs and Dagster use."""
    settings = account.settings
    try:
        if is_prepared(settings):
            require_store(settings)
        else:
            build_store(settings).require()
    except StoreMissing as error:
        if is_prepared(settings):
            return Finding("store", "failed", str(error), "see aws.bucket and aws.prefix")
        return Finding("store", "ok", "not made yet; the first ingest, run or up makes it")
    except StoreError as error:
        return Finding("store", "failed", str(error))
    return Finding("store", "ok", store_url(settings))


def _public_access(account: Account) -> Finding:
    from botocore.exceptions import ClientError

    bucket, what = account.settings.aws.bucket, "public access"
    try:
        answer = account.client("s3").get_public_access_block(Bucket=bucket)
        shut = answer["PublicAccessBlockConfiguration"]
    except ClientError as error:
        if error_code(error) != "NoSuchPublicAccessBlockConfiguration":
            return finding_of_error(what, error)
        shut = {}
    if shut and all(shut.values()):
        return Finding(what, "ok", f"{bucket} blocks it")
    return Finding(
        what,
        "warning",
        f"{bucket} does not block all of it: a wrong policy or ACL would make the images public",
        f"{FOUNDATION} again, or block all public access in the bucket's permissions",
    )


def look_at_arrivals(account: Account) -> Iterator[Finding]:
    """Check that the bucket notifies the queue, and that the queue has a dead-letter queue."""
    from botocore.exceptions import ClientError

    url = account.settings.aws.arrivals_queue_url
    if not url:
        detail = "the bucket is listed each time (aws.arrivals_queue_url is not set)"
        yield Finding("arrivals", "ok", detail)
        return
    asked = ["QueueArn", "ApproximateNumberOfMessages", "RedrivePolicy"]
    try:
        queue = account.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=asked)
    except ClientError as error:
        if "NonExistentQueue" in error_code(error) or "QueueDoesNotExist" in error_code(error):
            remedy = f"check aws.arrivals_queue_url (empty: the bucket is listed), or {FOUNDATION}"
            yield Finding("arrivals", "failed", f"there is no queue {url}", remedy)
        else:
            yield finding_of_error("arrivals", error)
        return
    yield _arrivals(account, queue["Attributes"])


def _arrivals(account: Account, queue: dict[str, str]) -> Finding:
    from botocore.exceptions import ClientError

    again = f"{FOUNDATION} again, or empty aws.arrivals_queue_url"
    name = queue["QueueArn"].rpartition(":")[2]
    waiting = f"{queue['ApproximateNumberOfMessages']} messages wait in {name}"
    bucket = account.settings.aws.bucket
    try:
        notifications = account.client("s3").get_bucket_notification_configuration(Bucket=bucket)
    except ClientError as error:
        if error_code(error) != "NoSuchBucket":
            return finding_of_error("arrivals", error)
        return Finding("arrivals", "failed", f"there is no bucket {bucket}", "see above")
    if "EventBridgeConfiguration" not in notifications and not any(
        _tells(entry, queue["QueueArn"], account.settings.aws.prefix)
        for entry in notifications.get("QueueConfigurations", [])
    ):
        detail = f"{bucket} does not notify {name} of new objects under raw/: none is ever noticed"
        return Finding("arrivals", "failed", detail, again)
    if "RedrivePolicy" not in queue:
        detail = f"{waiting}; it has no dead-letter queue for messages that cannot be processed"
        return Finding("arrivals", "warning", detail, again)
    return Finding("arrivals", "ok", waiting)


def _tells(entry: dict[str, Any], queue_arn: str, prefix: str) -> bool:
    """Whether a notification configuration sends new objects under ``raw/`` to the queue."""
    rules = entry.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    limits = {rule["Name"].lower(): rule["Value"] for rule in rules}
    raw = f"{prefix}/raw/".lstrip("/")
    return (
        entry["QueueArn"] == queue_arn
        and any(event.startswith("s3:ObjectCreated") for event in entry["Events"])
        and raw.startswith(limits.get("prefix", ""))
        and not limits.get("suffix")
    )


def look_at_key(account: Account) -> Iterator[Finding]:
    """Check that the KMS key exists and is enabled."""
    from botocore.exceptions import ClientError

    arn = account.settings.aws.kms_key_arn
    if not arn:
        yield Finding("encryption", "ok", "the bucket's own (aws.kms_key_arn is not set)")
        return
    try:
        key = account.client("kms").describe_key(KeyId=arn)["KeyMetadata"]
    except ClientError as error:
        if error_code(error) == "NotFoundException":
            remedy = f"check aws.kms_key_arn, or {FOUNDATION}"
            yield Finding("encryption", "failed", f"there is no key {arn}", remedy)
        else:
            yield finding_of_error("encryption", error)
        return
    state = key["KeyState"]
    if state == "Enabled":
        yield Finding("encryption", "ok", arn)
        return
    enable = f"aws kms enable-key --key-id {arn}"
    if state == "PendingDeletion":
        enable = f"aws kms cancel-key-deletion --key-id {arn} && {enable}"
    detail = f"{arn} is {state}: nothing in the bucket can be read or written"
    yield Finding("encryption", "failed", detail, enable)

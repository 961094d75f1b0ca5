"""What S3 tells of a bucket, in each of the forms in which it comes to a queue.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus

from errors.base import ImgclfError


class NoS3EventError(ImgclfError, ValueError):
    """A message that tells of no object of the bucket; the message says why."""


def event_keys(body: str, bucket: str) -> set[str]:
    """Keys, in the bucket, of the objects that a message tells of; none for S3's test message.

    Which event it was, when and in which order does not matter: whoever is told looks at the
    object. So events of every kind count, and the sequencer is not read.

    Args:
        body: of a message of SQS: from S3 itself, or by way of SNS or EventBridge.
        bucket: the only one that is spoken of.

    Raises:
        NoS3EventError: it is something else, or of another bucket.
    """
    return set(_keys(_parsed(body), bucket))


def _parsed(text: Any) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except (TypeError, ValueError) as error:
        raise NoS3EventError(f"it is no JSON ({error})") from error
    if not isinstance(message, dict):
        raise NoS3EventError("it is no JSON object")
    return message


def _keys(message: dict[str, Any], bucket: str) -> Iterator[str]:
    if message.get("Type") == "Notification" and "Message" in message:  # SNS
        yield from _keys(_parsed(message["Message"]), bucket)
    elif message.get("Event") == "s3:TestEvent":
        return
    elif message.get("source") == "aws.s3":  # EventBridge
        # Its documentation leaves open whether keys are encoded: what is not there is no harm.
        key = _key(message.get("detail"), bucket)
        yield key
        yield unquote_plus(key)
    elif isinstance(message.get("Records"), list):
        for record in message["Records"]:
            if not isinstance(record, dict) or record.get("eventSource") != "aws:s3":
                raise NoS3EventError("a record in it is not of S3")
            key = _key(record.get("s3"), bucket)
            try:
                yield unquote_plus(key, errors="strict")
            except UnicodeDecodeError as error:
                raise NoS3EventError(f"the key {key!r} is not UTF-8") from error
    else:
        raise NoS3EventError("it is no event of S3")


def _key(told: Any, bucket: str) -> str:
    try:
        name, key = told["bucket"]["name"], told["object"]["key"]
    except (KeyError, TypeError) as error:
        raise NoS3EventError("it names no bucket and object") from error
    if name != bucket:
        raise NoS3EventError(f"it is of the bucket {name}, not {bucket}")
    if not isinstance(key, str) or any("\ud800" <= char <= "\udfff" for char in key):
        raise NoS3EventError("its key is no text")
    return key

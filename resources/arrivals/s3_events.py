"""Parsing S3's event notifications, in each form in which they reach an SQS queue.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus

from errors.base import ImgclfError


class NoS3EventError(ImgclfError, ValueError):
    """A message is no S3 event about an object of the bucket; the error's text says why."""


def event_keys(body: str, bucket: str) -> set[str]:
    """Return the keys of the objects that a message names; none for S3's test message.

    Events of every kind count, and the sequencer is ignored: the caller looks at the objects.

    Args:
        body: of an SQS message: from S3 directly, or through SNS or EventBridge.
        bucket: name of the expected bucket.

    Raises:
        NoS3EventError: the message is no S3 event, or is about another bucket.
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
        # Its documentation does not say whether keys are encoded; a key without an object is
        # harmless.
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


def _key(record: Any, bucket: str) -> str:
    try:
        name, key = record["bucket"]["name"], record["object"]["key"]
    except (KeyError, TypeError) as error:
        raise NoS3EventError("it names no bucket and object") from error
    if name != bucket:
        raise NoS3EventError(f"it is of the bucket {name}, not {bucket}")
    if not isinstance(key, str) or any("\ud800" <= char <= "\udfff" for char in key):
        raise NoS3EventError("its key is no text")
    return key

"""S3 event notifications through an SQS queue: the cost grows only with the number of new objects."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from object_store.store import ObjectStore
from object_store.transfer import at_once
from resources.arrivals.arrivals import (
    ARRIVALS,
    LABEL_ARRIVALS,
    Arrivals,
    ArrivalsError,
    Warn,
    write_notice,
)
from resources.arrivals.s3_events import NoS3EventError, event_keys
from resources.aws.errors import error_message
from resources.aws.session import AwsSession

WATCHED = {"raw/": ARRIVALS, "annotations/": LABEL_ARRIVALS}
"""Prefix of the notices, by prefix of the objects."""

MESSAGES_PER_TICK = 10_000
RECEIVE_S = 20.0
"""Messages and seconds after which a tick stops receiving; it has 60 s in all."""

VISIBILITY_S = 120
"""Seconds until SQS delivers a message again that was not deleted: longer than a tick."""

_BATCH = 10
_AT_ONCE = 8

Message = dict[str, Any]


class SqsArrivals(Arrivals):
    """The queue that gets the notifications of the bucket.

    At least once: a message is deleted only when the notice of it lies in the store. One that is
    not understood is left alone, so that SQS moves it to the dead-letter queue.

    Attributes:
        session: the account.
        queue_url: of the queue.
        bucket: of the store.
        prefix: of the store in the bucket.
    """

    session: dg.ResourceDependency[AwsSession]
    queue_url: str
    bucket: str
    prefix: str = ""

    @property
    def tells(self) -> bool:
        """Yes."""
        return True

    def collect(self, store: ObjectStore, warn: Warn) -> int:
        """See :class:`Arrivals`. An empty queue costs one call of ReceiveMessage."""
        messages = self._receive()
        keys: set[str] = set()
        understood = []
        for message in messages:
            try:
                keys |= self._watched(event_keys(message["Body"], self.bucket))
            except NoS3EventError as error:
                warn(
                    f"message {message['MessageId']} of {self.queue_url} is not valid: "
                    f"{error}. It is left to the dead-letter queue; the next listing finds its "
                    "object"
                )
            else:
                understood.append(message)
        for folder, place in WATCHED.items():
            noticed = {key for key in keys if key.startswith(folder)}
            if noticed:
                source = f"{len(understood)} messages of {self.queue_url}"
                write_notice(store, noticed, source=source, place=place)
        self._delete(understood)
        return len(keys)

    def _watched(self, keys: set[str]) -> set[str]:
        """Convert keys in the bucket to keys in the store; leaves out all but watched prefixes."""
        place = f"{self.prefix}/" if self.prefix else ""
        return {
            key.removeprefix(place)
            for key in keys
            if key.startswith(tuple(f"{place}{folder}" for folder in WATCHED))
            and not key.endswith("/")
        }

    def _receive(self) -> list[Message]:
        """Receive the waiting messages, each once, with parallel calls if the queue is not empty."""
        end = time.monotonic() + RECEIVE_S
        found = {message["MessageId"]: message for message in self._receive_some(0)}
        some = len(found)
        while some and len(found) < MESSAGES_PER_TICK and time.monotonic() < end:
            more = list(at_once(self._receive_some, range(_AT_ONCE), threads=_AT_ONCE))
            some = sum(map(len, more))
            found |= {message["MessageId"]: message for batch in more for message in batch}
        return list(found.values())

    def _receive_some(self, _: int) -> list[Message]:
        with self._asked("ReceiveMessage"):
            answer = self.session.client("sqs").receive_message(
                QueueUrl=self.queue_url,
                MaxNumberOfMessages=_BATCH,
                VisibilityTimeout=VISIBILITY_S,
                WaitTimeSeconds=0,
            )
        return list(answer.get("Messages", []))

    def _delete(self, messages: list[Message]) -> None:
        """Delete messages; one that SQS fails to delete is delivered again, which is harmless."""

        def delete(start: int) -> None:
            entries = [
                {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                for number, message in enumerate(messages[start : start + _BATCH])
            ]
            with self._asked("DeleteMessageBatch"):
                self.session.client("sqs").delete_message_batch(
                    QueueUrl=self.queue_url, Entries=entries
                )

        starts = range(0, len(messages), _BATCH)
        for _ in at_once(delete, starts, threads=_AT_ONCE):
            pass

    @contextmanager
    def _asked(self, operation: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            text = error_message(error, f"{operation} of {self.queue_url} (aws.arrivals_queue_url)")
            raise ArrivalsError(text) from error

"""A look at Label Studio, with the store in a bucket that has far more than what changed."""

from collections.abc import Iterator
from typing import Any

import pytest

from assets.annotations.label_studio_poll import PollCursor, poll
from assets.policies import LabellingPolicy
from labelling.labels.snapshots import LABEL_STUDIO_PREFIX
from object_store.store import ObjectStore
from tests.label_studio.played import PlayedLabelStudio
from tests.testbed.bed import TestBed

pytestmark = pytest.mark.contract


@pytest.fixture
def store(aws_environment: TestBed) -> ObjectStore:
    store = ObjectStore(url=f"s3://{aws_environment.bucket()}/line")
    store.ensure()
    return store


@pytest.fixture
def listed(store: ObjectStore) -> Iterator[list[str]]:
    """Keys that the bucket has told in its listings."""
    messages: list[str] = []

    def note(parsed: dict[str, Any], **_: Any) -> None:
        messages.extend(item["Key"] for item in parsed.get("Contents", ()))

    events = store.place.access.client.meta.events
    events.register("after-call.s3.ListObjectsV2", note)
    yield messages
    events.unregister("after-call.s3.ListObjectsV2", note)


def test_only_what_is_known_of_changed_images_is_listed(
    store: ObjectStore, listed: list[str]
) -> None:
    server, cursor, policy = PlayedLabelStudio(), PollCursor(), LabellingPolicy()
    for number in range(1, 61):
        server.add(number, "cat", at=number)

    def look() -> None:
        poll(server, store, cursor, policy, pytest.fail)

    look()
    known = [info.key for info in store.list(LABEL_STUDIO_PREFIX)]
    assert len(known) == 60
    for number in range(1, 31):
        server.add(number, "dog", at=100 + number)
    listed.clear()
    look()
    of_labels = [key for key in listed if f"/{LABEL_STUDIO_PREFIX}" in key]
    assert sorted(of_labels) == [f"line/{key}" for key in known[:30]]
    listed.clear()
    look()
    assert listed == []  # nothing has changed
    cursor.read_to = None
    look()  # as if the cursor had been lost: nothing is written twice
    assert len(store.list(LABEL_STUDIO_PREFIX)) == 120

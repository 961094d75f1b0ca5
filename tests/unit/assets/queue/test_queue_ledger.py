"""The ledger of the labelling queue."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from assets.queue.ledger import (
    QueueBatch,
    QueuedImage,
    confirm,
    queued_images,
    read_batch,
    unfinished,
    write_batch,
)
from object_store.contents.damage import DamagedObject
from object_store.store import ObjectStore

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SHAS = [f"{number:064x}" for number in range(3)]


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()
    return store


def batch(*shas: str, minutes: int = 0) -> QueueBatch:
    chosen = [
        QueuedImage(
            sha256=sha, key="raw/x", reason="novelty", score=1, why=f"at {minutes}", priority=0
        )
        for sha in shas
    ]
    created = NOW + timedelta(minutes=minutes)
    return QueueBatch(
        batch="a" * 12, created_at=created, pace=0, wanted=1, open=0, images=tuple(chosen)
    )


def test_a_batch_is_unfinished_until_it_is_confirmed(store: ObjectStore) -> None:
    first, second = batch(SHAS[0], minutes=1), batch(SHAS[0], SHAS[1], minutes=2)
    for one in (second, first):
        write_batch(store, one)
    assert unfinished(store) == [first, second]
    confirm(store, first)
    confirm(store, first)
    assert unfinished(store) == [second]
    assert {sha: image.why for sha, image in queued_images(store, SHAS[:3]).items()} == {
        SHAS[0]: "at 2",
        SHAS[1]: "at 2",
    }


def test_what_is_no_batch_is_named(store: ObjectStore) -> None:
    store.put("queue/0000000000001-mine.json", b"[]")
    messages: list[str] = []
    assert unfinished(store, messages.append) == []
    assert [text.partition(" ")[0] for text in messages] == ["queue/0000000000001-mine.json"]
    store.put("queue/0000000000002-moved.json", batch(SHAS[0]).model_dump_json().encode())
    with pytest.raises(DamagedObject, match="holds the batch of"):
        read_batch(store, "queue/0000000000002-moved.json")

"""Since when annotators see which model's predictions."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from assets.queue.shown_version import SHOWN, shown_since
from object_store.store import ObjectStore


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    opened = ObjectStore(url=tmp_path.as_uri())
    opened.ensure()
    return opened


def note(store: ObjectStore, hours_ago: float, shown: str) -> datetime:
    moment = datetime.now(UTC) - timedelta(hours=hours_ago)
    milliseconds = int(moment.timestamp() * 1000)
    store.put(f"{SHOWN}{milliseconds:013d}-{shown}", b"")
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def test_it_is_noted_once(store: ObjectStore) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    first = shown_since(store, 3, "train-a")
    assert before <= first <= datetime.now(UTC)
    assert shown_since(store, 3, "train-a") == first.replace(
        microsecond=first.microsecond // 1000 * 1000
    )
    assert len(store.list(SHOWN)) == 1


def test_a_model_that_comes_back_is_shown_since_then(store: ObjectStore) -> None:
    note(store, 9, "3-train-a")
    since = note(store, 2, "3-train-b")
    assert shown_since(store, 3, "train-b") == since
    assert shown_since(store, 3, "train-a") > since


def test_another_project_has_its_own(store: ObjectStore) -> None:
    note(store, 2, "3-train-a")
    assert datetime.now(UTC) - shown_since(store, 4, "train-a") < timedelta(hours=1)


def test_what_is_no_note_counts_for_nothing(store: ObjectStore) -> None:
    since = note(store, 2, "3-train-a")
    store.put(f"{SHOWN}notes.txt", b"mine")
    assert shown_since(store, 3, "train-a") == since

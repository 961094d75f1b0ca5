"""Records are ordered by their number, not by a clock: the newest is the one written last."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from assets.dataset.versions import newest_sources, record_sources
from assets.evaluation.records import newest_evaluation, record_evaluation
from assets.release.verdicts import Verdict, newest_verdict, objections, record_verdict
from object_store.contents.numbered import add_record, newest_key, next_number, number_of
from object_store.store import ObjectStore

pytestmark = pytest.mark.unit

SUBJECT, CHECK = "trained_model/train-1", "beats_champion"
DIGEST = "a" * 64
NOW = datetime.now(UTC)
MOMENTS = {
    "in the past": NOW - timedelta(days=400),
    "tomorrow, by a clock that was ahead": NOW + timedelta(days=1),
    "after the year 2286, with a digit more": datetime(2290, 1, 1, tzinfo=UTC),
}


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    made = ObjectStore(url=(tmp_path / "store").as_uri())
    made.ensure()
    return made


def stamped(prefix: str, moment: datetime) -> str:
    """The key that version 0.1 at commit 884d3c5 gave a record written at ``moment``."""
    return f"{prefix}{int(moment.timestamp() * 1000):013d}.json"


def test_a_record_gets_the_number_after_the_newest(store: ObjectStore) -> None:
    assert newest_key(store, "log/") is None
    assert next_number(store, "log/") == 1
    keys = [add_record(store, "log/", str(number).encode()) for number in range(12)]
    assert [number_of(key) for key in keys] == list(range(1, 13))
    assert keys == sorted(keys)
    assert newest_key(store, "log/") == keys[-1]


@pytest.mark.parametrize("name", ["notes.json", "7 (copy).json", "7.json.bak", "-3.json"])
def test_what_is_no_record_counts_for_nothing(store: ObjectStore, name: str) -> None:
    add_record(store, "log/", b"1")
    store.put(f"log/{name}", b"2")
    assert newest_key(store, "log/") == "log/0000000000001.json"


def test_two_writers_at_once_get_two_numbers(store: ObjectStore) -> None:
    barrier, keys = threading.Barrier(6), []

    def write() -> None:
        barrier.wait()
        keys.extend(add_record(store, "log/", b"1") for _ in range(5))

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(number_of(key) or 0 for key in keys) == list(range(1, 31))


def test_a_taken_number_is_passed_over(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another writer takes the number between the look and the write: nothing is lost."""
    create: Callable[..., bool] = ObjectStore.create

    def slow(self: ObjectStore, key: str, data: bytes) -> bool:
        monkeypatch.undo()
        create(self, key, b"the other's")
        return create(self, key, data)

    monkeypatch.setattr(ObjectStore, "create", slow)
    assert store.get(add_record(store, "log/", b"ours")) == b"ours"
    assert store.get("log/0000000000001.json") == b"the other's"


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_failed_check_counts_whatever_the_clock_said_before(
    store: ObjectStore, moment: datetime
) -> None:
    passed = Verdict(
        check=CHECK,
        subject=SUBJECT,
        passed=True,
        severity="ERROR",
        reason="fine",
        digest=DIGEST,
        at=moment,
    )
    store.put(stamped(f"checks/{SUBJECT}/{CHECK}/", moment), passed.model_dump_json().encode())
    assert objections(store, SUBJECT, (CHECK,), DIGEST) == []
    record_verdict(store, subject=SUBJECT, check=CHECK, passed=False, reason="worse", digest=DIGEST)
    assert objections(store, SUBJECT, (CHECK,), DIGEST) == [f"{CHECK} failed: worse"]
    record_verdict(store, subject=SUBJECT, check=CHECK, passed=True, reason="mended", digest=DIGEST)
    newest = newest_verdict(store, SUBJECT, CHECK)
    assert newest is not None
    assert newest.reason == "mended"


EVALUATION = {
    "job": "",
    "model_version": "train-1",
    "digest": DIGEST,
    "model_key": "models/train-1/output/model.tar.gz",
    "dataset_version": "d1",
    "code_version": "1",
    "task": "single_label",
    "labels": ["a", "b"],
    "metrics": {},
    "evaluation_run": "",
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_the_newest_evaluation_is_the_last_one_written(
    store: ObjectStore, moment: datetime
) -> None:
    new = EVALUATION | {"job": "eval-new"}
    old = EVALUATION | {"job": "eval-old", "at": moment.isoformat()}
    store.put(stamped("models/train-1/evaluations/", moment), json.dumps(old).encode())
    record_evaluation(store, "train-1", new)
    newest = newest_evaluation(store, "train-1")
    assert newest is not None
    assert newest["job"] == "eval-new"


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_the_newest_sources_of_a_data_set_are_the_last_ones_written(
    store: ObjectStore, moment: datetime
) -> None:
    store.put(stamped("datasets/d1/sources/", moment), b'{"raw_images": "old", "annotations": "a"}')
    record_sources(store, "d1", {"raw_images": "new", "annotations": "a"})
    assert newest_sources(store, "d1") == {"raw_images": "new", "annotations": "a"}

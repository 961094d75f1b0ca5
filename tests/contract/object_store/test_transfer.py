"""Many objects at once, in a folder and in a bucket."""

import dataclasses
import threading
from pathlib import Path

import pytest

from object_store import transfer
from object_store.errors import StoreError
from object_store.store import ObjectStore
from tests.testbed.bed import TestBed

pytestmark = pytest.mark.contract


@pytest.fixture(params=["local", "s3", "kms"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        store = ObjectStore(url=(tmp_path / "store").as_uri())
    else:
        bucket = request.getfixturevalue("aws_environment").bucket()
        key = "arn:aws:kms:us-east-1:123456789012:key/0" if request.param == "kms" else ""
        store = ObjectStore(url=f"s3://{bucket}", kms_key_arn=key)
    store.ensure()
    return store


def test_objects_are_read_in_order_and_missing_ones_are_none(store: ObjectStore) -> None:
    for number in range(5):
        store.put(f"a/{number}", b"%d" % number)
    store.delete("a/2")
    keys = [f"a/{number}" for number in reversed(range(5))]
    assert dict(transfer.get_many(store, keys)) == {
        key: None if key == "a/2" else key[2:].encode() for key in keys
    }
    assert [key for key, _ in transfer.get_many(store, keys)] == keys
    assert transfer.head_many(store, keys).to_pylist() == store.list_table("a").to_pylist()
    assert transfer.head_many(store, ["no/such"]).num_rows == 0


def test_bytes_are_known_again_without_reading_them(aws_environment: TestBed) -> None:
    store = ObjectStore(url=f"s3://{aws_environment.bucket()}")
    store.put("a", b"1234")
    info = store.head("a")
    before = len(aws_environment.calls())
    assert transfer.holds(store, "a", b"1234", info)
    assert not transfer.holds(store, "a", b"123", info)
    assert len(aws_environment.calls()) == before


def test_encrypted_bytes_are_known_again_by_their_stated_sum(aws_environment: TestBed) -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/0"
    store = ObjectStore(url=f"s3://{aws_environment.bucket()}", kms_key_arn=key)
    store.put("a", b"1234")
    info = dataclasses.replace(store.head("a"), etag='"not-an-md5"')  # as KMS makes them
    before = len(aws_environment.calls("GetObject"))
    assert transfer.holds(store, "a", b"1234", info)
    assert not transfer.holds(store, "a", b"1235", info)
    assert len(aws_environment.calls("GetObject")) == before
    bucket = store.url.removeprefix("s3://")
    aws_environment.client("s3").put_object(Bucket=bucket, Key="theirs", Body=b"1234")
    assert transfer.holds(store, "theirs", b"1234", dataclasses.replace(info, key="theirs"))


def test_memory_and_threads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "HELD_BYTES", 10)
    running, most, lock = 0, 0, threading.Lock()
    started: list[int] = []

    def work(item: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            started.append(item)
        threading.Event().wait(0.002)
        with lock:
            running -= 1
        return item

    results = transfer.at_once(work, range(100), threads=4, weigh=lambda item: 3)
    assert next(results) == 0
    assert max(started) <= 4
    assert list(results) == list(range(1, 100))
    assert most <= 4


def test_the_first_failure_ends_it_and_what_is_under_way_is_finished() -> None:
    started: list[int] = []
    done: list[int] = []

    def work(item: int) -> int:
        started.append(item)
        if item == 5:
            raise StoreError("no such bucket")
        threading.Event().wait(0.002)
        done.append(item)
        return item

    with pytest.raises(StoreError, match="no such bucket"):
        list(transfer.at_once(work, range(1000), threads=2))
    assert sorted(done) == sorted(set(started) - {5})
    assert len(started) < 100

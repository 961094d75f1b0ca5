"""Many objects at once: to and from a folder and a bucket."""

import dataclasses
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resources import transfer
from resources.object_store import ObjectStore
from resources.store_errors import KeyExists, StoreError
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """60 small files, an empty one, and a big one, in folders."""
    for number in range(60):
        path = tmp_path / "in" / f"class {number % 3}" / f"ü+{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number * 50)
    (tmp_path / "in" / "empty").write_bytes(b"")
    (tmp_path / "in" / "big").write_bytes(bytes(17 << 20))
    return tmp_path / "in"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_folder_goes_up_and_comes_back(store: ObjectStore, folder: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    up = transfer.upload_folder(store, folder, "raw/set", on_progress=lambda *at: told.append(at))
    assert (up.new, up.known, up.size) == (62, 0, sum(map(len, contents(folder).values())))
    assert told == [(done, 62) for done in range(1, 63)]
    down = transfer.download_prefix(store, "raw/set", tmp_path / "out")
    assert (down.new, down.size) == (62, up.size)
    assert contents(tmp_path / "out") == contents(folder)


def test_no_object_takes_more_memory_than_is_reckoned_with(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "big").write_bytes(bytes(40 << 20))
    store.create("x/big", tmp_path / "big")
    weights: list[int] = []
    at_once = transfer.at_once

    def weighed(*args: Any, weigh: Callable[[Any], int], **options: Any) -> Any:
        return at_once(
            *args, weigh=lambda item: weights.append(weigh(item)) or weights[-1], **options
        )

    monkeypatch.setattr(transfer, "at_once", weighed)
    largest = max(len(chunk) for chunk in store.place.chunks("x/big"))
    tracemalloc.start()
    transfer.download_prefix(store, "x", tmp_path / "out")
    copied = tracemalloc.get_traced_memory()[1]  # what obstore has of a bucket is not Python's
    tracemalloc.stop()
    assert (tmp_path / "out" / "big").read_bytes() == bytes(40 << 20)
    assert largest <= weights[0] <= 16 << 20
    assert copied < (4 if store.is_bucket else 12) << 20


def test_doing_it_again_does_what_is_left(store: ObjectStore, folder: Path, tmp_path: Path) -> None:
    transfer.upload_folder(store, folder / "class 1", "raw/set/class 1")
    assert transfer.upload_folder(store, folder, "raw/set").known == 20
    assert transfer.upload_folder(store, folder, "raw/set").new == 0
    transfer.download_prefix(store, "raw/set", tmp_path / "out")
    (tmp_path / "out" / "class 0" / "ü+0.jpg").unlink()
    (tmp_path / "out" / "class 1" / "ü+1.jpg").write_bytes(b"stale")
    transfer.download_prefix(store, "raw/set", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(folder)


def test_nothing_is_rewritten(store: ObjectStore, folder: Path) -> None:
    store.put("raw/set/class 0/ü+0.jpg", b"other")
    with pytest.raises(KeyExists, match="class 0/ü\\+0.jpg of .* holds something else"):
        transfer.upload_folder(store, folder, "raw/set")
    assert store.get("raw/set/class 0/ü+0.jpg") == b"other"


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


def test_a_failure_stops_the_rest(aws_environment: TestBed, folder: Path) -> None:
    store = ObjectStore(url=f"s3://{aws_environment.bucket()}")
    with pytest.raises(StoreError, match="no such bucket"):
        transfer.upload_folder(ObjectStore(url="s3://not-there-at-all"), folder, "raw")
    store.ensure()
    aws_environment.fault("PutObject", "throttle", times=5)
    assert transfer.upload_folder(store, folder / "class 0", "raw").new == 20


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

"""The store in a bucket: what only S3 can do wrong, and who it is asked as."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from object_store import s3_access
from object_store.errors import StoreError, StoreMissing
from object_store.rows import MARKER
from object_store.store import ObjectStore
from tests.testbed.bed import TestBed
from training.container.pipes import StoreMessageChannel

pytestmark = pytest.mark.contract

KMS_KEY = "arn:aws:kms:us-east-1:123456789012:key/0123"


@pytest.fixture
def name(aws_environment: TestBed) -> str:
    return aws_environment.bucket()


@pytest.fixture
def store(name: str) -> ObjectStore:
    store = ObjectStore(url=f"s3://{name}/line")
    store.ensure()
    return store


@pytest.fixture
def s3(aws_environment: TestBed) -> Any:
    return aws_environment.client("s3")


# --- keys and listings ----------------------------------------------------------------------


def test_stores_share_a_bucket_by_prefix(name: str, s3: Any) -> None:
    stores = [ObjectStore(url=f"s3://{name}{prefix}") for prefix in ("", "/line", "/line-2/deep")]
    for number, store in enumerate(stores):
        store.ensure()
        store.put("a/b", b"%d" % number)
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=name)["Contents"]]
    places = ("", "line/", "line-2/deep/")
    assert sorted(keys) == sorted(f"{place}{key}" for place in places for key in (MARKER, "a/b"))
    assert [store.get("a/b") for store in stores] == [b"0", b"1", b"2"]
    assert [info.key for info in stores[1].list("")] == [MARKER, "a/b"]
    assert stores[1].uri("a/b") == f"s3://{name}/line/a/b"
    assert stores[1].local_path("a/b") is None


def test_one_impossible_key_does_not_hide_the_others(store: ObjectStore, s3: Any) -> None:
    name = store.url.split("/")[2]
    good = ["raw/%41 b+c.jpg", "raw/d?e=f&g.jpg", "raw/ü #1", "raw/.hidden/a..b", "raw/日本.jpg"]
    bad = ["raw/a//b.jpg", "raw/tab\there.jpg", "raw/./c.jpg", "raw/../d.jpg", "raw/full/"]
    for key in [*good, *bad]:
        s3.put_object(Bucket=name, Key=f"line/{key}", Body=key.encode())
    for marker in ("raw/", "raw/folder/"):  # as the console makes them
        s3.put_object(Bucket=name, Key=f"line/{marker}", Body=b"")
    listed = store.list("raw")
    assert [info.key for info in listed] == sorted(good)
    for info in listed:
        assert store.get(info.key) == info.key.encode()
        assert store.head(info.key).etag == info.etag
    reported = dict(store.unusable("raw"))
    assert set(reported) == {*bad[:1], "raw/tab\\there.jpg", *bad[2:]}
    assert all("rename" in reason for reason in reported.values())


def test_more_than_a_page_is_listed_in_order(store: ObjectStore, aws_environment: TestBed) -> None:
    keys = [f"raw/{number:05d}" for number in range(1050)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: store.put(key, b""), keys))
    assert [info.key for info in store.list("raw")] == keys
    assert [info.key for info in store.list("raw", start_after=keys[1000])] == keys[1001:]
    before = len(aws_environment.calls("ListObjectsV2"))
    rows, done = store.window("raw", keys[9], 900)
    assert (rows["key"].to_pylist(), done) == (keys[10:910], False)
    assert len(aws_environment.calls("ListObjectsV2")) == before + 1
    store.delete_all(keys)
    assert store.list("raw") == []


def test_two_writes_in_one_second_are_distinguished(store: ObjectStore, s3: Any) -> None:
    place = {"Bucket": store.url.split("/")[2], "Key": "line/raw/a.jpg"}
    s3.put_object(**place, Body=b"1")
    first = store.head("raw/a.jpg")
    s3.put_object(**place, Body=b"2")
    second = store.head("raw/a.jpg")
    assert first.etag != second.etag
    assert store.list("raw") == [second]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tries of every request."""
    monkeypatch.setattr(s3_access, "MAX_ATTEMPTS", 2)


# --- writes ---------------------------------------------------------------------------------


def test_encryption_is_asked_for_with_every_new_object(name: str, s3: Any, tmp_path: Path) -> None:
    store = ObjectStore(url=f"s3://{name}", kms_key_arn=KMS_KEY)
    big = tmp_path / "big"
    big.write_bytes(bytes(17 << 20))
    store.put("small", b"1")
    store.put("big", big)
    store.copy_object("small", "copy")
    for key in ("small", "big", "copy"):
        head = s3.head_object(Bucket=name, Key=key)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", KMS_KEY)
    plain = ObjectStore(url=f"s3://{name}")
    plain.put("plain", b"1")
    assert s3.head_object(Bucket=name, Key="plain").get("SSEKMSKeyId") is None


@pytest.mark.parametrize("operation", ["PutObject", "CompleteMultipartUpload", "CopyObject"])
def test_a_write_whose_answer_was_lost_is_known_as_ours(
    store: ObjectStore, aws_environment: TestBed, operation: str
) -> None:
    """Its retry is told that the key is taken: by itself."""
    store.put("source", b"1")
    aws_environment.fault(operation, "lost")
    if operation == "CopyObject":
        assert store.copy_object("source", "a/b")
        assert not store.copy_object("source", "a/b")
        return
    data = bytes(17 << 20) if operation == "CompleteMultipartUpload" else b"1"
    assert store.create("a/b", data)
    assert not store.create("a/b", data)


CONFLICT = {
    "status": 409,
    "code": "ConditionalRequestConflict",
    "message": "The conditional request cannot succeed due to a conflicting operation.",
}
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html"""


@pytest.mark.parametrize("operation", ["PutObject", "CompleteMultipartUpload", "CopyObject"])
def test_a_conflict_of_two_writers_is_not_yet_a_taken_key(
    store: ObjectStore, aws_environment: TestBed, operation: str
) -> None:
    store.put("source", b"1")
    aws_environment.fault(operation, "refused", times=2, **CONFLICT)
    if operation == "CopyObject":
        assert store.copy_object("source", "a/b")
    else:
        assert store.create("a/b", bytes(17 << 20) if operation != "PutObject" else b"1")
    assert [fault["taken"] for fault in aws_environment.faults()] == [2]
    assert store.exists("a/b")


def test_a_job_speaks_to_a_bucket_without_boto3(
    store: ObjectStore, aws_environment: TestBed
) -> None:
    code = (
        "import sys\n"
        "from object_store.store import ObjectStore\n"
        "from training.container.pipes import StoreMessageChannel\n"
        f"channel = StoreMessageChannel(ObjectStore(url={store.url!r}), 'pipes/job/messages', 0)\n"
        "channel.write_message({'method': 'opened', 'params': {}})\n"
        "channel.close()\n"
        "print('boto3' in sys.modules)\n"
    )
    environ = {**os.environ, **aws_environment.environ}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ
    )
    assert ran.stdout == "False\n"
    assert len(store.list("pipes/job/messages")) == 1


def test_a_jobs_message_outlives_a_conflict(
    store: ObjectStore, aws_environment: TestBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 may say 409 to a retry while the first try is under way."""
    for name, value in aws_environment.environ.items():
        monkeypatch.setenv(name, value)
    channel = StoreMessageChannel(ObjectStore(url=store.url), "pipes/job/messages", 0)
    aws_environment.fault("PutObject", "refused", **CONFLICT)
    channel.write_message({"__dagster_pipes_version": "0.1", "method": "opened", "params": {}})
    channel.close()
    assert [fault["taken"] for fault in aws_environment.faults()] == [1]
    assert len(store.list("pipes/job/messages")) == 1


def test_of_racing_big_writes_one_wins(
    store: ObjectStore, aws_environment: TestBed, s3: Any
) -> None:
    aws_environment.fault("CompleteMultipartUpload", "slow", seconds=1.5)
    datas = [b"%d" % number * (17 << 20) for number in range(2)]
    with ThreadPoolExecutor(2) as pool:
        won = list(pool.map(lambda data: store.create("a/big", data), datas))
    assert sorted(won) == [False, True]
    assert store.get("a/big") == datas[won.index(True)]
    assert not s3.list_multipart_uploads(Bucket=store.url.split("/")[2]).get("Uploads")


@pytest.mark.usefixtures("impatient")
def test_a_failed_big_write_leaves_nothing(
    store: ObjectStore, aws_environment: TestBed, s3: Any
) -> None:
    aws_environment.fault("UploadPart", "error500", times=-1)
    with pytest.raises(StoreError, match="a/big"):
        store.create("a/big", bytes(17 << 20))
    aws_environment.clear_faults()
    assert not store.exists("a/big")
    assert not s3.list_multipart_uploads(Bucket=store.url.split("/")[2]).get("Uploads")


def test_a_big_file_goes_up_and_down_in_little_memory(store: ObjectStore, tmp_path: Path) -> None:
    size = 160 << 20
    with (tmp_path / "big").open("wb") as file:
        file.truncate(size)
    code = f"""
        import resource
        from pathlib import Path
        from object_store.store import ObjectStore
        store = ObjectStore(url={store.url!r})
        store.put("warm", bytes(17 << 20))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        store.put("big", Path({str(tmp_path / "big")!r}))
        store.download("big", Path({str(tmp_path / "back")!r}))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 120_000  # kB
    assert (tmp_path / "back").stat().st_size == size


# --- faults ---------------------------------------------------------------------------------

ACTS: dict[str, tuple[str, Callable[[ObjectStore], Any]]] = {
    "get": ("GetObject", lambda store: store.get("a")),
    "head": ("HeadObject", lambda store: store.head("a")),
    "list": ("ListObjectsV2", lambda store: store.list("")),
    "put": ("PutObject", lambda store: store.put("new", b"1")),
    "delete": ("s3", lambda store: store.delete("a")),
    "copy": ("CopyObject", lambda store: store.copy_object("a", "b")),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("kind", ["throttle", "error500", "lost"])
def test_a_passing_fault_is_got_over(
    store: ObjectStore, aws_environment: TestBed, act: str, kind: str
) -> None:
    store.put("a", b"1")
    operation, do = ACTS[act]
    aws_environment.fault(operation, kind, **({"when": "before"} if kind == "lost" else {}))
    do(store)
    assert [fault["taken"] for fault in aws_environment.faults()] == [1]


def test_a_bucket_that_is_no_store_is_not_an_empty_one(name: str) -> None:
    with pytest.raises(StoreMissing, match="aws.prefix"):
        ObjectStore(url=f"s3://{name}/mistyped").list("raw")
    with pytest.raises(StoreMissing, match="no such bucket"):
        ObjectStore(url="s3://no-such-bucket-at-all").require()

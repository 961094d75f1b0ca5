"""The data set's version is its content; shards give back every image."""

import hashlib
import pickle
import random
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from training.data.manifest import (
    MANIFEST_SCHEMA,
    ManifestError,
    ShardReader,
    build_shards,
    dataset_version,
    read_manifest,
    write_manifest,
)

pytestmark = pytest.mark.unit


def row(name: str, labels: list[str], split: str, **other: object) -> dict[str, object]:
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    place = {"shard": "shards/x.tar", "offset": 512, "length": 3, "raw_key": f"raw/{name}"}
    return {
        "sha256": sha256, "labels": labels, "split": split, "group_id": sha256,
        "width": 4, "height": 3, **place, **other,
    }  # fmt: skip


def table(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=MANIFEST_SCHEMA)


def test_a_version_follows_content_and_nothing_else():
    rows = [row("a", ["x", "y"], "train"), row("b", ["x"], "test")]
    version = dataset_version(table(*rows))
    assert len(version) == 16
    same = [row("b", ["x"], "test", offset=9, raw_key="raw/elsewhere"),
            row("a", ["y", "x"], "train")]  # fmt: skip
    assert dataset_version(table(*same)) == version
    for changed in (
        row("b", ["x"], "val"),
        row("b", ["y"], "test"),
        row("b", ["x", "y"], "test"),
        row("c", ["x"], "test"),
    ):
        assert dataset_version(table(rows[0], changed)) != version
    assert dataset_version(table(row("a", ["x\ty"], "train"))) != dataset_version(
        table(row("a", ["x", "y"], "train"))
    )


def test_shards_are_deterministic_and_every_image_is_read_back(tmp_path):
    rng = random.Random(0)
    files = [rng.randbytes(size) for size in (0, 1, 511, 512, 513, 5000, 100, 99)]
    items = [(hashlib.sha256(data).hexdigest(), data) for data in files]
    shards = list(build_shards(items, max_bytes=1024))
    assert [shard.name for shard in build_shards(items, max_bytes=1024)] == [
        shard.name for shard in shards
    ]
    assert [len(shard.members) for shard in shards] == [4, 1, 1, 2]  # 5,000 bytes: one of its own
    (tmp_path / "shards").mkdir()
    for shard in shards:
        assert hashlib.sha256(shard.data).hexdigest() in shard.name
        (tmp_path / shard.name).write_bytes(shard.data)
    places = [(shard.name, member) for shard in shards for member in shard.members]
    assert [member.sha256 for _, member in places] == [sha256 for sha256, _ in items]
    reader = pickle.loads(pickle.dumps(ShardReader(tmp_path)))
    with reader, ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            read = pool.map(lambda at: reader.read(at[0], at[1].offset, at[1].length), places)
            assert list(read) == files


def test_a_missing_or_short_shard_is_named(tmp_path):
    (tmp_path / "short.tar").write_bytes(b"x" * 100)
    with ShardReader(tmp_path) as reader:
        with pytest.raises(ManifestError, match=r"missing\.tar"):
            reader.read("missing.tar", 0, 1)
        with pytest.raises(ManifestError, match=r"short\.tar ends at byte 100"):
            reader.read("short.tar", 50, 51)


def test_a_manifest_is_read_back_and_a_broken_one_is_named(tmp_path):
    path = tmp_path / "manifest.parquet"
    rows = sorted([row(name, ["x"], "train") for name in "abc"], key=lambda each: each["sha256"])
    path.write_bytes(write_manifest(table(*reversed(rows))))
    assert read_manifest(path).to_pylist() == rows
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ManifestError, match=r"manifest\.parquet"):
        read_manifest(path)
    with pytest.raises(ManifestError, match=r"nowhere\.parquet"):
        read_manifest(tmp_path / "nowhere.parquet")

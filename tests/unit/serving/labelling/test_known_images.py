"""Which key an image has already, as the labelling backend reads it from the image table."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest

from assets.ingestion.image_index import images_table
from object_store.store import ObjectStore
from serving.labelling.images import known_key
from tests.stores import make_store

pytestmark = pytest.mark.unit


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def index(store: ObjectStore, key: str, data: bytes) -> None:
    """What the asset raw_images knows of an image."""
    table = images_table(store)
    row = {"key": key, "sha256": sha(data), "status": "ok"}
    table.append(pa.Table.from_pylist([row], schema=table.schema))


def test_it_is_found_by_its_bytes_before_and_after_a_compaction(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    assert known_key(store, sha(b"a")) is None, "there is no table yet"
    for data in (b"a", b"b"):
        store.put(f"raw/{data.decode()}.png", data)
        index(store, f"raw/{data.decode()}.png", data)
    assert known_key(store, sha(b"b")) == "raw/b.png"
    images_table(store).compact(min_parts=2)
    assert known_key(store, sha(b"b")) == "raw/b.png"
    assert known_key(store, sha(b"c")) is None


def test_a_key_with_other_bytes_by_now_does_not_count(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    for key in ("raw/gone.png", "raw/other.png", "raw/there.png"):
        index(store, key, b"a")
    store.put("raw/other.png", b"other")
    store.put("raw/there.png", b"a")
    assert known_key(store, sha(b"a")) == "raw/there.png"


def test_a_damaged_part_hides_no_image_of_the_others(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    for data in (b"a", b"b"):
        store.put(f"raw/{data.decode()}.png", data)
        index(store, f"raw/{data.decode()}.png", data)
    [first, _] = store.list("tables/images")
    whole = bytearray(store.get(first.key))
    whole[len(whole) // 2] ^= 1
    (tmp_path / first.key).write_bytes(whole)
    assert known_key(store, sha(b"a")) is None
    assert known_key(store, sha(b"b")) == "raw/b.png"

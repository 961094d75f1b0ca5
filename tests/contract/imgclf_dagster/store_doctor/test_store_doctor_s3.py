"""The store's doctor in a bucket: what is damaged is found, and built again."""

import hashlib

import pyarrow as pa
import pytest

from assets.dataset.shards import shards_table
from assets.dataset.versions import DATASETS
from assets.ingestion.image_index import IMAGES_SCHEMA, images_table
from imgclf_dagster.profiles.chosen import build_line
from imgclf_dagster.settings.root import Settings
from imgclf_dagster.store_doctor.examine import examine_store
from imgclf_dagster.store_doctor.repair import Bench, repair_all
from object_store.store import ObjectStore
from tests.testbed.bed import TestBed
from training.data.manifest import build_shards

pytestmark = pytest.mark.contract


@pytest.fixture
def store(aws_environment: TestBed) -> ObjectStore:
    store = ObjectStore(url=f"s3://{aws_environment.bucket()}/line")
    store.ensure()
    return store


def test_a_bucket_is_examined_and_repaired(store: ObjectStore) -> None:
    images = {f"raw/{number}.png": b"image %d" % number for number in range(4)}
    shas = {key: hashlib.sha256(data).hexdigest() for key, data in images.items()}
    for key, data in images.items():
        store.put(key, data)
    rows = [
        {"key": info.key, "etag": info.etag, "sha256": shas[info.key], "status": "ok"}
        for info in store.list("raw")
    ]
    images_table(store).append(
        pa.Table.from_pylist(rows, schema=IMAGES_SCHEMA).select(IMAGES_SCHEMA.names)
    )
    (shard,) = build_shards((shas[key], data) for key, data in images.items())
    store.put(f"{DATASETS}{shard.name}", shard.data[:700])
    places = [
        {"sha256": m.sha256, "shard": shard.name, "offset": m.offset, "length": m.length}
        for m in shard.members
    ]
    shards_table(store).append(pa.Table.from_pylist(places))
    store.put("checks/trained_model/a/b/0000000000001.json", b"")
    found = examine_store(store)
    keys = ["checks/trained_model/a/b/0000000000001.json", f"{DATASETS}{shard.name}"]
    assert [trouble.key for trouble in found] == keys
    assert all(trouble.remedy for trouble in found)
    done = repair_all(Bench(store, build_line(Settings())), found)
    assert list(done) == keys[1:]
    assert store.get(keys[1]) == shard.data
    assert store.get(f"damaged/{keys[1]}") == shard.data[:700]
    assert [trouble.key for trouble in examine_store(store)] == keys[:1]

"""What ``ingest`` found is handed on, and never describes other bytes than it saw."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from assets.ingestion.image_index import (
    IMAGES_SCHEMA,
    RAW,
    diff_listing,
    images_table,
    index_objects,
)
from assets.ingestion.inspections import (
    INSPECTIONS,
    INSPECTIONS_SCHEMA,
    Inspection,
    read_inspections,
    write_inspections,
)
from assets.policies import IngestionPolicy
from imgclf_dagster.ingest.ingest import ingest
from labelling.labels.known_classes import KnownClasses
from labelling.labels.schema import LabelSchema
from labelling.sources.read import read_source
from object_store.contents.sealed import sealed_parquet
from object_store.store import ObjectStore
from training.images.images import inspect

pytestmark = pytest.mark.unit

FACTS = ("sha256", "phash", "width", "height", "mode", "format", "status", "reason")


def picture(number: int, size: int = 40) -> bytes:
    sink = io.BytesIO()
    image = Image.radial_gradient("L").rotate(number * 7).resize((size, size + number))
    image.convert("RGB").save(sink, "PNG" if number % 2 else "JPEG")
    return sink.getvalue()


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=(tmp_path / "store").as_uri())
    store.ensure()
    return store


def ingested(store: ObjectStore, at: Path, count: int = 6) -> dict[str, bytes]:
    """Ingest ``count`` pictures; their bytes by key."""
    source = at / "photos"
    source.mkdir()
    data = {f"{number}.img": picture(number) for number in range(count)}
    for name, content in data.items():
        (source / name).with_suffix(".png" if int(name[0]) % 2 else ".jpg").write_bytes(content)
    ingest(
        read_source(source, known=KnownClasses(frozenset())),
        store=store,
        policy=IngestionPolicy(),
        schema=LabelSchema(),
    )
    return {info.key: store.get(info.key) for info in store.list(RAW)}


def indexed(
    store: ObjectStore, *, inspected: bool = True, name: str = "", **policy: int
) -> tuple[dict[str, Any], set[str]]:
    """The facts in the image table by key, after it took in what is new; and the keys it read."""
    read: set[str] = set()
    table = images_table(store)
    real = ObjectStore.get

    def get(self: ObjectStore, key: str) -> bytes:
        if key.startswith(RAW):
            read.add(key)
        return real(self, key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectStore, "get", get)
        rows = index_objects(
            store,
            table,
            diff_listing(store.list_table(RAW), table.read()),
            max_pixels=policy.get("max_pixels", 10**6),
            max_bytes=policy.get("max_bytes", 10**6),
            inspections=read_inspections(store) if inspected else None,
        )
    assert rows.schema == IMAGES_SCHEMA
    return {row["key"]: {f: row[f] for f in FACTS} for row in rows.to_pylist()}, read


def by_reading(data: dict[str, bytes]) -> dict[str, Any]:
    """The facts that the table gets by reading the images themselves."""
    facts = {key: inspect(content) for key, content in data.items()}
    shown = FACTS[:6]
    return {
        key: {**{f: getattr(one, f) for f in shown}, "status": "ok", "reason": ""}
        for key, one in facts.items()
    }


def test_what_was_ingested_is_indexed_without_reading_it(store: ObjectStore, tmp_path: Path):
    data = ingested(store, tmp_path)
    rows, read = indexed(store)
    assert rows == by_reading(data)
    assert read == set()


def test_what_came_by_another_way_is_read(store: ObjectStore, tmp_path: Path):
    data = ingested(store, tmp_path)
    copied = store.local_path("raw/by hand.png")
    assert copied is not None
    copied.write_bytes(picture(20))
    (copied.parent / "broken.png").write_bytes(b"no image")
    rows, read = indexed(store)
    assert read == {"raw/by hand.png", "raw/broken.png"}
    assert rows.pop("raw/broken.png")["status"] == "rejected"
    assert rows == by_reading({**data, "raw/by hand.png": picture(20)})


@pytest.mark.parametrize("in_place", [True, False])
def test_an_image_that_was_rewritten_is_read(store: ObjectStore, tmp_path: Path, in_place: bool):
    data = ingested(store, tmp_path)
    key = min(data)
    path = store.local_path(key)
    assert path is not None
    other = bytearray(data[key])
    other[-20] ^= 1  # as long as before
    if in_place:
        path.write_bytes(other)
    else:
        path.unlink()
        path.write_bytes(picture(30))
    data[key] = path.read_bytes()
    rows, read = indexed(store)
    assert read == {key}
    if in_place:  # a bit is flipped: whatever that is, it is not what was ingested
        assert rows.pop(key)["sha256"] != inspect(picture(0)).sha256
        del data[key]
    assert rows == by_reading(data)


def test_what_the_limits_reject_now_is_rejected_as_ever(store: ObjectStore, tmp_path: Path):
    data = ingested(store, tmp_path)
    rows, read = indexed(store, max_pixels=40 * 42)
    assert len(read) == 3
    rejected = {key for key, row in rows.items() if row["status"] == "rejected"}
    assert rejected == read
    assert all("max_pixels" in rows[key]["reason"] for key in read)
    store.delete_all([info.key for info in store.list("tables/")])
    rows, read = indexed(store, max_bytes=min(map(len, data.values())))
    assert read == set()
    assert sorted(row["status"] for row in rows.values()).count("ok") == 1


def changed(store: ObjectStore, change: Any) -> None:
    """Replace the inspections in the store by ``change`` of their bytes, or of their key."""
    (info,) = store.list(INSPECTIONS)
    data = store.get(info.key)
    store.delete(info.key)
    key, data = change(info.key, data)
    store.create(key, data)


def other_columns(key: str, data: bytes) -> tuple[str, bytes]:
    return key, sealed_parquet(pa.table({"key": ["raw/photos/0.jpg"]}))


def later_version(key: str, data: bytes) -> tuple[str, bytes]:
    return key.replace("/v1/", "/v2/"), data


def flipped(key: str, data: bytes) -> tuple[str, bytes]:
    return key, data[:200] + bytes([data[200] ^ 1]) + data[201:]


def without(column: str, value: Any) -> Any:
    def change(key: str, data: bytes) -> tuple[str, bytes]:
        rows = pq.read_table(io.BytesIO(data)).cast(INSPECTIONS_SCHEMA)
        place = rows.schema.get_field_index(column)
        filled = pa.array([value] * rows.num_rows, rows.schema.field(column).type)
        return key, sealed_parquet(rows.set_column(place, column, filled))

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda key, data: (key, b""),
        lambda key, data: (key, data[:-9]),
        flipped,
        other_columns,
        later_version,
        without("sha256", "not a hash"),
        without("sha256", None),
        without("phash", None),
        without("width", 0),
        without("etag", '"1-2-3"'),
        without("size", 7),
    ],
)
def test_what_is_broken_or_does_not_fit_is_passed_over(
    store: ObjectStore, tmp_path: Path, change: Any
):
    data = ingested(store, tmp_path)
    changed(store, change)
    rows, read = indexed(store)
    assert rows == by_reading(data)
    assert read == set(data)


def test_two_that_contradict_one_another_are_passed_over(store: ObjectStore, tmp_path: Path):
    data = ingested(store, tmp_path)
    key = min(data)
    info = store.head(key)
    other = Inspection(key, info.etag, info.size, inspect(picture(9)))
    write_inspections(store, [other])
    rows, read = indexed(store)
    assert read == {key}
    assert rows == by_reading(data)


def test_what_has_no_etag_is_not_handed_on(store: ObjectStore):
    write_inspections(store, [])
    write_inspections(store, [Inspection("raw/a.png", "", 9, inspect(picture(1)))])
    assert store.list(INSPECTIONS) == []


def test_an_inspection_is_settled_once_the_table_has_all_its_images(store: ObjectStore):
    facts = inspect(picture(1))
    for names in (("a", "b"), ("c",)):
        write_inspections(store, [Inspection(name, '"1"', 9, facts) for name in names])
    found = read_inspections(store)
    (settled,) = found.settled(pa.chunked_array([["a", "c"]]))
    of_c = found.rows["key"].to_pylist().index("c")
    assert settled == found.keys[found.origins[of_c]]
    assert found.settled(pa.chunked_array([["a", "b", "c"]])) == list(found.keys)
    assert found.settled(pa.chunked_array([pa.array([], pa.string())])) == []

"""A store with the tables of many images, written by the product's own table writer."""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from object_store.contents.tables import Table
    from object_store.store import ObjectStore

START = datetime(2026, 1, 1, tzinfo=UTC)
CLASSES = 10
INGESTED, BY_ONE, BY_TWO = 0.90, 0.04, 0.01
"""Shares of the images with a label of an ingest, of one annotator, and of two annotators, of whom
every fifth pair disagrees. The rest have none. Every fiftieth image is a near-duplicate."""
NEW = 100
PART = 100_000
SHARD_IMAGES = 10_000


@dataclass(frozen=True)
class Pictures:
    """The images of the store; each array has one entry per image.

    Attributes:
        sha256: their digests.
        key: their keys under ``raw/``.
        label: int64 [n], positions in ``names``.
        names: the classes.
    """

    sha256: "pa.Array"
    key: "pa.Array"
    label: np.ndarray
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.sha256)


def make_pictures(count: int) -> Pictures:
    """``count`` images with random digests; the last ``NEW`` are real ones."""
    import pyarrow as pa

    rng = np.random.default_rng(13)
    real = [digest for digest, _ in real_images()]
    shas = strings(rng.bytes(32 * (count - len(real))).hex().encode(), 64)
    label = rng.integers(0, CLASSES, count)
    keys = [f"raw/class-{one}/photo-{number:08d}.jpg" for number, one in enumerate(label.tolist())]
    return Pictures(
        sha256=pa.concat_arrays([shas, pa.array(real, pa.string())]),
        key=pa.array(keys, pa.string()),
        label=label,
        names=[f"class-{number}" for number in range(CLASSES)],
    )


def strings(data: bytes, length: int) -> "pa.Array":
    """Cut ``data`` into strings of ``length`` bytes."""
    import pyarrow as pa

    ends = pa.py_buffer(np.arange(0, len(data) + 1, length, dtype=np.int32))
    return pa.StringArray.from_buffers(len(data) // length, ends, pa.py_buffer(data))


def real_images() -> list[tuple[str, bytes]]:
    """``NEW`` small JPEG files with their sha256: those that are labelled last, and packed."""
    import hashlib

    from PIL import Image

    rng = np.random.default_rng(31)
    found = []
    for _ in range(NEW):
        sink = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(sink, "JPEG")
        found.append((hashlib.sha256(sink.getvalue()).hexdigest(), sink.getvalue()))
    return found


def make_store(root: str, count: int) -> None:
    """Write the store: images, labels, groups, shards; the shards are sparse files. The last
    ``NEW`` images have no labels yet (:func:`say_new_labels`)."""
    store = opened(root)
    store.ensure()
    pictures = make_pictures(count)
    place = label_places(count)
    _write_images(store, pictures)
    _write_labels(store, pictures, place)
    _write_groups(store, pictures, place)
    _write_shards(store, pictures, place)
    for (_, data), key in zip(real_images(), pictures.key[-NEW:].to_pylist(), strict=True):
        store.put(key, data)


def opened(root: str) -> "ObjectStore":
    """Open the store in the folder ``root``."""
    from pathlib import Path

    from object_store.store import ObjectStore

    return ObjectStore(url=Path(root).as_uri())


def label_places(count: int) -> np.ndarray:
    """A number from 0 to 1 per image, float64 [count], which determines who has labelled it; 1 for
    the last ``NEW``: nobody."""
    place = np.random.default_rng(7).random(count)
    place[-NEW:] = 1.0
    return place


def write_rows(table: "Table", rows: "pa.Table") -> None:
    """Append ``rows`` in parts, then compact, as the assets do."""
    for start in range(0, rows.num_rows, PART):
        table.append(rows.slice(start, PART))
    table.compact(min_parts=2)


def filled(schema: "pa.Schema", columns: dict[str, Any], count: int) -> "pa.Table":
    """Build a table of ``schema`` with ``count`` rows.

    Args:
        schema: of the table.
        columns: arrays [count], or single values to repeat, by name; a column not given is null.
        count: rows.
    """
    import pyarrow as pa

    arrays = []
    for field in schema:
        value = columns.get(field.name)
        if isinstance(value, np.ndarray | pa.Array | pa.ChunkedArray):
            arrays.append(pa.array(value) if isinstance(value, np.ndarray) else value)
        else:
            arrays.append(pa.repeat(pa.scalar(value, field.type), count))
    return pa.table(arrays, names=schema.names).cast(schema)


def _write_images(store: "ObjectStore", pictures: Pictures) -> None:
    from assets.ingestion.image_index import IMAGES_SCHEMA, images_table

    rng, count = np.random.default_rng(5), len(pictures)
    columns = {
        "key": pictures.key,
        "etag": strings(rng.bytes(16 * count).hex().encode(), 32),
        "last_modified": START,
        "size": rng.integers(10_000, 200_000, count),
        "sha256": pictures.sha256,
        "phash": rng.integers(0, 2**64, count, dtype=np.uint64),
        "width": rng.integers(200, 2000, count, dtype=np.int32),
        "height": rng.integers(200, 2000, count, dtype=np.int32),
        "mode": "RGB",
        "format": "JPEG",
        "status": "ok",
        "reason": "",
        "indexed_at": START,
        "refused": False,
    }
    write_rows(images_table(store), filled(IMAGES_SCHEMA, columns, count))


def _write_labels(store: "ObjectStore", pictures: Pictures, place: np.ndarray) -> None:
    import pyarrow as pa

    from assets.annotations.label_index import labels_table

    by_people = INGESTED + BY_ONE + BY_TWO
    first = statements(pictures, np.flatnonzero(place < INGESTED), "ingest")
    ones = np.flatnonzero((place >= INGESTED) & (place < by_people))
    twos = np.flatnonzero((place >= INGESTED + BY_ONE) & (place < by_people))
    others = pictures.label.copy()
    others[twos[::5]] = (others[twos[::5]] + 1) % CLASSES
    doubled = Pictures(pictures.sha256, pictures.key, others, pictures.names)
    parts = [first, statements(pictures, ones, "label_studio:1")]
    write_rows(
        labels_table(store), pa.concat_tables([*parts, statements(doubled, twos, "label_studio:2")])
    )


def statements(pictures: Pictures, chosen: np.ndarray, by: str) -> "pa.Table":
    """Build the rows of the label table for one annotator.

    Args:
        pictures: all images and their classes.
        chosen: int64 [n], positions of the labelled images.
        by: the annotator; ``ingest`` for labels of an ingest.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from labelling.labels.table import LABELS_SCHEMA

    is_ingest, count = by == "ingest", len(chosen)
    shas = pictures.sha256.take(pa.array(chosen))
    # Two annotators rarely save in the same microsecond.
    seconds = chosen if is_ingest else chosen + (2_000_000 if by.endswith("2") else 1_000_000)
    times = np.datetime64(START.replace(tzinfo=None), "us") + seconds.astype("timedelta64[s]")
    folder = "annotations/ingested/" if is_ingest else "annotations/label_studio/"
    ids = strings(np.random.default_rng(len(by)).bytes(16 * count).hex().encode(), 32)
    end = pa.array([f"-{1767225600000 + 1000 * int(one):013d}-" for one in seconds])
    tail = pc.utf8_slice_codeunits(ids, 0, 8 if is_ingest else 25)
    labels = pa.array(pictures.names, pa.string()).take(pa.array(pictures.label[chosen]))
    columns = {
        "snapshot_key": pc.binary_join_element_wise(folder, shas, end, tail, ".json", ""),
        "sha256": shas,
        "labels": pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32)), labels),
        "status": "ok",
        "reason": "",
        "annotator": by,
        "source": "ingest" if is_ingest else "label_studio",
        "annotated_at": pa.array(times, pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC")),
        "annotation_id": pictures.key.take(pa.array(chosen)) if is_ingest else ids,
        "cancelled": False,
        "unique_id": None if is_ingest else ids,
        "skipped": False,
    }
    return filled(LABELS_SCHEMA, columns, count)


def say_new_labels(root: str, count: int) -> None:
    """Label the last ``NEW`` images: one more part of the label table."""
    from assets.annotations.label_index import labels_table

    rows = statements(make_pictures(count), np.arange(count - NEW, count), "label_studio:1")
    labels_table(opened(root)).append(rows)


def _write_groups(store: "ObjectStore", pictures: Pictures, place: np.ndarray) -> None:
    """Write a group and a split for each image; labelled images have a split, and pairs share
    theirs."""
    import pyarrow as pa

    from assets.dataset.splits.generations import begin_generation
    from assets.dataset.splits.splitting import groups_table
    from assets.policies import SplitPolicy
    from training.groups.groups import GROUPS_SCHEMA

    rng, count = np.random.default_rng(3), len(pictures)
    founder = np.arange(count)
    pairs = np.arange(1, count - NEW, 50)
    founder[pairs] = pairs - 1
    lots = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1, 2])[rng.integers(0, 10, count)]
    is_dealt = place < INGESTED + BY_ONE + BY_TWO
    splits = np.where(is_dealt[founder], lots[founder], 3)
    columns = {
        "sha256": pictures.sha256,
        "phash": rng.integers(0, 2**64, count, dtype=np.uint64),
        "group_id": pictures.sha256.take(pa.array(founder)),
        "split": pa.array(["train", "val", "test", ""]).take(pa.array(splits)),
        "reason": "",
        "generation": 0,
    }
    write_rows(groups_table(store), filled(GROUPS_SCHEMA, columns, count))
    begin_generation(store, SplitPolicy(), "the first images", number=0)


def _write_shards(store: "ObjectStore", pictures: Pictures, place: np.ndarray) -> None:
    from pathlib import Path
    from urllib.parse import urlsplit

    import pyarrow as pa

    from assets.dataset.shards import SHARDS_SCHEMA, shards_table
    from assets.dataset.versions import DATASETS

    packed = np.flatnonzero(place < INGESTED + BY_ONE + BY_TWO)
    number = np.arange(len(packed))
    names = [f"shards/{one:064x}.tar" for one in range(len(packed) // SHARD_IMAGES + 1)]
    columns = {
        "sha256": pictures.sha256.take(pa.array(packed)),
        "shard": pa.array(names).take(pa.array(number // SHARD_IMAGES)),
        "offset": number % SHARD_IMAGES * 2048,
        "length": np.full(len(packed), 1500),
    }
    write_rows(shards_table(store), filled(SHARDS_SCHEMA, columns, len(packed)))
    for name in names:  # sparse files of the right length
        path = Path(urlsplit(store.url).path) / DATASETS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.truncate(path, SHARD_IMAGES * 2048)

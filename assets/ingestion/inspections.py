"""What ``imgclf ingest`` found when it inspected images, handed on to the image table.

``ingest`` decodes and hashes each image before it stores it. With its inspection in the store, the
table gets the row of the image without reading it again. An inspection is a hint: whoever writes an
image in another way writes none, and what does not fit is ignored, so that the image is read.

``inspections/v1/<random>.parquet`` has the inspections of up to some thousand images. The version in
the key is that of the columns and of their meaning: code that knows another one does not read it.
"""

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labelling.columns import codes_of, flat, is_true
from object_store.contents.damage import DamagedObject
from object_store.contents.reading import parse_rows
from object_store.contents.sealed import sealed_parquet
from object_store.store import ObjectStore
from object_store.transfer import get_many

if TYPE_CHECKING:
    from training.images.images import ImageFacts

INSPECTIONS = "inspections/"
_PREFIX = f"{INSPECTIONS}v1/"

INSPECTIONS_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("etag", pa.string()),
        ("size", pa.int64()),
        ("sha256", pa.string()),
        ("phash", pa.uint64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("mode", pa.string()),
        ("format", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Inspection:
    """An image that was inspected and then written.

    Attributes:
        key: of the object.
        etag: that the store gave to these very bytes when they were written.
        size: of the file in bytes.
        facts: what the bytes are.
    """

    key: str
    etag: str
    size: int
    facts: "ImageFacts"


def write_inspections(store: ObjectStore, inspections: Sequence[Inspection]) -> None:
    """Hand on the inspections of images that are in the store; one without an etag is left out."""
    known = [one for one in inspections if one.etag]
    if not known:
        return
    columns: dict[str, list[object]] = {
        "key": [one.key for one in known],
        "etag": [one.etag for one in known],
        "size": [one.size for one in known],
    }
    for name in INSPECTIONS_SCHEMA.names[len(columns) :]:
        columns[name] = [getattr(one.facts, name) for one in known]
    rows = pa.table(columns, schema=INSPECTIONS_SCHEMA)
    store.create(f"{_PREFIX}{uuid.uuid4().hex}.parquet", sealed_parquet(rows))


@dataclass(frozen=True)
class Inspections:
    """The inspections that are in the store.

    Attributes:
        keys: of the objects that hold them, also of those that cannot be read.
        rows: in ``INSPECTIONS_SCHEMA``.
        origins: index in ``keys`` of the object that each row is from.
    """

    keys: Sequence[str] = ()
    rows: pa.Table = field(default_factory=INSPECTIONS_SCHEMA.empty_table)
    origins: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def of_objects(self, listing: pa.Table, *, max_pixels: int, max_bytes: int) -> np.ndarray:
        """Find the inspection of each listed object.

        Args:
            listing: ``key``, ``etag`` and ``size`` of objects as they are now.
            max_pixels: images with more pixels are left out: they are to be rejected.
            max_bytes: bigger files are left out, too.

        Returns:
            Its row in ``rows``; -1 where there is none.
        """
        # What is verified: the file of inspections is whole (its checksum); and key, etag and size
        # of the object are still those of the write whose bytes were inspected. An etag is a
        # content's hash in a bucket, and inode, time and size in a folder: by the same etag the
        # table decides that an object which it knows is unchanged. The bytes are not read here;
        # when a data set packs an image, they are, and must have the row's sha256.
        if not self.rows.num_rows:
            return np.full(listing.num_rows, -1)
        identity = _identity(self.rows)
        found = pc.index_in(_identity(listing), value_set=identity)
        place = np.asarray(pc.fill_null(found, -1).cast(pa.int64()))
        pixels = pc.multiply(self.rows["width"].cast(pa.int64()), self.rows["height"])
        fits = is_true(pc.less_equal(pixels, max_pixels))
        fits &= is_true(pc.less_equal(self.rows["size"], max_bytes))
        codes, count = codes_of(identity)
        fits &= np.bincount(codes, minlength=count)[codes] == 1  # two could contradict one another
        return np.where((place >= 0) & fits[place], place, -1)

    def settled(self, known: pa.ChunkedArray) -> list[str]:
        """Return the objects of which every image is among ``known``, the keys of the table."""
        is_open = ~is_true(pc.is_in(self.rows["key"], value_set=flat(known)))
        still = set(self.origins[is_open].tolist())
        return [key for number, key in enumerate(self.keys) if number not in still]


def read_inspections(store: ObjectStore) -> Inspections:
    """Read all inspections; what is damaged, or of another version, has no rows."""
    keys = [info.key for info in store.list(INSPECTIONS)]
    parts, origins = [INSPECTIONS_SCHEMA.empty_table()], [np.empty(0, np.int64)]
    ours = [(number, key) for number, key in enumerate(keys) if key.startswith(_PREFIX)]
    read = get_many(store, (key for _, key in ours))
    for (number, key), (_, data) in zip(ours, read, strict=True):
        with suppress(DamagedObject):  # its images are read instead
            if data is not None:
                rows = _sound(parse_rows(store, key, data, INSPECTIONS_SCHEMA))
                parts.append(rows)
                origins.append(np.full(rows.num_rows, number))
    return Inspections(keys, pa.concat_tables(parts), np.concatenate(origins))


def _sound(rows: pa.Table) -> pa.Table:
    """Return the rows that could be those of an image: nothing is missing, and sizes are positive."""
    is_sound = pc.match_substring_regex(rows["sha256"], "^[0-9a-f]{64}$")
    for name in rows.schema.names:
        is_sound = pc.and_(is_sound, pc.is_valid(rows[name]))
    for name in ("size", "width", "height"):
        is_sound = pc.and_(is_sound, pc.greater(rows[name], 0))
    return rows.filter(pc.fill_null(is_sound, False))


def _identity(rows: pa.Table) -> pa.Array:
    """Return key, etag and size of each row in one string."""
    size = flat(rows["size"].cast(pa.string()))
    return pc.binary_join_element_wise(flat(rows["key"]), flat(rows["etag"]), size, "\n")

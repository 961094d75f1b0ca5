"""Listings as Arrow tables, for very many objects."""

import json
from collections.abc import Iterator
from itertools import islice

import pyarrow as pa

from object_store.rows import Flaws, Row

LISTING_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("size", pa.int64()),
        ("etag", pa.string()),
        ("last_modified", pa.timestamp("us", tz="UTC")),
    ]
)
"""Columns of a listing: size in bytes, the store's etag (quoted), time in UTC."""

_BATCH_ROWS = 5000

_UNREAD = b"imgclf.unread"


def unread(listing: pa.Table) -> list[str]:
    """Return the prefixes that a listing lacks because their folders cannot be read."""
    found: list[str] = json.loads((listing.schema.metadata or {}).get(_UNREAD, b"[]"))
    return found


def with_unread(listing: pa.Table, flaws: Flaws) -> pa.Table:
    """Return the listing with the folders among ``flaws`` in its metadata, for :func:`unread`."""
    folders = [name for name, _ in flaws if name.endswith("/")]
    if not folders:
        return listing
    return listing.replace_schema_metadata({_UNREAD: json.dumps(folders)})


def to_table(rows: Iterator[Row]) -> pa.Table:
    """Convert rows to an Arrow table of :data:`LISTING_SCHEMA`, sorted by key."""
    # A few thousand rows at a time: as Python objects, 100,000 rows take 30 MB.
    batches = []
    while some := list(islice(rows, _BATCH_ROWS)):
        columns = [list(column) for column in zip(*some, strict=True)]
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(columns, LISTING_SCHEMA, strict=True)
        ]
        batches.append(pa.record_batch(arrays, schema=LISTING_SCHEMA))
    return pa.Table.from_batches(batches, LISTING_SCHEMA).sort_by("key").combine_chunks()

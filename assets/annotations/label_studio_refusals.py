"""What was refused to be taken back, in the store: so that it stays refused until a person decides.

A refusal is a share of what people have labelled. They go on labelling, so the share shrinks by
itself, and would have let through a few days later what it was there to prevent. In the store, and
not in the sensor's cursor: one may be reset, and of a big project it would be megabytes a tick.
"""

import time
from collections.abc import Mapping

import pyarrow as pa

from resources.contents.tables import Table
from resources.store.object_store import ObjectStore

REFUSALS_SCHEMA = pa.schema(
    [
        ("snapshot_key", pa.string()),
        ("share", pa.float64()),
        ("refused_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""The last row of a snapshot counts. ``share`` of the labelled images was gone with it, in [0, 1];
0: its task was there again afterwards."""


def refusals_table(store: ObjectStore) -> Table:
    """The table ``refusals`` of a store."""
    return Table(store, "refusals", REFUSALS_SCHEMA)


class Refusals:
    """The table ``refusals`` of a store."""

    def __init__(self, store: ObjectStore) -> None:
        """Nothing is read or written."""
        self._table = refusals_table(store)

    def read(self) -> dict[str, float]:
        """The snapshots that stay, by key: as long as ``labelling.max_vanished_share`` is below
        this share."""
        rows = self._table.read(["snapshot_key", "share"])
        shares = zip(rows["snapshot_key"].to_pylist(), rows["share"].to_pylist(), strict=True)
        return {key: share for key, share in dict(shares).items() if share > 0}

    def add(self, shares: Mapping[str, float]) -> None:
        """Remember ``shares`` (by key) in place of what was remembered of these snapshots."""
        if not shares:
            return
        now = round(time.time() * 1e6)
        columns = [list(shares), list(shares.values()), [now] * len(shares)]
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(columns, REFUSALS_SCHEMA, strict=True)
        ]
        self._table.append(pa.table(arrays, schema=REFUSALS_SCHEMA))
        self._table.compact()

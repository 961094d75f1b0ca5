"""Withdrawals that were refused because too many labels would go at once. They stay refused until a
person decides.

A refusal depends on the share of all labelled images. That share shrinks as people label more, so
without a record the withdrawal would pass a few days later. The record is in the store, not in the
sensor's cursor: a cursor may be reset, and for a big project it would be megabytes a tick.
"""

import time
from collections.abc import Mapping

import pyarrow as pa

from object_store.contents.tables import Table
from object_store.store import ObjectStore

REFUSALS_SCHEMA = pa.schema(
    [
        ("snapshot_key", pa.string()),
        ("share", pa.float64()),
        ("refused_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""The last row of a snapshot counts. ``share``, in [0, 1]: the share of the labelled images that was
gone with it; 0: its task exists again.
"""


def refusals_table(store: ObjectStore) -> Table:
    """Return the table ``refusals`` of a store."""
    return Table(store, "refusals", REFUSALS_SCHEMA)


class Refusals:
    """The table ``refusals`` of a store."""

    def __init__(self, store: ObjectStore) -> None:
        """Open the table; nothing is read or written."""
        self._table = refusals_table(store)

    def read(self) -> dict[str, float]:
        """Return the refused snapshots: key to share.

        A snapshot stays as long as ``labelling.max_vanished_share`` is below its share.
        """
        rows = self._table.read(["snapshot_key", "share"])
        shares = zip(rows["snapshot_key"].to_pylist(), rows["share"].to_pylist(), strict=True)
        return {key: share for key, share in dict(shares).items() if share > 0}

    def add(self, shares: Mapping[str, float]) -> None:
        """Record ``shares`` (key to share) in place of earlier ones of these snapshots."""
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

"""The label table: every snapshot a row; which of them count, and which is the latest."""

from collections.abc import Iterable
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from labelling.schema import LabelSchema
from labelling.snapshots import SnapshotError, parse_snapshot

LABELS_SCHEMA = pa.schema(
    [
        ("snapshot_key", pa.string()),
        ("sha256", pa.string()),
        ("labels", pa.list_(pa.string())),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("annotator", pa.string()),
        ("source", pa.string()),
        ("annotated_at", pa.timestamp("us", tz="UTC")),
        ("annotation_id", pa.string()),
        ("cancelled", pa.bool_()),
    ]
)
"""``status`` is ``ok`` or ``rejected``, with the ``reason``. A snapshot that cannot be read is
a rejected row with an empty ``sha256``."""

_UNREADABLE = {
    "sha256": "",
    "labels": [],
    "annotator": "",
    "source": "",
    "annotated_at": datetime(1970, 1, 1, tzinfo=UTC),
    "annotation_id": "",
    "cancelled": False,
}


def label_rows(snapshots: Iterable[tuple[str, bytes]], schema: LabelSchema) -> pa.Table:
    """One row in ``LABELS_SCHEMA`` for each (key, bytes) of an annotation snapshot.

    Nothing is dropped: what ``schema`` does not allow, or what is not a snapshot at all, is a
    rejected row that says why.
    """
    rows = [_row(key, data, schema) for key, data in snapshots]
    return pa.Table.from_pylist(rows, schema=LABELS_SCHEMA)


def _row(key: str, data: bytes, schema: LabelSchema) -> dict[str, object]:
    try:
        snapshot = parse_snapshot(data, key)
    except SnapshotError as error:
        return {**_UNREADABLE, "snapshot_key": key, "status": "rejected", "reason": str(error)}
    problem = None if snapshot.cancelled else schema.problem(snapshot.labels)
    return {
        **snapshot.model_dump(exclude={"note"}),
        "snapshot_key": key,
        "status": "rejected" if problem else "ok",
        "reason": problem or "",
    }


def recheck(labels: pa.Table, schema: LabelSchema) -> pa.Table:
    """``labels`` with status and reason as ``schema`` would have them now: for tables whose
    rows were written under an earlier schema."""
    problems: dict[tuple[str, ...], str] = {}
    statuses, reasons = [], []
    for row in labels.select(["sha256", "labels", "reason", "cancelled"]).to_pylist():
        given = tuple(row["labels"])
        if given not in problems:
            problems[given] = schema.problem(given) or ""
        reason = "" if row["cancelled"] else problems[given]
        reason = reason if row["sha256"] else row["reason"]
        reasons.append(reason)
        statuses.append("rejected" if reason else "ok")
    for name, column in (("status", statuses), ("reason", reasons)):
        position = labels.schema.get_field_index(name)
        labels = labels.set_column(position, name, pa.array(column, pa.string()))
    return labels


def current_labels(labels: pa.Table) -> pa.Table:
    """The label that counts for each image: of its usable rows the latest, by time and then by
    key. An image whose latest row is cancelled has none. Sorted by sha256, in
    ``LABELS_SCHEMA``.

    Two rows of the same time are a conflict (``labelling.conflicts``); this does not look.
    """
    usable = labels.filter(pc.equal(labels["status"], "ok"))
    usable = usable.sort_by([("annotated_at", "ascending"), ("snapshot_key", "ascending")])
    usable = usable.append_column("position", pa.array(range(usable.num_rows), pa.int64()))
    latest = usable.group_by("sha256").aggregate([("position", "max")])["position_max"]
    current = usable.take(latest).drop_columns(["position"])
    return current.filter(pc.invert(current["cancelled"])).sort_by("sha256")

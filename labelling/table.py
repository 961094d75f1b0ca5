"""The label table: every snapshot a row; which of them count, and which is the latest."""

from collections.abc import Iterable
from datetime import UTC, datetime

import pyarrow as pa

from labelling.consensus import decide
from labelling.schema import LabelSchema, Task
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
        ("unique_id", pa.string()),
        ("created_at", pa.timestamp("us", tz="UTC")),
        ("lead_time_s", pa.float64()),
        ("skipped", pa.bool_()),
        ("prelabel_version", pa.string()),
        ("prelabel", pa.list_(pa.string())),
        ("prelabel_confidence", pa.float64()),
        ("project", pa.int64()),
        ("task", pa.int64()),
    ]
)
"""``status`` is ``ok`` or ``rejected``, with the ``reason``. A snapshot that cannot be read is
a rejected row with an empty ``sha256``. The columns from ``unique_id`` on are of Label Studio's
annotations (``prelabel``: what the model had said); they are null in rows of other sources and in
parts of the table that were written before the columns were there."""

_UNREADABLE = {
    "sha256": "",
    "labels": [],
    "annotator": "",
    "source": "",
    "annotated_at": datetime(1970, 1, 1, tzinfo=UTC),
    "annotation_id": "",
    "cancelled": False,
    "skipped": False,
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
    says_nothing = snapshot.cancelled or snapshot.skipped
    problem = None if says_nothing else schema.problem(snapshot.labels)
    origin = snapshot.prediction
    return {
        **snapshot.model_dump(exclude={"note", "prediction"}),
        "unique_id": snapshot.unique_id or None,
        "prelabel_version": origin.model_version if origin else None,
        "prelabel": origin.labels if origin else None,
        "prelabel_confidence": origin.confidence if origin else None,
        "snapshot_key": key,
        "status": "rejected" if problem else "ok",
        "reason": problem or "",
    }


def recheck(labels: pa.Table, schema: LabelSchema) -> pa.Table:
    """``labels`` with status and reason as ``schema`` would have them now: for tables whose
    rows were written under an earlier schema."""
    problems: dict[tuple[str, ...], str] = {}
    statuses, reasons = [], []
    for row in labels.select(["sha256", "labels", "reason", "cancelled", "skipped"]).to_pylist():
        given = tuple(row["labels"])
        if given not in problems:
            problems[given] = schema.problem(given) or ""
        reason = "" if row["cancelled"] or row["skipped"] else problems[given]
        reason = reason if row["sha256"] else row["reason"]
        reasons.append(reason)
        statuses.append("rejected" if reason else "ok")
    for name, column in (("status", statuses), ("reason", reasons)):
        position = labels.schema.get_field_index(name)
        labels = labels.set_column(position, name, pa.array(column, pa.string()))
    return labels


def current_labels(labels: pa.Table, task: Task = "single_label") -> pa.Table:
    """The label that counts for each image, by ``labelling.consensus``: the latest word, the people
    of Label Studio having one together. An image whose latest word is taken back has none. Sorted by
    sha256, in ``LABELS_SCHEMA``.

    An image may be in conflict (``labelling.conflicts``); this does not look.
    """
    return decide(labels, task).labels

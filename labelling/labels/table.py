"""The label table: one row per snapshot and event."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labelling.columns import LabelLists, flat, is_true
from labelling.labels.events import EVENTS_PREFIX, EventError, History, parse_event, to_json
from labelling.labels.schema import LabelSchema
from labelling.labels.snapshots import (
    AnnotationSnapshot,
    PredictionOrigin,
    SnapshotError,
    parse_snapshot,
)

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
        ("event", pa.string()),
    ]
)
"""``status`` is ``ok``, ``rejected`` (with the ``reason``), or ``event``: an event about labels
(``labelling.labels.events``), as JSON in the column ``event``. An unreadable snapshot is a rejected
row with an empty ``sha256``. The columns from ``unique_id`` on belong to Label Studio's annotations
(``prelabel``: the labels that the model predicted); they are null in rows of other sources and in
parts of the table that are older than the columns."""

EVENT = "event"
"""Status of a row that is an event."""

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
    """Build one row in ``LABELS_SCHEMA`` for each (key, bytes) of a snapshot or event.

    Nothing is dropped: an invalid object, or labels that ``schema`` does not allow, give a rejected
    row with the reason.
    """
    rows = [_row(key, data, schema) for key, data in snapshots]
    try:
        return pa.Table.from_pylist(rows, schema=LABELS_SCHEMA)
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        return pa.Table.from_pylist([_storable(row) for row in rows], schema=LABELS_SCHEMA)


def _storable(row: dict[str, object]) -> dict[str, object]:
    """``row``, or a rejected row in its place if the table cannot hold it."""
    try:
        pa.Table.from_pylist([row], schema=LABELS_SCHEMA)
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        return _rejected(str(row["snapshot_key"]), f"the label table cannot hold it: {error}")
    return row


def _rejected(key: str, reason: str) -> dict[str, object]:
    return {**_UNREADABLE, "snapshot_key": key, "status": "rejected", "reason": reason}


def _row(key: str, data: bytes, schema: LabelSchema) -> dict[str, object]:
    if key.startswith(EVENTS_PREFIX):
        return _event_row(key, data)
    try:
        snapshot = parse_snapshot(data, key)
    except SnapshotError as error:
        return _rejected(key, str(error))
    says_nothing = snapshot.cancelled or snapshot.skipped
    problem = None if says_nothing else schema.problem(snapshot.labels) or _unclear(snapshot)
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


def _unclear(snapshot: AnnotationSnapshot) -> str | None:
    """Why an empty annotation of Label Studio does not mean none of the labels; ``None`` if it
    does."""
    # ``labelling.label_studio.tasks`` notes what is unexpected in an annotation.
    return (snapshot.note or None) if snapshot.unique_id and not snapshot.labels else None


def _event_row(key: str, data: bytes) -> dict[str, object]:
    try:
        event = parse_event(data, key)
    except EventError as error:
        return _rejected(key, str(error))
    fields = {"annotator": event.by, "annotated_at": event.at, "event": to_json(event).decode()}
    return {**_UNREADABLE, **fields, "snapshot_key": key, "status": EVENT, "reason": ""}


def history_of(labels: pa.Table) -> History:
    """The events among the rows."""
    rows = labels.filter(pc.equal(labels["status"], EVENT)).select(["snapshot_key", "event"])
    return History.of(
        (row["snapshot_key"], parse_event(row["event"], row["snapshot_key"]))
        for row in rows.to_pylist()
    )


def snapshot_of(row: Mapping[str, Any]) -> AnnotationSnapshot:
    """The snapshot of ``row``, without its note."""
    has_prelabel = row["prelabel_version"] is not None
    return AnnotationSnapshot(
        sha256=row["sha256"],
        labels=tuple(row["labels"]),
        annotator=row["annotator"],
        source=row["source"],
        annotated_at=row["annotated_at"],
        annotation_id=row["annotation_id"],
        cancelled=bool(row["cancelled"]),
        unique_id=row["unique_id"] or "",
        created_at=row["created_at"],
        lead_time_s=row["lead_time_s"],
        prediction=PredictionOrigin(
            model_version=row["prelabel_version"],
            labels=tuple(row["prelabel"] or ()),
            confidence=row["prelabel_confidence"],
        )
        if has_prelabel
        else None,
        skipped=bool(row["skipped"]),
        project=row["project"],
        task=row["task"],
    )


def recheck(labels: pa.Table, schema: LabelSchema) -> pa.Table:
    """Recompute status and reason of rows that were written under another schema."""
    lists = LabelLists.of(labels["labels"])
    problem = [schema.problem(kind) or "" for kind in lists.kinds]
    empty = np.array([not kind for kind in lists.kinds], bool)
    silent = is_true(labels["cancelled"]) | is_true(labels["skipped"])
    is_wrong = np.array([bool(text) for text in problem], bool)[lists.codes] & ~silent
    # Rows without labels keep their reason (``_unclear``), as do rows that name no image.
    own = empty[lists.codes] & ~silent & ~is_wrong
    own |= ~is_true(pc.not_equal(labels["sha256"], ""))
    problems = pa.array(problem, pa.string()).take(pa.array(lists.codes))
    problems = pc.if_else(pa.array(is_wrong), problems, "")
    reasons = pc.if_else(pa.array(own), flat(labels["reason"]), problems)
    rejected = pc.fill_null(pc.not_equal(reasons, ""), False)
    statuses = pc.if_else(rejected, "rejected", "ok")
    for name, column in (("status", statuses), ("reason", reasons)):
        position = labels.schema.get_field_index(name)
        labels = labels.set_column(position, name, column)
    return labels

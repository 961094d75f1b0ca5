"""The label table: every annotation snapshot, parsed once; which label counts is decided on reading.

A snapshot's row does not depend on the label schema, so that a schema that grows makes the
labels it once refused count again without touching the table.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assets.line import fingerprint
from labelling.consensus import Decisions, annotations_only, decide, newest_snapshots
from labelling.schema import LabelSchema
from labelling.table import LABELS_SCHEMA, label_rows, recheck
from resources.object_store import ObjectStore
from resources.tables import Table
from resources.transfer import get_many

ANNOTATIONS = "annotations/"
CHUNK = 2000
ANY_LABEL = LabelSchema(task="multi_label")
"""What a snapshot is parsed under: any labels, any number of them."""


def labels_table(store: ObjectStore) -> Table:
    """The label table of ``store``."""
    return Table(store, "labels", LABELS_SCHEMA)


def new_snapshots(store: ObjectStore, table: Table) -> list[str]:
    """Keys of the annotation snapshots that the label table has not got, in order."""
    keys = store.list_table(ANNOTATIONS)["key"]
    known = table.read(["snapshot_key"])["snapshot_key"]
    fresh: list[str] = keys.filter(pc.invert(pc.is_in(keys, value_set=known))).to_pylist()
    return fresh


def index_snapshots(store: ObjectStore, table: Table) -> int:
    """Parse the new snapshots into ``table``; return how many there were."""
    keys = new_snapshots(store, table)
    for start in range(0, len(keys), CHUNK):
        rows = snapshot_rows(store, keys[start : start + CHUNK])
        if rows.num_rows:
            table.append(rows)
    table.compact()
    return len(keys)


def snapshot_rows(store: ObjectStore, keys: list[str]) -> pa.Table:
    """The snapshots at ``keys`` as rows of the label table; those that are gone are left out."""
    return label_rows(_read(store, keys), ANY_LABEL)


def _read(store: ObjectStore, keys: list[str]) -> Iterator[tuple[str, bytes]]:
    for key, data in get_many(store, keys):
        if data is not None:  # else removed since the listing
            yield key, data


def usable_labels(rows: pa.Table, schema: LabelSchema) -> tuple[pa.Table, pa.Table]:
    """Split the label table into rows that can count under ``schema`` and rejected ones. What an
    annotator said and then changed is in neither.

    Returns:
        (usable, rejected); ``reason`` of a rejected row says why.
    """
    judged = recheck(newest_snapshots(rows), schema)
    bad = pc.equal(judged["status"], "rejected")
    return judged.filter(pc.invert(bad)), judged.filter(bad)


def schema_version(schema: LabelSchema) -> str:
    """Changes with the schema, under which other labels may count."""
    return fingerprint(schema.model_dump())


def labels_version(decisions: Decisions, rejected: pa.Table) -> str:
    """Changes when a label that counts changes, or when what is rejected does."""
    current = decisions.labels
    labels = zip(current["sha256"].to_pylist(), current["labels"].to_pylist(), strict=True)
    content = {
        "labels": sorted([sha, *sorted(names)] for sha, names in labels),
        "conflicts": sorted(decisions.conflicts["sha256"].to_pylist()),
        "rejected": sorted(rejected["snapshot_key"].to_pylist()),
    }
    return fingerprint(content, 16)


@dataclass(frozen=True)
class LabelledView:
    """The labels that count now: image (sha256) to labels, and the conflicts among them.

    ``said`` maps an image to who said so last (the source of the snapshot) and when; one that has
    no label any more, to who had the last word. ``rows``: of the label table, that it was read
    from; what is indexed later comes after them.
    """

    labels: dict[str, list[str]]
    conflicts: list[dict[str, Any]]
    version: str
    said: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    rows: int = 0


def labelled_view(store: ObjectStore, schema: LabelSchema) -> LabelledView:
    """Read the label table under ``schema``."""
    return view_of(labels_table(store).read(), schema)


def view_of(rows: pa.Table, schema: LabelSchema) -> LabelledView:
    """The labels that count of the label table's ``rows``."""
    usable, rejected = usable_labels(rows, schema)
    decisions = decide(usable, schema.task)
    labels = decisions.labels
    return LabelledView(
        labels=dict(zip(labels["sha256"].to_pylist(), labels["labels"].to_pylist(), strict=True)),
        conflicts=decisions.conflicts.to_pylist(),
        version=labels_version(decisions, rejected),
        said=_last_words(annotations_only(rows)) | _last_words(labels),
        rows=rows.num_rows,
    )


def _last_words(rows: pa.Table) -> dict[str, tuple[str, datetime]]:
    rows = rows.select(["sha256", "source", "annotated_at"]).sort_by("annotated_at")
    said = zip(rows["source"].to_pylist(), rows["annotated_at"].to_pylist(), strict=True)
    return dict(zip(rows["sha256"].to_pylist(), said, strict=True))

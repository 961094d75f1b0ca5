"""The label table: every annotation snapshot, parsed once; which label counts is decided on reading.

A snapshot's row does not depend on the label schema, so that a schema that grows makes the
labels it once refused count again without touching the table.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assets.line import fingerprint
from labelling.consensus import (
    Decisions,
    annotations_only,
    decide,
    newest_snapshots,
    not_superseded,
)
from labelling.counted import Counted, counted
from labelling.schema import NONE_OF_THEM, LabelSchema
from labelling.table import LABELS_SCHEMA, label_rows, recheck
from resources.object_store import ObjectStore
from resources.tables import Table
from resources.transfer import get_many

ANNOTATIONS = "annotations/"
CHUNK = 2000
ANY_LABEL = LabelSchema(task="multi_label")
"""What a snapshot is parsed under: any labels, any number of them."""


def labels_table(store: ObjectStore, on_damage: Callable[[str], object] | None = None) -> Table:
    """The label table of ``store``; ``on_damage``: see :class:`resources.tables.Table`."""
    return Table(store, "labels", LABELS_SCHEMA, on_damage=on_damage)


def new_snapshots(store: ObjectStore, table: Table) -> list[str]:
    """Keys of the annotation snapshots that the label table has not got, in order."""
    keys = store.list_table(ANNOTATIONS)["key"]
    known = table.read(["snapshot_key"])["snapshot_key"]
    fresh: list[str] = keys.filter(pc.invert(pc.is_in(keys, value_set=known))).to_pylist()
    return fresh


def index_snapshots(store: ObjectStore, table: Table) -> int:
    """Parse the new snapshots into ``table``; return how many there were."""
    table.read()  # all columns: a part that is damaged in any is to be made again
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


@dataclass(frozen=True)
class Judged:
    """The label table as it counts now, judged by the label schema.

    Attributes:
        counted: the statements by their present names, without what was taken back.
        usable: rows that can count.
        rejected: rows that cannot; ``reason`` says why.
        decisions: which labels count, of the usable ones.
    """

    counted: Counted
    usable: pa.Table
    rejected: pa.Table
    decisions: Decisions

    @property
    def standing(self) -> pa.Table:
        """The rejected rows that would count if nothing were wrong with them: what was said before
        a newer word is of no consequence."""
        return not_superseded(self.counted.rows, self.rejected)


def judge_labels(rows: pa.Table, schema: LabelSchema) -> Judged:
    """Judge the label table's ``rows`` by ``schema``. What an annotator said and then changed is
    neither usable nor rejected."""
    found = counted(rows, schema)
    judged = recheck(newest_snapshots(found.rows), found.schema)
    bad = pc.equal(judged["status"], "rejected")
    usable = judged.filter(pc.invert(bad))
    return Judged(found, usable, judged.filter(bad), decide(usable, schema.task))


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
    from; what is indexed later comes after them. ``schema``: the label schema, whose names follow
    the renames; ``aliases``: former name of a class to its present one.
    """

    labels: dict[str, list[str]]
    conflicts: list[dict[str, Any]]
    version: str
    said: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    rows: int = 0
    schema: LabelSchema = field(default_factory=LabelSchema)
    aliases: dict[str, str] = field(default_factory=dict)

    def kind(self, image: str) -> str | None:
        """What ``image`` (sha256) is shown as among others: its first label, or that it has none of
        them; ``None`` if nobody has labelled it."""
        labels = self.labels.get(image)
        return None if labels is None else next(iter(labels), NONE_OF_THEM)


def labelled_view(store: ObjectStore, schema: LabelSchema) -> LabelledView:
    """Read the label table under ``schema``."""
    return view_of(labels_table(store).read(), schema)


def view_of(rows: pa.Table, schema: LabelSchema) -> LabelledView:
    """The labels that count of the label table's ``rows``."""
    judged = judge_labels(rows, schema)
    labels = judged.decisions.labels
    return LabelledView(
        labels=dict(zip(labels["sha256"].to_pylist(), labels["labels"].to_pylist(), strict=True)),
        conflicts=judged.decisions.conflicts.to_pylist(),
        version=labels_version(judged.decisions, judged.rejected),
        said=_last_words(annotations_only(judged.counted.rows)) | _last_words(labels),
        rows=rows.num_rows,
        schema=judged.counted.schema,
        aliases=judged.counted.history.aliases(),
    )


def _last_words(rows: pa.Table) -> dict[str, tuple[str, datetime]]:
    rows = rows.select(["sha256", "source", "annotated_at"]).sort_by("annotated_at")
    said = zip(rows["source"].to_pylist(), rows["annotated_at"].to_pylist(), strict=True)
    return dict(zip(rows["sha256"].to_pylist(), said, strict=True))

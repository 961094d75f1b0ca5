"""The label table: every annotation snapshot, parsed once. Which label counts is decided on reading.

A row does not depend on the label schema, so an extended schema makes labels count that were
rejected before, without a change of the table.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assets.line import fingerprint
from labelling.columns import (
    ByImage,
    LabelLists,
    codes_of,
    flat,
    is_plain,
    is_true,
    json_rows,
    kept,
    labels_by_image,
    last_of_each,
    positions,
    sort_order,
    taken,
)
from labelling.labels.consensus import (
    Decisions,
    annotations_only,
    decide,
    newest_snapshots,
    not_superseded,
)
from labelling.labels.counted import Counted, counted, takes_back_a_source
from labelling.labels.schema import NONE_OF_THEM, LabelSchema
from labelling.labels.table import LABELS_SCHEMA, label_rows, recheck
from object_store.contents.tables import Table
from object_store.store import ObjectStore
from object_store.transfer import get_many

ANNOTATIONS = "annotations/"
CHUNK = 2000
ANY_LABEL = LabelSchema(task="multi_label")
"""The schema that snapshots are parsed under: any labels, any number of them."""


def labels_table(store: ObjectStore, on_damage: Callable[[str], object] | None = None) -> Table:
    """Return the label table; ``on_damage``: see :class:`object_store.contents.tables.Table`."""
    return Table(store, "labels", LABELS_SCHEMA, on_damage=on_damage)


def new_snapshots(store: ObjectStore, table: Table) -> list[str]:
    """Return the keys of annotation snapshots that are not in the label table, in order."""
    keys = store.list_table(ANNOTATIONS)["key"]
    known = table.read(["snapshot_key"])["snapshot_key"]
    fresh: list[str] = keys.filter(pc.invert(pc.is_in(keys, value_set=known))).to_pylist()
    return fresh


def index_snapshots(store: ObjectStore, table: Table) -> int:
    """Parse the new snapshots into ``table``; return their number."""
    table.read()  # all columns, to find each damaged part: its rows are made again
    keys = new_snapshots(store, table)
    for start in range(0, len(keys), CHUNK):
        rows = snapshot_rows(store, keys[start : start + CHUNK])
        if rows.num_rows:
            table.append(rows)
    table.compact()
    return len(keys)


def snapshot_rows(store: ObjectStore, keys: list[str]) -> pa.Table:
    """Parse the snapshots at ``keys`` into rows of the label table, without deleted ones."""
    return label_rows(_read(store, keys), ANY_LABEL)


def _read(store: ObjectStore, keys: list[str]) -> Iterator[tuple[str, bytes]]:
    for key, data in get_many(store, keys):
        if data is not None:  # else deleted since the listing
            yield key, data


@dataclass(frozen=True)
class Judged:
    """The label table under a label schema.

    Attributes:
        counted: the statements under present names, without those that were withdrawn.
        usable: rows that can count.
        rejected: rows that cannot; ``reason`` says why.
        decisions: the labels that count, of the usable rows.
    """

    counted: Counted
    usable: pa.Table
    rejected: pa.Table
    decisions: Decisions

    @property
    def standing(self) -> pa.Table:
        """The rejected rows that a newer statement does not replace."""
        return not_superseded(self.counted.rows, self.rejected)


def judge_labels(
    rows: pa.Table, schema: LabelSchema, columns: Sequence[str] | None = None
) -> Judged:
    """Apply ``schema`` to the label table's ``rows``.

    A statement that its annotator changed later is neither usable nor rejected.

    Args:
        rows: of the label table; ``prelabel`` and the columns that are only informative may be
            missing.
        schema: label schema from the settings.
        columns: columns of ``decisions.labels``, with ``labels`` among them; default: all.
    """
    found = counted(rows, schema)
    judged = recheck(newest_snapshots(found.rows), found.schema)
    bad = is_true(pc.equal(judged["status"], "rejected"))
    usable = kept(judged, ~bad)
    rejected = judged.filter(pa.array(bad, pa.bool_()))
    return Judged(found, usable, rejected, decide(usable, schema.task, columns))


def schema_version(schema: LabelSchema) -> str:
    """Hash the schema, as other labels may count under another one."""
    return fingerprint(schema.model_dump())


def labels_version(decisions: Decisions, rejected: pa.Table) -> str:
    """Hash the labels that count, the conflicts and the rejected snapshots.

    It is the :func:`assets.line.fingerprint` of ``conflicts`` (images), ``labels`` (of each image
    its sha256, then its labels) and ``rejected`` (snapshots), each sorted.

    Returns:
        16 hex digits.
    """
    current = taken(decisions.labels, sort_order(decisions.labels["sha256"]))
    conflicts = sorted(decisions.conflicts["sha256"].to_pylist())
    bad = sorted(rejected["snapshot_key"].to_pylist())
    digest = hashlib.sha256(f'{{"conflicts":{_json(conflicts)},"labels":['.encode())
    for position, part in enumerate(_label_rows(current)):
        digest.update(part if position else part[1:])  # each begins with a comma
    digest.update(f'],"rejected":{_json(bad)}}}'.encode())
    return digest.hexdigest()[:16]


def _label_rows(current: pa.Table) -> Iterator[bytes | memoryview]:
    """Yield each image's sha256 and sorted labels as JSON with a leading comma, several at a time."""
    shas = flat(current["sha256"])
    if not is_plain(shas):
        for sha, names in zip(shas.to_pylist(), current["labels"].to_pylist(), strict=True):
            yield f",{_json([sha, *sorted(names)])}".encode()
        return
    lists = LabelLists.of(current["labels"])
    ends = [_json(["", *sorted(kind)]).removeprefix('[""') for kind in lists.kinds]
    if ends:
        yield from json_rows(',["', shas, '"', pa.array(ends).take(pa.array(lists.codes)))


def _json(value: object) -> str:
    """Serialize like ``fingerprint`` does."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True)
class LabelledView:
    """The labels that count now.

    Attributes:
        labels: image (sha256) to labels.
        conflicts: rows of ``labelling.labels.consensus.CONFLICTS_SCHEMA``.
        version: hash of the labels (:func:`labels_version`).
        origins: image to (source, time) of the statement that counts; of an image without a label, of
            its newest annotation.
        rows: number of rows of the label table that were read; rows indexed later come after them.
        schema: label schema with the present names.
        aliases: former name of a class to its present one.
    """

    labels: Mapping[str, list[str]]
    conflicts: list[dict[str, Any]]
    version: str
    origins: Mapping[str, tuple[str, datetime]] = field(default_factory=dict)
    rows: int = 0
    schema: LabelSchema = field(default_factory=LabelSchema)
    aliases: dict[str, str] = field(default_factory=dict)

    def kind(self, image: str) -> str | None:
        """Return one label to show for ``image`` (sha256): its first one, or "none of them".

        Returns:
            The label; ``None`` if the image is not labelled.
        """
        labels = self.labels.get(image)
        return None if labels is None else next(iter(labels), NONE_OF_THEM)


def labelled_view(store: ObjectStore, schema: LabelSchema) -> LabelledView:
    """Read the label table and decide under ``schema`` which labels count."""
    table = labels_table(store)
    rows = table.read(_OF_THE_VIEW)
    if takes_back_a_source(rows):
        rows = table.read([*_OF_THE_VIEW, "annotation_id"])
    return view_of(rows, schema)


_OF_THE_VIEW = [
    "snapshot_key",
    "sha256",
    "labels",
    "status",
    "reason",
    "annotator",
    "source",
    "annotated_at",
    "cancelled",
    "unique_id",
    "skipped",
    "event",
]
"""The columns that decide which labels count. ``annotation_id``, which is long, only does if an event
withdraws the labels of a source."""


def view_of(rows: pa.Table, schema: LabelSchema) -> LabelledView:
    """Decide under ``schema`` which labels of the label table's ``rows`` count."""
    judged = judge_labels(rows, schema, [*_ORIGIN, "labels"])
    labels = judged.decisions.labels
    return LabelledView(
        labels=labels_by_image(labels),
        conflicts=judged.decisions.conflicts.to_pylist(),
        version=labels_version(judged.decisions, judged.rejected),
        origins=ByImage(_origins(judged.counted.rows, labels), _source_and_time),
        rows=rows.num_rows,
        schema=judged.counted.schema,
        aliases=judged.counted.history.aliases(),
    )


def _origins(counted_rows: pa.Table, labels: pa.Table) -> pa.Table:
    """Return one row per image with a label or an annotation: the statement that counts, else the
    newest annotation.
    """
    some = [*_ORIGIN, "unique_id", "snapshot_key"]
    annotations = annotations_only(counted_rows.select(some)).select(_ORIGIN)
    is_unlabelled = positions(annotations["sha256"], labels["sha256"]) < 0
    others = annotations.filter(pa.array(is_unlabelled)).sort_by("annotated_at")
    newest = last_of_each(*codes_of(others["sha256"]))
    return pa.concat_tables([labels.select(_ORIGIN), taken(others, newest)])


_ORIGIN = ["sha256", "source", "annotated_at"]


def _source_and_time(rows: pa.Table) -> list[tuple[str, datetime]]:
    return list(zip(rows["source"].to_pylist(), rows["annotated_at"].to_pylist(), strict=True))

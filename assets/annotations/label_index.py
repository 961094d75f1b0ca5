"""The label table: every annotation snapshot, parsed once; which label counts is decided on reading.

A snapshot's row does not depend on the label schema, so that a schema that grows makes the
labels it once refused count again without touching the table.
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
from labelling.labels.counted import Counted, counted
from labelling.labels.schema import NONE_OF_THEM, LabelSchema
from labelling.labels.table import LABELS_SCHEMA, label_rows, recheck
from resources.contents.tables import Table
from resources.store.object_store import ObjectStore
from resources.store.transfer import get_many

ANNOTATIONS = "annotations/"
CHUNK = 2000
ANY_LABEL = LabelSchema(task="multi_label")
"""What a snapshot is parsed under: any labels, any number of them."""


def labels_table(store: ObjectStore, on_damage: Callable[[str], object] | None = None) -> Table:
    """The label table of ``store``; ``on_damage``: see :class:`resources.contents.tables.Table`."""
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


def judge_labels(
    rows: pa.Table, schema: LabelSchema, columns: Sequence[str] | None = None
) -> Judged:
    """Judge the label table's ``rows`` by ``schema``. What an annotator said and then changed is
    neither usable nor rejected.

    Args:
        rows: of the label table; all of it but ``prelabel`` and what is only told is needed.
        schema: the settings.
        columns: only these of the rows that count, with ``labels``; default: all.
    """
    found = counted(rows, schema)
    judged = recheck(newest_snapshots(found.rows), found.schema)
    bad = is_true(pc.equal(judged["status"], "rejected"))
    usable = kept(judged, ~bad)
    rejected = judged.filter(pa.array(bad, pa.bool_()))
    return Judged(found, usable, rejected, decide(usable, schema.task, columns))


def schema_version(schema: LabelSchema) -> str:
    """Changes with the schema, under which other labels may count."""
    return fingerprint(schema.model_dump())


def labels_version(decisions: Decisions, rejected: pa.Table) -> str:
    """Changes when a label that counts changes, or when what is rejected does.

    It is the :func:`assets.line.fingerprint` of ``conflicts`` (images), ``labels`` (of each image
    its name, then its labels) and ``rejected`` (snapshots), each sorted.
    """
    current = taken(decisions.labels, sort_order(decisions.labels["sha256"]))
    conflicts = sorted(decisions.conflicts["sha256"].to_pylist())
    bad = sorted(rejected["snapshot_key"].to_pylist())
    digest = hashlib.sha256(f'{{"conflicts":{_json(conflicts)},"labels":['.encode())
    for position, part in enumerate(_label_rows(current)):
        digest.update(part if position else part[1:])  # a comma is before each
    digest.update(f'],"rejected":{_json(bad)}}}'.encode())
    return digest.hexdigest()[:16]


def _label_rows(current: pa.Table) -> Iterator[bytes | memoryview]:
    """Of each image a comma, and its name and its sorted labels as JSON; some at a time."""
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
    """As ``fingerprint`` writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True)
class LabelledView:
    """The labels that count now: image (sha256) to labels, and the conflicts among them.

    ``said`` maps an image to who said so last (the source of the snapshot) and when; one that has
    no label any more, to who had the last word. ``rows``: of the label table, that it was read
    from; what is indexed later comes after them. ``schema``: the label schema, whose names follow
    the renames; ``aliases``: former name of a class to its present one.
    """

    labels: Mapping[str, list[str]]
    conflicts: list[dict[str, Any]]
    version: str
    said: Mapping[str, tuple[str, datetime]] = field(default_factory=dict)
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
    return view_of(labels_table(store).read(_OF_THE_VIEW), schema)


_OF_THE_VIEW = [
    "snapshot_key",
    "sha256",
    "labels",
    "status",
    "reason",
    "annotator",
    "source",
    "annotated_at",
    "annotation_id",
    "cancelled",
    "unique_id",
    "skipped",
    "event",
]
"""The columns by which it is decided what counts."""


def view_of(rows: pa.Table, schema: LabelSchema) -> LabelledView:
    """The labels that count of the label table's ``rows``."""
    judged = judge_labels(rows, schema, [*_LAST_WORDS, "labels"])
    labels = judged.decisions.labels
    return LabelledView(
        labels=labels_by_image(labels),
        conflicts=judged.decisions.conflicts.to_pylist(),
        version=labels_version(judged.decisions, judged.rejected),
        said=ByImage(_last_words(judged.counted.rows, labels), _who_and_when),
        rows=rows.num_rows,
        schema=judged.counted.schema,
        aliases=judged.counted.history.aliases(),
    )


def _last_words(counted_rows: pa.Table, labels: pa.Table) -> pa.Table:
    """Of each image with a label, or with an annotation that can change, the last word: that which
    counts, else the newest annotation."""
    some = [*_LAST_WORDS, "unique_id", "snapshot_key"]
    annotations = annotations_only(counted_rows.select(some)).select(_LAST_WORDS)
    is_unlabelled = positions(annotations["sha256"], labels["sha256"]) < 0
    others = annotations.filter(pa.array(is_unlabelled)).sort_by("annotated_at")
    newest = last_of_each(*codes_of(others["sha256"]))
    return pa.concat_tables([labels.select(_LAST_WORDS), taken(others, newest)])


_LAST_WORDS = ["sha256", "source", "annotated_at"]


def _who_and_when(rows: pa.Table) -> list[tuple[str, datetime]]:
    return list(zip(rows["source"].to_pylist(), rows["annotated_at"].to_pylist(), strict=True))

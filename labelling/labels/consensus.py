"""Decide which labels of an image count.

Of an annotation that changes in place (Label Studio's; it has a ``unique_id``) the newest snapshot
counts. Annotators vote, one vote each; labels of an ingest count separately. Between annotators and
ingest the newer statement wins.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labelling.columns import (
    LabelLists,
    codes_of,
    flat,
    is_true,
    kept,
    last_of_each,
    ranks,
    taken,
)
from labelling.labels.schema import Task

CONFLICTS_SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),
        ("labels_a", pa.list_(pa.string())),
        ("labels_b", pa.list_(pa.string())),
        ("snapshot_a", pa.string()),
        ("snapshot_b", pa.string()),
        ("annotated_at", pa.timestamp("us", tz="UTC")),
        ("different", pa.int32()),
        ("reason", pa.string()),
    ]
)
"""One row per image: two of its ``different`` sets of labels, and the snapshots they are from."""

SAME_TIME = "labelled differently in the same ingest (label conflict)"
DISAGREE = "annotators disagree (label conflict)"

LabelSet = frozenset[str]

_BY_TIME = [("annotated_at", "ascending"), ("snapshot_key", "ascending")]


@dataclass(frozen=True)
class Decisions:
    """The labels that count, and the images whose labels contradict each other.

    An image is in conflict if one ingest gives it different sets of labels (identical files under
    different names, which have the same, latest time), or if the annotators' vote is tied. A later
    label or another vote resolves it.

    Attributes:
        labels: one row per image, with the labels that count, sorted by sha256, in the columns of
            the input.
        conflicts: in ``CONFLICTS_SCHEMA``, sorted by sha256; these images have a row in ``labels``
            as well, which is only a guess.
    """

    labels: pa.Table
    conflicts: pa.Table


class Statement(NamedTuple):
    """One row of the label table: ``at`` in µs since 1970, ``position`` is its row number."""

    sha256: str
    annotator: str
    labels: LabelSet
    key: str
    at: int
    cancelled: bool
    position: int


@dataclass(slots=True)
class _SideVerdict:
    """What one side (the annotators or the ingests) states about an image."""

    position: int
    at: int
    labels: LabelSet
    # labels to the key of a snapshot with them
    key_by_labels: dict[LabelSet, str] = field(default_factory=dict)
    conflict: str = ""
    withdrawn: bool = False


def decide(
    labels: pa.Table, task: Task = "single_label", columns: Sequence[str] | None = None
) -> Decisions:
    """Decide which labels count.

    Args:
        labels: in ``labelling.labels.table.LABELS_SCHEMA``; rejected rows are ignored.
        task: ``single_label``: the labels that most annotators gave; a tie is a conflict.
            ``multi_label``: each label that more than half gave; exactly half is a conflict. No
            label at all counts if more than half gave none, else it is a conflict.
        columns: the columns to return, with ``labels``; default: all.
    """
    usable = newest_snapshots(labels)
    usable = kept(usable, is_true(pc.equal(usable["status"], "ok")))
    image, count = ranks(usable["sha256"])
    alone, contested = _without_dispute(usable, image, count)
    closer = np.flatnonzero(contested)
    few = usable.take(pa.array(closer))
    order = np.asarray(pc.sort_indices(few, _BY_TIME)).astype(np.int64)
    places, voted, conflicts = _decide_contested(few.take(pa.array(order)), task)
    where = np.concatenate([alone, closer[order[places]]])
    by_image = np.argsort(image[where])
    rows = taken(usable if columns is None else usable.select(columns), where[by_image])
    place = np.empty(len(where), np.int64)
    place[by_image] = np.arange(len(where))
    return Decisions(
        _with_votes(rows, {int(place[len(alone) + one]): answer for one, answer in voted.items()}),
        pa.Table.from_pylist(conflicts, schema=CONFLICTS_SCHEMA),
    )


def _without_dispute(
    usable: pa.Table, image: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the images that one row decides; these are most.

    Args:
        usable: rows that can count, newest snapshots only.
        image: int64 [n], the number of each row's image.
        count: number of images.

    Returns:
        The deciding rows, int64; and which rows belong to images that need
        :func:`_decide_contested`, bool [n].
    """
    of_annotator = is_true(_is_changing(usable))
    cancelled = is_true(usable["cancelled"])
    # A deleted or skipped annotation states nothing; an ingest that takes labels back does.
    is_statement = ~(of_annotator & (cancelled | is_true(usable["skipped"])))
    voters = np.bincount(image[is_statement], minlength=count)
    single = is_statement & (voters[image] == 1) & ~cancelled
    several = np.flatnonzero(is_statement & (voters[image] > 1))
    few = usable.select(["annotated_at", "labels"]).take(pa.array(several))
    found, open_images = _decide_unanimous(
        image[several], of_annotator[several], cancelled[several], few
    )
    is_open = np.zeros(count, bool)
    is_open[open_images] = True
    return np.concatenate([np.flatnonzero(single), several[found]]), is_open[image]


def _decide_unanimous(
    image: np.ndarray, of_annotator: np.ndarray, cancelled: np.ndarray, rows: pa.Table
) -> tuple[np.ndarray, np.ndarray]:
    """Of images with several statements, decide those whose later side agrees with itself.

    Args:
        image: int64 [n], the image number of each statement.
        of_annotator: bool [n], whether an annotator made it, or else an ingest.
        cancelled: bool [n], whether it takes back what the ingests stated.
        rows: ``annotated_at`` and ``labels`` of the statements.

    Returns:
        The deciding statements, int64; and the numbers of the images that stay undecided.
    """
    numbers, image = np.unique(image, return_inverse=True)
    count, never = len(numbers), np.iinfo(np.int64).min
    at = np.asarray(flat(rows["annotated_at"].cast(pa.int64()))).astype(np.int64)
    last = {side: np.full(count, never) for side in (True, False)}
    newest, where = {}, {}
    for side, latest in last.items():
        mine = of_annotator if side else ~of_annotator
        np.maximum.at(latest, image[mine], at[mine])
        is_last = np.flatnonzero(mine & (at == latest[image]))
        newest[side] = np.bincount(image[is_last], minlength=count)
        where[side] = np.full(count, -1)
        where[side][image[is_last]] = is_last
    later = last[True] > last[False]
    lists = LabelLists.of(rows["labels"])
    sets = dict[LabelSet, int]()
    label_sets = np.array(
        [sets.setdefault(frozenset(one), len(sets)) for one in lists.kinds], np.int64
    )
    label_sets = label_sets[lists.codes] if len(lists.codes) else lists.codes
    least, most = np.full(count, len(sets)), np.full(count, -1)
    np.minimum.at(least, image[of_annotator], label_sets[of_annotator])
    np.maximum.at(most, image[of_annotator], label_sets[of_annotator])
    by_annotators = later & (newest[True] == 1) & (least == most)
    by_ingests = (last[False] > last[True]) & (newest[False] == 1)
    decided = np.where(by_annotators, where[True], where[False])
    stands = (by_annotators | by_ingests) & ~cancelled[decided]
    return decided[stands], numbers[~(by_annotators | by_ingests)]


def _decide_contested(
    usable: pa.Table, task: Task
) -> tuple[np.ndarray, dict[int, LabelSet], list[Mapping[str, object]]]:
    """Decide the remaining images one by one.

    Args:
        usable: rows that can count, in the order of time.
        task: see :func:`decide`.

    Returns:
        The deciding rows, int64, in the order of their images; the labels voted by annotators, by
        position among these rows; and the conflicts.
    """
    annotators = _verdicts_of_annotators(usable, task)
    ingests = _verdicts_of_ingests(usable)
    positions: list[int] = []
    voted: dict[int, LabelSet] = {}
    conflicts = []
    for sha256 in sorted(annotators.keys() | ingests.keys()):
        verdict = _newer(annotators.get(sha256), ingests.get(sha256))
        if verdict.withdrawn:
            continue
        if sha256 in annotators and verdict is annotators[sha256]:
            voted[len(positions)] = verdict.labels
        positions.append(verdict.position)
        if verdict.conflict:
            conflicts.append(_conflict_row(usable, sha256, verdict))
    return np.array(positions, np.int64), voted, conflicts


def newest_snapshots(labels: pa.Table) -> pa.Table:
    """``labels`` without the snapshots that a later one of the same annotation replaces."""
    changing = is_true(_is_changing(labels))
    if not changing.any():
        return labels
    where = np.flatnonzero(changing)
    some = labels.select(["sha256", "unique_id", *(name for name, _ in _BY_TIME)])
    some = taken(some, where)
    images, _ = ranks(some["sha256"])
    names, count = codes_of(some["unique_id"])
    annotations, annotation = np.unique(images * count + names, return_inverse=True)
    if len(annotations) == len(where):
        return labels
    several = np.bincount(annotation)[annotation] > 1
    doubled = np.flatnonzero(several)
    times = some.select([name for name, _ in _BY_TIME]).take(pa.array(doubled))
    order = np.asarray(pc.sort_indices(times, _BY_TIME)).astype(np.int64)
    _, of = np.unique(annotation[doubled[order]], return_inverse=True)
    newest = doubled[order[last_of_each(of, int(of.max()) + 1)]]
    keep = ~changing
    keep[where[~several]] = True
    keep[where[newest]] = True
    return kept(labels, keep)


def annotations_only(labels: pa.Table) -> pa.Table:
    """The newest snapshot of each annotation that can change, also if it was deleted, skipped or
    rejected."""
    rows = newest_snapshots(labels)
    return kept(rows, is_true(_is_changing(rows)))


def live_annotations(labels: pa.Table) -> pa.Table:
    """The newest snapshot of each annotation that stands: not deleted, not a skip, not rejected."""
    rows = annotations_only(labels)
    silent = pc.or_(pc.fill_null(rows["cancelled"], False), pc.fill_null(rows["skipped"], False))
    return rows.filter(pc.and_(pc.equal(rows["status"], "ok"), pc.invert(silent)))


def not_superseded(labels: pa.Table, suspects: pa.Table) -> pa.Table:
    """Those of ``suspects`` that would count for their image if they were valid.

    Args:
        labels: all statements, in ``labelling.labels.table.LABELS_SCHEMA``.
        suspects: rows of it. One that names no image is never superseded.
    """
    images = pc.unique(suspects["sha256"])
    rows = newest_snapshots(labels.filter(pc.is_in(labels["sha256"], value_set=images)))
    own: dict[tuple[str, str], tuple[int, str]] = {}  # image and annotator to time and key
    later: dict[tuple[str, bool], int] = {}  # image and whether annotators stated it to time
    changing = _is_changing(rows).to_pylist()
    silent = pc.fill_null(rows["skipped"], False).to_pylist()
    statements = list(_statements(rows))
    for one, is_annotation, skipped in zip(statements, changing, silent, strict=True):
        if is_annotation and (skipped or one.cancelled):
            continue
        later[one.sha256, is_annotation] = max(later.get((one.sha256, is_annotation), 0), one.at)
        if is_annotation:
            voter = (one.sha256, one.annotator)
            own[voter] = max(own.get(voter, (0, "")), (one.at, one.key))
    superseded = {
        one.key
        for one, is_annotation in zip(statements, changing, strict=True)
        if one.sha256
        and (
            later.get((one.sha256, is_annotation), one.at)
            < later.get((one.sha256, not is_annotation), 0)
            or (is_annotation and (one.at, one.key) < own.get((one.sha256, one.annotator), (0, "")))
            or (not is_annotation and one.at < later[one.sha256, False])
        )
    }
    keys = pa.array(sorted(superseded), pa.string())
    return suspects.filter(pc.invert(pc.is_in(suspects["snapshot_key"], value_set=keys)))


def newest_vote_by_annotator(labels: pa.Table) -> dict[str, dict[str, Statement]]:
    """The newest standing annotation of each annotator, by image and annotator; ``position`` counts
    standing annotations only."""
    # Who labels an image a second time has changed their mind, and has no second vote.
    found: dict[str, dict[str, Statement]] = defaultdict(dict)
    for statement in _statements(live_annotations(labels).sort_by(_BY_TIME)):
        found[statement.sha256][statement.annotator] = statement
    return dict(found)


def vote(statements: Sequence[LabelSet], task: Task) -> tuple[LabelSet, bool]:
    """The result of a vote, and whether it is tied."""
    if len(set(statements)) == 1:
        return statements[0], False
    if task == "single_label":
        ranked = Counter(statements).most_common()
        most = [labels for labels, count in ranked if count == ranked[0][1]]
        return min(most, key=sorted), len(most) > 1
    counts = Counter(label for labels in statements for label in labels)
    chosen = frozenset(label for label, count in counts.items() if 2 * count > len(statements))
    tied = any(2 * count == len(statements) for count in counts.values())
    none = sum(not labels for labels in statements)  # votes for none of the labels
    return chosen, tied or (not chosen and 2 * none <= len(statements))


def _verdicts_of_annotators(usable: pa.Table, task: Task) -> dict[str, _SideVerdict]:
    """The annotators' vote, by image."""
    place = {key: index for index, key in enumerate(usable["snapshot_key"].to_pylist())}
    verdicts = {}
    for sha256, by_annotator in newest_vote_by_annotator(usable).items():
        votes = list(by_annotator.values())
        labels, contradicted = vote([statement.labels for statement in votes], task)
        newest = max(votes, key=lambda statement: (statement.at, statement.key))
        verdicts[sha256] = _SideVerdict(
            position=place[newest.key],
            at=newest.at,
            labels=labels,
            key_by_labels=dict(
                sorted(((one.labels, one.key) for one in votes), key=_snapshot_key, reverse=True)
            ),
            conflict=DISAGREE if contradicted else "",
        )
    return verdicts


def _verdicts_of_ingests(usable: pa.Table) -> dict[str, _SideVerdict]:
    """The latest statement of the ingests, by image; several of one time contradict each other."""
    verdicts: dict[str, _SideVerdict] = {}
    numbered = usable.append_column("position", pa.array(range(usable.num_rows), pa.int64()))
    for row in _statements(numbered.filter(pc.invert(_is_changing(numbered)))):
        verdict = verdicts.get(row.sha256)
        if verdict is None or verdict.at != row.at:
            verdict = verdicts[row.sha256] = _SideVerdict(row.position, row.at, row.labels)
        verdict.position, verdict.labels, verdict.withdrawn = (
            row.position,
            row.labels,
            row.cancelled,
        )
        if not row.cancelled:
            verdict.key_by_labels.setdefault(row.labels, row.key)
            verdict.conflict = SAME_TIME if len(verdict.key_by_labels) > 1 else ""
    return verdicts


def _statements(rows: pa.Table) -> Iterator[Statement]:
    """The rows as :class:`Statement` objects."""
    # Column by column: Arrow makes a million dates and lists slowly.
    count = rows.num_rows
    known: dict[tuple[str, ...], LabelSet] = {}
    labels = (tuple(given) for given in rows["labels"].to_pylist())
    return map(
        Statement,
        rows["sha256"].to_pylist(),
        rows["annotator"].to_pylist(),
        (known.setdefault(given, frozenset(given)) for given in labels),
        rows["snapshot_key"].to_pylist(),
        rows["annotated_at"].cast(pa.int64()).to_pylist(),
        pc.fill_null(rows["cancelled"], False).to_pylist(),
        rows["position"].to_pylist() if "position" in rows.column_names else range(count),
    )


def _is_changing(labels: pa.Table) -> pa.ChunkedArray:
    """Which rows are of an annotation that can change."""
    return pc.fill_null(pc.not_equal(labels["unique_id"], ""), False)


def _snapshot_key(item: tuple[LabelSet, str]) -> str:
    return item[1]


def _newer(annotators: _SideVerdict | None, ingests: _SideVerdict | None) -> _SideVerdict:
    """The newer of the two sides' verdicts on an image; of one time, both if they differ."""
    if annotators is None or ingests is None:
        found = annotators or ingests
        assert found is not None, "the image has one of the two labels"
        return found
    if annotators.at != ingests.at:
        return annotators if annotators.at > ingests.at else ingests
    if ingests.withdrawn or annotators.labels == ingests.labels:
        return annotators
    annotators.key_by_labels = {**ingests.key_by_labels, **annotators.key_by_labels}
    annotators.conflict = annotators.conflict or SAME_TIME
    return annotators


def _conflict_row(usable: pa.Table, sha256: str, verdict: _SideVerdict) -> Mapping[str, object]:
    pair = sorted((sorted(labels), key) for labels, key in verdict.key_by_labels.items())[:2]
    (labels_a, snapshot_a), (labels_b, snapshot_b) = pair
    return {
        "sha256": sha256,
        "labels_a": labels_a,
        "labels_b": labels_b,
        "snapshot_a": snapshot_a,
        "snapshot_b": snapshot_b,
        "annotated_at": usable["annotated_at"][verdict.position].as_py(),
        "different": len(verdict.key_by_labels),
        "reason": verdict.conflict,
    }


def _with_votes(rows: pa.Table, voted: Mapping[int, LabelSet]) -> pa.Table:
    """Replace the labels of rows by the voted ones (by row number)."""
    places = np.array(sorted(voted), np.int64)
    own = rows["labels"].take(pa.array(places)).to_pylist()
    others = {
        place: sorted(voted[place])
        for place, labels in zip(places.tolist(), own, strict=True)
        if voted[place] != set(labels)
    }
    if not others:
        return rows
    index = rows.schema.get_field_index("labels")
    field = rows.schema.field(index)
    chosen = pa.array(list(others.values()), field.type)
    source = np.arange(rows.num_rows)
    source[list(others)] = rows.num_rows + np.arange(len(others))
    column = pa.concat_arrays([flat(rows["labels"]), chosen]).take(pa.array(source))
    return rows.set_column(index, field, column)

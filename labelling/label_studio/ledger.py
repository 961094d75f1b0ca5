"""Snapshots of Label Studio's annotations: those in the store, and those to add.

A key contains image, time, annotation and content, so a listing of keys is enough.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from labelling.label_studio.tasks import DELETED, TaskReading, content_hash
from labelling.labels.snapshots import LABEL_STUDIO_PREFIX, AnnotationSnapshot, epoch_ms

_KEY = re.compile(
    r"(?P<sha256>[0-9a-f]{64})-(?P<ms>\d{13})-(?P<annotation>[0-9a-f]{12})-(?P<content>[0-9a-f]{8})"
)
LABEL_STUDIO_KEY = re.compile(rf"{LABEL_STUDIO_PREFIX}{_KEY.pattern}\.json")
"""Keys of snapshots of Label Studio's annotations."""

_MS = timedelta(milliseconds=1)

MASS_TASKS = 20
"""This many tasks may be deleted at once, however few there are in total."""

SET_BACK = timedelta(minutes=10)
"""A task whose last change is this much older than its known annotation: the server was restored
from a backup. (An import with annotations creates the task some seconds before them.)"""


class KnownSnapshot(NamedTuple):
    """The newest snapshot of an annotation in the store; a newer one sorts higher.

    Attributes:
        ms: its time, in milliseconds since 1970.
        content: ``content_hash`` of it.
        key: its key in the store.
    """

    ms: int
    content: str
    key: str


Ledger = Mapping[str, Mapping[str, KnownSnapshot]]
"""The newest snapshot by image (SHA-256) and annotation (first 12 digits of its ``unique_id``)."""


def label_studio_key(snapshot: AnnotationSnapshot) -> str:
    """Return the key of a snapshot of a Label Studio annotation."""
    return (
        f"{LABEL_STUDIO_PREFIX}{snapshot.sha256}-{epoch_ms(snapshot.annotated_at):013d}-"
        f"{snapshot.unique_id[:12]}-{content_hash(snapshot)}.json"
    )


def read_ledger(
    keys: Iterable[str], images: Collection[str]
) -> dict[str, dict[str, KnownSnapshot]]:
    """Return the newest snapshots of ``images``, read from ``keys``; other keys are ignored."""
    ledger: dict[str, dict[str, KnownSnapshot]] = defaultdict(dict)
    for key in keys:
        found = _KEY.fullmatch(key.removeprefix(LABEL_STUDIO_PREFIX).removesuffix(".json"))
        if found is None or found["sha256"] not in images:
            continue
        known = KnownSnapshot(int(found["ms"]), found["content"], key)
        annotations, annotation = ledger[found["sha256"]], found["annotation"]
        annotations[annotation] = max(known, annotations.get(annotation, known))
    return ledger


def snapshots_to_add(
    reading: TaskReading,
    known: Mapping[str, KnownSnapshot],
    load: Callable[[str], AnnotationSnapshot],
    kept: "Interval | None" = None,
) -> list[AnnotationSnapshot]:
    """Return the snapshots to add to the store for a task.

    Args:
        reading: the task as it is now.
        known: the newest snapshots of its image, by annotation.
        load: returns the snapshot at a key.
        kept: annotations of this interval do not count as deleted: the server has lost them.
    """
    found = [_fresh(snapshot, known.get(snapshot.unique_id[:12])) for snapshot in reading.snapshots]
    fresh = [snapshot for snapshot in found if snapshot is not None]
    present = {snapshot.unique_id[:12] for snapshot in reading.snapshots}
    for annotation, last in known.items():
        if annotation in present or last.content == DELETED:
            continue
        former = load(last.key)
        if _is_of(former, reading) and not (kept and former.annotated_at in kept):
            fresh.append(deletion_snapshot(former, reading.updated_at))
    return fresh


def _is_of(snapshot: AnnotationSnapshot, reading: TaskReading) -> bool:
    """Whether the annotation was made on this task.

    Else it was made on another task of the image, or an earlier task with the same number.
    """
    if (snapshot.project, snapshot.task) != (reading.project, reading.task):
        return False
    # Numbers are used again after a deletion, and on a server that was wiped.
    made = snapshot.created_at or snapshot.annotated_at
    return reading.created_at is None or made >= reading.created_at


def _fresh(snapshot: AnnotationSnapshot, last: KnownSnapshot | None) -> AnnotationSnapshot | None:
    """Return ``snapshot`` if its content is new; ``None`` if not.

    Its time is moved after the known one's, if that is not older.
    """
    if last is None:
        return snapshot
    content, ms = content_hash(snapshot), epoch_ms(snapshot.annotated_at)
    if ms > last.ms:
        return snapshot
    if last.content == DELETED or (ms == last.ms and content != last.content):
        # The annotation is back (from a backup), or was saved twice within a millisecond.
        return snapshot.model_copy(update={"annotated_at": _moment(last.ms) + _MS})
    return None  # known already, or older: the server was restored from a backup


def deletion_snapshot(snapshot: AnnotationSnapshot, at: datetime) -> AnnotationSnapshot:
    """Return the snapshot that records the deletion of an annotation.

    Args:
        snapshot: the annotation's last one.
        at: time of the deletion; 1 ms after ``snapshot``, if that is later.
    """
    return snapshot.model_copy(
        update={
            "annotated_at": max(at, snapshot.annotated_at + _MS),
            "labels": (),
            "cancelled": True,
            "skipped": False,
            "note": "deleted in Label Studio",
        }
    )


@dataclass(frozen=True)
class Interval:
    """Moments after ``start`` and up to ``end``."""

    start: datetime
    end: datetime

    def __contains__(self, moment: datetime) -> bool:
        return self.start < moment <= self.end


class IndexedAnnotation(NamedTuple):
    """An annotation in the label table that is not deleted, and the number of its task."""

    key: str
    sha256: str
    task: int
    created_at: datetime
    annotated_at: datetime


class TaskTimes(NamedTuple):
    """Times of a task's creation and last change, by the server's clock."""

    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Deletions:
    """The result of comparing annotations with the server's tasks.

    Attributes:
        deleted: annotations whose tasks were deleted.
        refusal: why some annotations without a task do not count as deleted; "" for none.
        lost: the interval of annotations that a restored server has lost, from the time of its
            backup to the newest annotation.
        refused: keys to remember, with a share in [0, 1]: of annotations that stay, the share of
            labelled images that was missing with them; 0 if their task exists again.
    """

    deleted: tuple[IndexedAnnotation, ...] = ()
    refusal: str = ""
    lost: Interval | None = None
    refused: Mapping[str, float] = field(default_factory=dict)


def find_deleted(
    annotations: Iterable[IndexedAnnotation],
    tasks: Mapping[tuple[int, str], TaskTimes],
    max_share: float,
    kept: Interval | None = None,
    refused: Mapping[str, float] | None = None,
) -> Deletions:
    """Find the annotations whose task was deleted.

    Args:
        annotations: those of the project that are not deleted.
        tasks: all tasks of the project, by number and image.
        max_share: share of the labelled images, in [0, 1]; if more are missing, it is taken for an
            accident.
        kept: annotations of this interval do not count as deleted: the server has lost them.
        refused: ``Deletions.refused`` of former comparisons; an entry stays refused until
            ``max_share`` reaches its share.
    """
    ours, refused = list(annotations), refused or {}
    known = [(one, _changed(one, tasks)) for one in ours]
    older = [one for one, changed in known if changed and changed < one.annotated_at - SET_BACK]
    if older:
        return Deletions(
            refusal=f"{len(older)} tasks in Label Studio are older than their labels, so it was "
            "restored from a backup: the labels in the store are kept",
            lost=Interval(
                max(task.updated_at for task in tasks.values()),
                max(one.annotated_at for one in ours),
            ),
        )
    missing = [one for one, changed in known if changed is None]
    missing = [one for one in missing if not (kept and one.annotated_at in kept)]
    stay = {one.key for one in missing if refused.get(one.key, 0.0) > max_share}
    # An annotation whose task exists again is not remembered: a later deletion counts as a new one.
    remember = {one.key: 0.0 for one, changed in known if changed and one.key in refused}
    share = _share(missing, ours)
    if len({one.sha256 for one in missing}) > MASS_TASKS and share > max_share:
        remember |= {one.key: share for one in missing if one.key not in stay}
        stay = {one.key for one in missing}
    return Deletions(
        deleted=tuple(one for one in missing if one.key not in stay),
        refusal=_refusal([one for one in missing if one.key in stay], ours),
        refused=remember,
    )


def _changed(one: IndexedAnnotation, tasks: Mapping[tuple[int, str], TaskTimes]) -> datetime | None:
    """Return the time of the last change of the annotation's task; ``None`` if it was deleted.

    A later task with the same number does not count.
    """
    task = tasks.get((one.task, one.sha256))
    return task.updated_at if task and task.created_at <= one.created_at else None


def _share(missing: Iterable[IndexedAnnotation], ours: Iterable[IndexedAnnotation]) -> float:
    """Return the share of images with a missing task, in [0, 1]."""
    images = {one.sha256 for one in ours}
    return len({one.sha256 for one in missing}) / len(images) if images else 0.0


def _refusal(stay: Iterable[IndexedAnnotation], ours: Iterable[IndexedAnnotation]) -> str:
    images, of = {one.sha256 for one in stay}, {one.sha256 for one in ours}
    if not images:
        return ""
    return (
        f"{len(images)} of {len(of)} labelled images have no task in Label Studio any more. This "
        "is probably an accident, so their labels are kept; if it was intended, set "
        "labelling.max_vanished_share to 1 once"
    )


def _moment(ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + ms * _MS

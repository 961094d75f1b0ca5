"""Which snapshots of Label Studio's annotations are in the store, and which must be added.

A key contains image, time, annotation and content, so a listing of keys is enough.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from labelling.label_studio.tasks import TAKEN_BACK, TaskReading, content_hash
from labelling.labels.snapshots import LABEL_STUDIO_PREFIX, AnnotationSnapshot, epoch_ms

_KEY = re.compile(
    r"(?P<sha256>[0-9a-f]{64})-(?P<ms>\d{13})-(?P<of>[0-9a-f]{12})-(?P<says>[0-9a-f]{8})"
)
LABEL_STUDIO_KEY = re.compile(rf"{LABEL_STUDIO_PREFIX}{_KEY.pattern}\.json")
"""Keys that tell what is in them."""

_MS = timedelta(milliseconds=1)

MASS_TASKS = 20
"""This many tasks may be deleted at once, however few there are in total."""

SET_BACK = timedelta(minutes=10)
"""A task whose last change is this much older than its known annotation: the server was restored
from a backup. (An import with annotations creates the task some seconds before them.)"""


class Known(NamedTuple):
    """The newest snapshot of an annotation in the store; the newest sorts highest."""

    ms: int
    says: str
    key: str


Ledger = Mapping[str, Mapping[str, Known]]
"""By image and annotation (the first 12 digits of its ``unique_id``): its newest snapshot."""


def label_studio_key(snapshot: AnnotationSnapshot) -> str:
    """The key of a snapshot of a Label Studio annotation."""
    return (
        f"{LABEL_STUDIO_PREFIX}{snapshot.sha256}-{epoch_ms(snapshot.annotated_at):013d}-"
        f"{snapshot.unique_id[:12]}-{content_hash(snapshot)}.json"
    )


def read_ledger(keys: Iterable[str], images: Collection[str]) -> dict[str, dict[str, Known]]:
    """The newest snapshots of ``images`` according to ``keys``; keys of another form are
    ignored."""
    ledger: dict[str, dict[str, Known]] = defaultdict(dict)
    for key in keys:
        found = _KEY.fullmatch(key.removeprefix(LABEL_STUDIO_PREFIX).removesuffix(".json"))
        if found is None or found["sha256"] not in images:
            continue
        known = Known(int(found["ms"]), found["says"], key)
        of = ledger[found["sha256"]]
        of[found["of"]] = max(known, of.get(found["of"], known))
    return ledger


def news(
    reading: TaskReading,
    known: Mapping[str, Known],
    load: Callable[[str], AnnotationSnapshot],
    kept: "Interval | None" = None,
) -> list[AnnotationSnapshot]:
    """The snapshots to add to the store for a task.

    Args:
        reading: the task as it is now.
        known: the newest snapshots of its image, by annotation.
        load: gives the snapshot at a key.
        kept: annotations from this interval are not taken back: the server has lost them.
    """
    found = [_fresh(snapshot, known.get(snapshot.unique_id[:12])) for snapshot in reading.snapshots]
    fresh = [snapshot for snapshot in found if snapshot is not None]
    there = {snapshot.unique_id[:12] for snapshot in reading.snapshots}
    for annotation, last in known.items():
        if annotation in there or last.says == TAKEN_BACK:
            continue
        gone = load(last.key)
        if _is_of(gone, reading) and not (kept and gone.annotated_at in kept):
            fresh.append(taken_back(gone, reading.updated_at))
    return fresh


def _is_of(snapshot: AnnotationSnapshot, reading: TaskReading) -> bool:
    """Whether the annotation was made on this task, not on another task of the image or an earlier
    task with the same number."""
    if (snapshot.project, snapshot.task) != (reading.project, reading.task):
        return False
    # Numbers are used again after a deletion, and on a server that was wiped.
    made = snapshot.created_at or snapshot.annotated_at
    return reading.created_at is None or made >= reading.created_at


def _fresh(snapshot: AnnotationSnapshot, last: Known | None) -> AnnotationSnapshot | None:
    """``snapshot`` if its content is new, with a later time if the known one is not older; else
    ``None``."""
    if last is None:
        return snapshot
    says, ms = content_hash(snapshot), epoch_ms(snapshot.annotated_at)
    if ms > last.ms:
        return snapshot
    if last.says == TAKEN_BACK or (ms == last.ms and says != last.says):
        # The annotation is back (from a backup), or was saved twice within a millisecond.
        return snapshot.model_copy(update={"annotated_at": _moment(last.ms) + _MS})
    return None  # known already, or older: the server was restored from a backup


def taken_back(snapshot: AnnotationSnapshot, at: datetime) -> AnnotationSnapshot:
    """The snapshot that takes an annotation back, at ``at`` or 1 ms after its last snapshot if that
    is later."""
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


class Standing(NamedTuple):
    """An annotation in the label table that was not taken back, and its task in Label Studio."""

    key: str
    sha256: str
    task: int
    created_at: datetime
    annotated_at: datetime


class TaskTimes(NamedTuple):
    """When a task was created and when it last changed, by the server's clock."""

    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Vanished:
    """The result of comparing annotations with the server's tasks.

    Attributes:
        gone: annotations whose tasks were deleted.
        refusal: why some annotations without a task are not taken back.
        forgotten: the server was restored to the state at ``start``; it had known annotations up to
            ``end``.
        refused: keys to remember: of annotations that stay, with the share of labelled images that
            was missing with them; 0 for those whose task is there again.
    """

    gone: tuple[Standing, ...] = ()
    refusal: str = ""
    forgotten: Interval | None = None
    refused: Mapping[str, float] = field(default_factory=dict)


def vanished(
    standing: Iterable[Standing],
    tasks: Mapping[tuple[int, str], TaskTimes],
    max_share: float,
    kept: Interval | None = None,
    refused: Mapping[str, float] | None = None,
) -> Vanished:
    """Find the annotations whose task was deleted.

    Args:
        standing: the annotations of the project that were not taken back.
        tasks: all tasks of the project, by number and image.
        max_share: share of the labelled images, 0 to 1; if more are missing, it is an accident.
        kept: annotations from this interval are not taken back: the server has lost them.
        refused: what former comparisons remembered (:attr:`Vanished.refused`); an entry stays
            refused until ``max_share`` reaches its share.
    """
    ours, refused = list(standing), refused or {}
    known = [(one, _changed(one, tasks)) for one in ours]
    older = [one for one, changed in known if changed and changed < one.annotated_at - SET_BACK]
    if older:
        return Vanished(
            refusal=f"{len(older)} tasks are older in Label Studio than the labels that came of "
            "them, so it was restored from a backup: the labels in the store stay",
            forgotten=Interval(
                max(task.updated_at for task in tasks.values()),
                max(one.annotated_at for one in ours),
            ),
        )
    missing = [one for one, changed in known if changed is None]
    missing = [one for one in missing if not (kept and one.annotated_at in kept)]
    stay = {one.key for one in missing if refused.get(one.key, 0.0) > max_share}
    # An annotation whose task is back is forgotten here: a later deletion counts as a new one.
    remember = {one.key: 0.0 for one, changed in known if changed and one.key in refused}
    share = _share(missing, ours)
    if len({one.sha256 for one in missing}) > MASS_TASKS and share > max_share:
        remember |= {one.key: share for one in missing if one.key not in stay}
        stay = {one.key for one in missing}
    return Vanished(
        gone=tuple(one for one in missing if one.key not in stay),
        refusal=_refusal([one for one in missing if one.key in stay], ours),
        refused=remember,
    )


def _changed(one: Standing, tasks: Mapping[tuple[int, str], TaskTimes]) -> datetime | None:
    """When the annotation's task last changed; ``None`` if it was deleted, even if its number is
    used again."""
    task = tasks.get((one.task, one.sha256))
    return task.updated_at if task and task.created_at <= one.created_at else None


def _share(missing: Iterable[Standing], ours: Iterable[Standing]) -> float:
    """The share of images with a missing task, 0 to 1."""
    images = {one.sha256 for one in ours}
    return len({one.sha256 for one in missing}) / len(images) if images else 0.0


def _refusal(stay: Iterable[Standing], ours: Iterable[Standing]) -> str:
    images, of = {one.sha256 for one in stay}, {one.sha256 for one in ours}
    if not images:
        return ""
    return (
        f"{len(images)} of {len(of)} labelled images have no task in Label Studio any more. That "
        "looks like an accident, so their labels stay; if it was meant, set "
        "labelling.max_vanished_share to 1 for once"
    )


def _moment(ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + ms * _MS

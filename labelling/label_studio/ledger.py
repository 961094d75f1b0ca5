"""Which snapshots of Label Studio's annotations are in the store, and which are to be added.

A key alone tells image, time, annotation and content, so a listing is enough to see what is known.
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
"""So many tasks may be gone at once, however few there were."""

SET_BACK = timedelta(minutes=10)
"""A task that was last changed so long before what we know of it: the server is a restored one.
(An import that brings annotations makes the task some seconds before them.)"""


class Known(NamedTuple):
    """The newest snapshot of an annotation that the store has; the last one sorts highest."""

    ms: int
    says: str
    key: str


Ledger = Mapping[str, Mapping[str, Known]]
"""Image to annotation (the first 12 digits of its ``unique_id``) to what is known of it."""


def label_studio_key(snapshot: AnnotationSnapshot) -> str:
    """Where a snapshot of an annotation of Label Studio lies."""
    return (
        f"{LABEL_STUDIO_PREFIX}{snapshot.sha256}-{epoch_ms(snapshot.annotated_at):013d}-"
        f"{snapshot.unique_id[:12]}-{content_hash(snapshot)}.json"
    )


def read_ledger(keys: Iterable[str], images: Collection[str]) -> dict[str, dict[str, Known]]:
    """What is known of ``images`` by ``keys``; keys of another kind are passed over."""
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
    """The snapshots that are to be added to what is known of a task's image.

    Args:
        reading: the task as it is now.
        known: of its image.
        load: gives the snapshot at a key.
        kept: what was said then is not taken back: the server has forgotten it.
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
    """Whether it was said on this task. The image may have another one, here or in a project from
    before; or had one of the same numbers, on a server that was wiped, or before it was deleted."""
    if (snapshot.project, snapshot.task) != (reading.project, reading.task):
        return False
    made = snapshot.created_at or snapshot.annotated_at
    return reading.created_at is None or made >= reading.created_at


def _fresh(snapshot: AnnotationSnapshot, last: Known | None) -> AnnotationSnapshot | None:
    """``snapshot`` if it says something new; later than what is known, if that has to be."""
    if last is None:
        return snapshot
    says, ms = content_hash(snapshot), epoch_ms(snapshot.annotated_at)
    if ms > last.ms:
        return snapshot
    if last.says == TAKEN_BACK or (ms == last.ms and says != last.says):
        # Back again (from a backup), or two saves within a millisecond.
        return snapshot.model_copy(update={"annotated_at": _moment(last.ms) + _MS})
    return None  # known; or older than what is known: a server that was set back


def taken_back(snapshot: AnnotationSnapshot, at: datetime) -> AnnotationSnapshot:
    """The snapshot that takes an annotation back, at ``at`` or right after what it said last."""
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
    """Moments after ``start``, and not after ``end``."""

    start: datetime
    end: datetime

    def __contains__(self, moment: datetime) -> bool:
        return self.start < moment <= self.end


class Standing(NamedTuple):
    """A standing annotation that the label table has, and where Label Studio had it."""

    key: str
    sha256: str
    task: int
    created_at: datetime
    annotated_at: datetime


class TaskTimes(NamedTuple):
    """When a task was made, and when it changed last; by the server's clock."""

    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Vanished:
    """What a comparison with the server's tasks came to.

    ``gone``: their tasks were deleted. ``refusal``: why not all are taken back whose tasks are
    missing. ``forgotten``: the server was set back to ``start``, and had known until ``end``.
    ``refused``: keys of those that stay, to the share of labelled images that was missing with
    them, where that is to be remembered; 0: the task is there again, and that is to be.
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
    """Which standing annotations have lost their task.

    Args:
        standing: those of the project.
        tasks: by task and image, all tasks of the project.
        max_share: if more of the labelled images than this are gone, that is no deletion.
        kept: what was said then is not taken back: the server has forgotten it.
        refused: what former comparisons came to (:attr:`Vanished.refused`). It stays until
            ``max_share`` is as much as was missing then: the share alone shrinks as people label.
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
    # Of what has its task again nothing is remembered: should that go, it is another matter.
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
    """When its task changed last; ``None`` if that is gone, even if its number is used again."""
    task = tasks.get((one.task, one.sha256))
    return task.updated_at if task and task.created_at <= one.created_at else None


def _share(missing: Iterable[Standing], ours: Iterable[Standing]) -> float:
    """Of images, in [0, 1]."""
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

"""Polling Label Studio: changes since the last poll become snapshots in the store.

Every change is read twice, at once and again later, as some changes are saved in between.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow.compute as pc
from pydantic import AwareDatetime, BaseModel, ConfigDict

from assets.annotations.label_index import labels_table
from assets.annotations.label_studio_refusals import Refusals
from assets.policies import LabellingPolicy
from labelling.label_studio.ledger import (
    IndexedAnnotation,
    Interval,
    TaskTimes,
    deletion_snapshot,
    find_deleted,
    label_studio_key,
    read_ledger,
    snapshots_to_add,
)
from labelling.label_studio.tasks import TaskError, TaskReading, read_task
from labelling.labels.consensus import newest_snapshots
from labelling.labels.snapshots import (
    LABEL_STUDIO_PREFIX,
    AnnotationSnapshot,
    SnapshotError,
    parse_snapshot,
)
from labelling.labels.table import snapshot_of
from object_store.contents.damage import DamagedObject
from object_store.store import ObjectStore
from object_store.transfer import at_once, workers
from resources.label_studio.client import LabelStudioClient
from resources.label_studio.types import LabelStudioRefused, Project

TICK_TASKS = 500
TICK_S = 10.0
"""Seconds of a tick after which no further tasks are requested; Dagster allows 60."""

RECONCILE_TASKS = 10_000
"""Tasks that are checked for deletion in a tick, which takes a few seconds."""

LOOKUPS = 16
"""Images that a bucket is asked about at once: the number of connections kept open to it."""

TICK_DELETIONS = 20
"""Withdrawn tasks that are deleted in a tick, at about 0.1 s each; the queue's run deletes more."""

_EVERYTHING = 1_000_000_000
_NEXT = timedelta(microseconds=1)
_COLUMNS = (
    "snapshot_key", "sha256", "annotated_at", "created_at", "cancelled", "unique_id", "project", "task",
)  # fmt: skip

Warn = Callable[[str], object]


class PollCursor(BaseModel):
    """How far the changes of a project were read, in its server's time. A project is its number and
    ``created_at``: a server that was wiped begins again with number 1. ``read_to``: all up to here
    once. ``settled_to``: twice; ``settle_to`` is next, at ``settle_at`` (our clock, s).
    ``reconciled_to``: tasks up to this number were looked for. ``note``: what a person should know.
    ``unindexed``: snapshots were written, and ``annotations`` was not asked for yet."""

    model_config = ConfigDict(extra="ignore")

    project: int | None = None
    created_at: AwareDatetime | None = None
    read_to: AwareDatetime | None = None
    settled_to: AwareDatetime | None = None
    settle_to: AwareDatetime | None = None
    settle_at: float = 0.0
    reconciled_at: float = 0.0
    reconciled_to: int = 0
    kept_after: AwareDatetime | None = None
    kept_until: AwareDatetime | None = None
    note: str = ""
    unindexed: bool = False

    def begin(self, project: Project) -> str:
        """Continue with ``project``, or start again if it is another one.

        Snapshots of the former project are kept.

        Returns:
            A message for the user if the project changed; otherwise empty.
        """
        same_time = self.created_at in (
            None,
            project.created_at,
        )  # None: the cursor of an earlier version
        before, self.created_at = self.project, project.created_at
        if before == project.id and same_time:
            return ""
        begun = PollCursor(
            project=project.id,
            created_at=project.created_at,
            reconciled_at=time.time(),
            unindexed=self.unindexed,
        )
        for name, value in begun:
            setattr(self, name, value)
        if before is None:
            return ""
        return (
            f"project {project.id} of Label Studio, made at {project.created_at:%Y-%m-%d %H:%M} "
            f"UTC, is another one than project {before} that was read until now; the labels from "
            "that one are kept"
        )

    @property
    def kept(self) -> Interval | None:
        """Statements of this interval are not withdrawn: the server was restored and has lost them."""
        if self.kept_after is None or self.kept_until is None:
            return None
        return Interval(self.kept_after, self.kept_until)


@dataclass
class Poll:
    """One poll of a project; created by :func:`poll`."""

    label_studio: LabelStudioClient
    store: ObjectStore
    cursor: PollCursor
    policy: LabellingPolicy
    warn: Warn
    shown_version: str = ""

    def read_changes(self) -> None:
        """Read new changes, then read settled ones for the second time."""
        cursor, begun = self.cursor, time.monotonic()
        cursor.read_to, more = self._read(cursor.read_to, None)
        while more and time.monotonic() - begun < TICK_S:
            cursor.read_to, more = self._read(cursor.read_to, None)
        if cursor.settle_to is None:
            if cursor.read_to != cursor.settled_to:
                cursor.settle_to = cursor.read_to
                cursor.settle_at = time.time() + self.policy.poll_overlap_s
        elif not more and time.time() >= cursor.settle_at:
            reached, more = self._read(cursor.settled_to, cursor.settle_to)
            cursor.settled_to = reached if more else cursor.settle_to
            cursor.settle_to = cursor.settle_to if more else None

    def _read(self, after: datetime | None, until: datetime | None) -> tuple[datetime | None, bool]:
        """Read changes after ``after``, up to ``until``.

        Returns:
            The time of the last change that was read, and whether there are more.
        """
        tasks: list[dict[str, Any]] = []
        reached, more = after, False
        since = after + _NEXT if after else None
        for raw in self.label_studio.tasks.changed_since(since, limit=_EVERYTHING):
            moved = datetime.fromisoformat(raw["updated_at"])
            if until is not None and moved > until:
                break
            if (
                len(tasks) >= TICK_TASKS and moved != reached
            ):  # never between changes of the same time
                more = True
                break
            tasks.append(raw)
            reached = moved
        self._store_changes(list(self._readings(tasks)))
        return reached, more

    def _store_changes(self, readings: Sequence[TaskReading]) -> None:
        if not readings:
            return
        images = {reading.sample_id for reading in readings}
        ledger = read_ledger(_known_keys(self.store, images), images)
        fresh: list[AnnotationSnapshot] = []
        for reading in readings:
            known = ledger.get(reading.sample_id, {})
            fresh += snapshots_to_add(reading, known, self._load, self.cursor.kept)
        self._write(fresh)

    def _readings(self, tasks: Iterable[dict[str, Any]]) -> Iterator[TaskReading]:
        for raw in tasks:
            try:
                reading = read_task(raw, self.shown_version)
            except TaskError as error:
                self.warn(str(error))
                continue
            for problem in reading.problems:
                self.warn(problem)
            yield reading

    def reconcile(self) -> None:
        """Record the deletion of tasks, among the next ``RECONCILE_TASKS``: their labels are withdrawn."""
        cursor = self.cursor
        first, last = cursor.reconciled_to, 0
        if not first:
            cursor.note = ""
            self._tend_withdrawn()
        annotations = [one for one in _indexed_annotations(self.store, cursor) if one.task > first]
        if annotations:
            found = self.label_studio.tasks.list_refs(after=first, limit=RECONCILE_TASKS)
            last = found[-1].id if len(found) == RECONCILE_TASKS else 0
            tasks = {
                (task.id, task.sample_id): TaskTimes(task.created_at, task.updated_at)
                for task in found
            }
            self._record_deletions(
                [one for one in annotations if not last or one.task <= last], tasks
            )
        cursor.reconciled_to = last
        if not last:
            cursor.reconciled_at = time.time()

    def _tend_withdrawn(self) -> None:
        """Restore withdrawn tasks that somebody saved an annotation on; they are read as new changes."""
        try:
            self.label_studio.withdrawals.tend(deletions=TICK_DELETIONS)
        except LabelStudioRefused as error:  # polling works without it
            self.warn(str(error))

    def _record_deletions(
        self, annotations: Sequence[IndexedAnnotation], tasks: Mapping[tuple[int, str], TaskTimes]
    ) -> None:
        cursor, refusals = self.cursor, Refusals(self.store)
        found = find_deleted(
            annotations, tasks, self.policy.max_vanished_share, cursor.kept, refusals.read()
        )
        refusals.add(found.refused)
        cursor.note = cursor.note or found.refusal
        if found.lost is not None:
            starts = [found.lost.start, cursor.kept_after or found.lost.start]
            cursor.kept_after, cursor.kept_until = min(starts), found.lost.end
        gone = (self._load(one.key) for one in found.deleted)
        self._write([deletion_snapshot(snapshot, snapshot.annotated_at) for snapshot in gone])

    def _load(self, key: str) -> AnnotationSnapshot:
        """Read the snapshot at ``key``; of a damaged one, what the label table has of it."""
        try:
            return parse_snapshot(self.store.get(key), key)
        except SnapshotError as error:
            self.warn(f"{error}; the row in the label table is used instead")
            rows = labels_table(self.store).read()
            found = rows.filter(pc.equal(rows["snapshot_key"], key)).to_pylist()
            if not found or found[-1]["status"] == "rejected":
                raise DamagedObject(key, "no annotation snapshot", self.store.url) from None
            return snapshot_of(found[-1])

    def _write(self, snapshots: Sequence[AnnotationSnapshot]) -> None:
        def write(snapshot: AnnotationSnapshot) -> bool:
            return self.store.create(label_studio_key(snapshot), snapshot.to_json())

        written = sum(at_once(write, snapshots, threads=workers(self.store)))
        self.cursor.unindexed |= written > 0


def poll(
    label_studio: LabelStudioClient,
    store: ObjectStore,
    cursor: PollCursor,
    policy: LabellingPolicy,
    warn: Warn,
) -> None:
    """Write the project's changes to the store, as far as a tick allows, and advance ``cursor``.

    Idempotent: a repetition from an older cursor, or none, writes nothing twice.

    Args:
        label_studio: connection to the server and its project.
        store: gets the snapshots.
        cursor: progress of the last poll; changed in place.
        policy: intervals of the second reading and of reconciliation, share of deleted tasks.
        warn: called with each message for the user.

    Raises:
        LabelStudioError: the server is down, refuses the token or has no such project. What was
            read before is kept, and nothing is taken for deleted.
    """
    project = label_studio.project.read()
    if another := cursor.begin(project):
        warn(another)
    # The cursor is about this project, even if another gets its title meanwhile.
    same_project = label_studio.to_project(project.id)
    current = Poll(same_project, store, cursor, policy, warn, project.model_version)
    if not 0 <= time.time() - cursor.reconciled_at < policy.reconcile_every_s:
        current.reconcile()
    current.read_changes()


def _known_keys(store: ObjectStore, images: Collection[str]) -> list[str]:
    """Return the keys of the snapshots of ``images``, and possibly of others."""
    # A bucket is asked for each image: a listing of, say, 300,000 snapshots takes longer than a
    # tick may.
    if not store.is_bucket:
        keys: list[str] = store.list_table(LABEL_STUDIO_PREFIX)["key"].to_pylist()
        return keys

    def list_image(image: str) -> list[str]:
        return [info.key for info in store.named(LABEL_STUDIO_PREFIX, f"{image}-")]

    return [key for found in at_once(list_image, images, threads=LOOKUPS) for key in found]


def _indexed_annotations(store: ObjectStore, cursor: PollCursor) -> list[IndexedAnnotation]:
    """Return the project's annotations in the label table that are not withdrawn.

    Those of an earlier project with the same number are left out.
    """
    rows = newest_snapshots(labels_table(store).read(list(_COLUMNS))).to_pylist()
    found = [
        IndexedAnnotation(
            row["snapshot_key"],
            row["sha256"],
            row["task"],
            row["created_at"] or row["annotated_at"],
            row["annotated_at"],
        )
        for row in rows
        if row["project"] == cursor.project and cursor.project is not None and not row["cancelled"]
    ]
    return [one for one in found if not cursor.created_at or one.created_at >= cursor.created_at]

"""Bring images and their labels into the store: checked, create-only, resumable at any point."""

import os
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Literal

from assets.policies import IngestionPolicy
from labelling.containers import Rejection
from labelling.schema import LabelSchema
from labelling.snapshots import (
    INGESTED_PREFIX,
    AnnotationSnapshot,
    SnapshotError,
    epoch_ms,
    ingested_key,
    labels_hash,
    parse_ingested_key,
)
from labelling.sources import SourceItem, open_source
from resources.listing import ObjectInfo
from resources.object_store import ObjectStore
from resources.store_errors import InvalidKey
from resources.transfer import Progress, at_once, holds, workers
from training.images import ImageRejected, inspect

RAW_PREFIX = "raw/"


@dataclass
class IngestReport:
    """What became of a source. ``new`` and ``known`` count images, ``labelled`` the labels
    written (new or changed), ``rejected`` holds (name, reason); ``seconds`` is wall time."""

    new: int = 0
    known: int = 0
    labelled: int = 0
    rejected: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0


def ingest(
    source: Path,
    *,
    store: ObjectStore,
    policy: IngestionPolicy,
    schema: LabelSchema,
    on_progress: Progress | None = None,
    annotator: str = "ingest",
) -> IngestReport:
    """Copy every readable image of ``source`` to ``raw/<source>/`` and its labels to
    ``annotations/ingested/``.

    Doing it again changes nothing, and doing it again after a kill does what is left. A file
    that is no image, or whose labels the schema does not allow, is rejected by name and the
    rest goes on.

    Args:
        source: what ``labelling.sources.open_source`` understands.
        store: an object store that has been set up.
        on_progress: called with (files done, files in all) after every file.
        annotator: who the labels are recorded as coming from.

    Raises:
        SourceError: the source as a whole cannot be read.
        StoreError: the store cannot be written; what was written is complete, and counts.
    """
    begun = time.monotonic()
    opened = open_source(source)
    prefix = f"{RAW_PREFIX}{opened.stem}/"
    there = {item.key: item for item in store.list(prefix)}
    ledger = _Ledger(store, annotator=annotator, note=f"ingest of {opened.stem}")
    intake = _Intake(store, policy, schema, prefix, there, ledger)
    report = IngestReport()
    items = opened.items(max_file_bytes=int(policy.max_file_mb * 1e6))
    outcomes = at_once(intake.take, items, threads=workers(store), weigh=_weight, ahead=16)
    for done, outcome in enumerate(outcomes, start=1):
        if isinstance(outcome, Rejection):
            report.rejected.append((outcome.name, outcome.reason))
        elif outcome == "new":
            report.new += 1
        else:
            report.known += 1
        if on_progress is not None:
            on_progress(done, max(opened.count, done))
    ledger.finish()
    report.labelled = ledger.written
    report.seconds = time.monotonic() - begun
    return report


Outcome = Literal["new", "known"] | Rejection


def _weight(item: SourceItem | Rejection) -> int:
    return 0 if isinstance(item, Rejection) else len(item.data)


class _Intake:
    """Takes one file at a time; used by several threads."""

    def __init__(
        self,
        store: ObjectStore,
        policy: IngestionPolicy,
        schema: LabelSchema,
        prefix: str,
        there: dict[str, ObjectInfo],
        ledger: "_Ledger",
    ) -> None:
        self._store, self._policy, self._schema = store, policy, schema
        self._prefix, self._there, self._ledger = prefix, there, ledger
        # Many may be sent at once; a decoded image takes 400 MB at worst.
        self._decoding = threading.Semaphore(2 * (os.cpu_count() or 1))

    def take(self, item: SourceItem | Rejection) -> Outcome:
        """Check and store one image, then its labels."""
        if isinstance(item, Rejection):
            return item
        problem = self._schema.problem(item.labels) if item.labels is not None else None
        if problem:
            return Rejection(item.name, problem)
        try:
            with self._decoding:
                sha256 = inspect(item.data, max_pixels=self._policy.max_pixels).sha256
            key, is_new = self._put(item, sha256)
        except (ImageRejected, InvalidKey) as error:
            return Rejection(item.name, str(error))
        if item.labels is not None:
            self._ledger.say(sha256, item.labels, key)
        return "new" if is_new else "known"

    def _put(self, item: SourceItem, sha256: str) -> tuple[str, bool]:
        """The key of the image, and whether this call made it. A name that other bytes have
        gets the image's hash into it: keys are never rewritten."""
        path = PurePosixPath(item.name)
        for name in (item.name, str(path.with_name(f"{path.stem}-{sha256[:8]}{path.suffix}"))):
            key = self._prefix + name
            if key not in self._there and self._store.create(key, item.data):
                return key, True
            if holds(self._store, key, item.data, self._there.get(key)):
                return key, False
        raise InvalidKey(f"{key} is taken by another image")


class _Ledger:
    """The labels that ingests wrote, and what this one has to add.

    Once an ingest is through, the newest labels of an image are exactly those that its source
    gives it. If the source contradicts itself, all its labels bear the same time, which is
    what ``labelling.conflicts`` looks for, also if a killed run had written one of them before.
    """

    def __init__(self, store: ObjectStore, *, annotator: str, note: str) -> None:
        self._store, self._annotator, self._note = store, annotator, note
        self._lock = threading.Lock()
        self._newest: dict[str, tuple[int, frozenset[str]]] = {}
        self._said: dict[str, dict[str, tuple[tuple[str, ...], str]]] = defaultdict(dict)
        self.written = 0
        for item in store.list(INGESTED_PREFIX):
            self._recall(item.key)
        latest = max((moment for moment, _ in self._newest.values()), default=0)
        now = max(epoch_ms(datetime.now(UTC)), latest + 1)  # newer, even if the clock went back
        self._now = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=now)

    def _recall(self, key: str) -> None:
        try:
            sha256, moment, digest = parse_ingested_key(key)
        except SnapshotError:
            return  # somebody else's file: `annotations` says what is wrong with it
        newest, digests = self._newest.get(sha256, (0, frozenset[str]()))
        if moment > newest:
            self._newest[sha256] = (moment, frozenset({digest}))
        elif moment == newest:
            self._newest[sha256] = (moment, digests | {digest})

    def say(self, sha256: str, labels: tuple[str, ...], key: str) -> None:
        """The source gives an image these labels."""
        with self._lock:
            said = self._said[sha256]
            said.setdefault(labels_hash(labels), (labels, key))
            newest = self._newest.get(sha256, (0, frozenset[str]()))[1]
            snapshots = [] if said.keys() <= newest else self._snapshots(sha256)
        self._write(snapshots)

    def finish(self) -> None:
        """The source is through: take back what it no longer says."""
        for sha256, said in self._said.items():
            if said.keys() != self._newest[sha256][1]:
                self._write(self._snapshots(sha256))

    def _snapshots(self, sha256: str) -> list[AnnotationSnapshot]:
        said = self._said[sha256]
        self._newest[sha256] = (epoch_ms(self._now), frozenset(said))
        return [
            AnnotationSnapshot(
                sha256=sha256,
                labels=labels,
                annotator=self._annotator,
                source="ingest",
                annotated_at=self._now,
                annotation_id=key,
                note=self._note,
            )
            for labels, key in said.values()
        ]

    def _write(self, snapshots: list[AnnotationSnapshot]) -> None:
        for snapshot in snapshots:
            if self._store.create(ingested_key(snapshot), snapshot.to_json()):
                with self._lock:
                    self.written += 1

"""Bring images and their labels into the store: checked, create-only, resumable at any point."""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from assets.annotations.label_names import LabelNames, label_names
from assets.policies import IngestionPolicy
from imgclf_dagster.ingest.changes import LabelChange
from imgclf_dagster.ingest.labels import LabelLedger
from imgclf_dagster.ingest.listing import ListedObjects
from imgclf_dagster.ingest.readings import ReadAs, read_by_present_names
from imgclf_dagster.ingest.scratch import Duplicates, Scratch
from imgclf_dagster.ingest.splits import SplitRecorder, Taken
from labelling.labels.schema import LabelSchema
from labelling.sources.containers.containers import Rejection, SourceError
from labelling.sources.containers.litter import key_of_data, litter
from labelling.sources.items import SourceItem, item_count, source_items
from labelling.sources.reading import Reading
from resources.store.errors import InvalidKey
from resources.store.listing import key_flaw
from resources.store.object_store import ObjectStore
from resources.store.transfer import Progress, at_once, holds, workers
from training.images.images import ImageRejected, inspect

RAW_PREFIX = "raw/"
SHOWN_DUPLICATES = 10
LABELS_AT_ONCE = 100
"""Images whose labels are written together, soon after them: meanwhile the line takes them for
unlabelled."""

SPLITS_AT_ONCE = 2000
"""The same with splits, each record of which is a part of a table."""


@contextmanager
def only_ingest(run_dir: Path, say: Callable[[str], object]) -> Iterator[None]:
    """Be the only ingest of a home while the block lasts; wait for another one, and say so.

    Two at once would not see each other's labels, and write every one of them again. The system
    frees the lock of one that is killed. Ingests of several machines into one bucket do not wait
    for each other: what they then write more often says the same.

    Args:
        run_dir: the home's folder of locks.
        say: told that there is another one.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run_dir / "ingest.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(
            f"another ingest is running in {run_dir.parent}: waiting for it to end, so that no "
            "label is written twice (Ctrl-C gives up)"
        )
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@dataclass
class IngestReport:
    """What became of a source.

    Attributes:
        new: images that came in.
        known: images that were there.
        labelled: labels written, new or changed.
        images: different images that were taken: files of the same bytes are one.
        classes: different images by the class that they count as.
        read_as: labels that count as another class than they say.
        negatives: images that are said to have none of the labels.
        unlabelled: images that come without labels.
        rejected: name and reason of what was not taken.
        changed: which labels of earlier ingests this one changed.
        doubled: files of which an earlier file of the source has the same bytes.
        duplicates: the first groups of such files, those that contradict one another before others.
        contradictions: groups whose files are labelled differently.
        splits_kept: images whose given split was recorded, new or changed.
        split_conflicts: images that the source gives to two splits.
        seconds: wall time.
    """

    new: int = 0
    known: int = 0
    labelled: int = 0
    images: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    read_as: list[ReadAs] = field(default_factory=list)
    negatives: int = 0
    unlabelled: int = 0
    rejected: list[tuple[str, str]] = field(default_factory=list)
    changed: list[LabelChange] = field(default_factory=list)
    doubled: int = 0
    duplicates: list[Duplicates] = field(default_factory=list)
    contradictions: int = 0
    splits_kept: int = 0
    split_conflicts: list[str] = field(default_factory=list)
    seconds: float = 0.0


def ingest(
    reading: Reading,
    *,
    store: ObjectStore,
    policy: IngestionPolicy,
    schema: LabelSchema,
    on_progress: Progress | None = None,
    annotator: str = "ingest",
    keep_splits: bool = False,
) -> IngestReport:
    """Copy every readable image of a source to ``raw/<source>/`` and its labels to
    ``annotations/ingested/``.

    Doing it again changes nothing, and doing it again after a kill does what is left. A file
    that is no image, or whose labels the schema does not allow, is rejected by name and the
    rest goes on.

    Args:
        reading: what ``labelling.sources.read.read_source`` understood, without doubts.
        store: an object store that has been set up.
        on_progress: called with (files done, files in all) after every file.
        annotator: who the labels are recorded as coming from.
        keep_splits: whether the splits that the source gives are recorded for the data set.

    Raises:
        SourceError: something is still to be decided, or the source cannot be read.
        StoreError: the store cannot be written; what was written is complete, and counts.
    """
    if reading.doubts:
        raise SourceError("; ".join(doubt.question for doubt in reading.doubts))
    begun = time.monotonic()
    with closing(Scratch()) as scratch:
        names = label_names(store, schema)
        ledger = LabelLedger(store, scratch, names, annotator, note=f"ingest of {reading.stem}")
        keeper = SplitRecorder(store, scratch, reading) if keep_splits else None
        intake = _Intake(store, policy, names, f"{RAW_PREFIX}{reading.stem}/")
        size = SPLITS_AT_ONCE if keeper else LABELS_AT_ONCE
        report = IngestReport()
        items = source_items(reading, max_file_bytes=int(policy.max_file_mb * 1e6))
        count = item_count(reading)
        outcomes = at_once(intake.take, items, threads=workers(store), weigh=_weight, ahead=16)
        batch: list[Taken] = []
        for done, outcome in enumerate(outcomes, start=1):
            _count(report, outcome)
            if isinstance(outcome, Taken):
                batch.append(outcome)
            if len(batch) == size:
                _say(batch, scratch, ledger, keeper)
                batch = []
            if on_progress is not None:
                on_progress(done, max(count, done))
        _say(batch, scratch, ledger, keeper)
        if keeper:
            report.splits_kept, report.split_conflicts = keeper.recorded, keeper.conflicts
        ledger.finish()
        store.settle()
        report.labelled, report.changed = ledger.written, ledger.changes()
        report.read_as = read_by_present_names(scratch, names)
        _count_images(report, scratch)
        _find_duplicates(report, scratch)
    report.seconds = time.monotonic() - begun
    return report


def _say(
    batch: list[Taken], scratch: Scratch, ledger: LabelLedger, keeper: SplitRecorder | None
) -> None:
    """What the source says of images that are in the store."""
    if not batch:
        return
    if keeper:
        # Without labels an image is in no data set: none is dealt before its split is known.
        keeper.take(batch)
    ledger.say([(one.sha256, one.labels, one.key) for one in batch if one.labels is not None])
    scratch.add_taken([(one.sha256, one.name, one.labels) for one in batch])


def _count(report: IngestReport, outcome: Taken | Rejection) -> None:
    if isinstance(outcome, Rejection):
        report.rejected.append((outcome.name, outcome.reason))
        return
    report.new += outcome.is_new
    report.known += not outcome.is_new


def _count_images(report: IngestReport, scratch: Scratch) -> None:
    report.images = scratch.taken_images()
    for labels, images in scratch.by_labels():
        if labels is None:
            report.unlabelled += images
        elif not labels:
            report.negatives += images
        else:
            report.classes.update(dict.fromkeys(labels, images))


def _find_duplicates(report: IngestReport, scratch: Scratch) -> None:
    same: list[Duplicates] = []
    for group in scratch.duplicates():
        report.doubled += group.count - 1
        contradicts = len(group.labels) > 1
        report.contradictions += contradicts
        shown = report.duplicates if contradicts else same
        if len(shown) < SHOWN_DUPLICATES:
            shown.append(group)
    report.duplicates += same[: SHOWN_DUPLICATES - len(report.duplicates)]


def _weight(item: SourceItem | Rejection) -> int:
    return 0 if isinstance(item, Rejection) else len(item.data)


class _Intake:
    """Takes one file at a time; used by several threads."""

    def __init__(
        self,
        store: ObjectStore,
        policy: IngestionPolicy,
        names: LabelNames,
        prefix: str,
    ) -> None:
        self._store, self._policy, self._names = store, policy, names
        self._prefix, self._there = prefix, ListedObjects(store, prefix)
        # Many may be sent at once. How much memory decoding takes, training.images.memory bounds.
        self._decoding = threading.Semaphore(2 * (os.cpu_count() or 1))

    def take(self, item: SourceItem | Rejection) -> Taken | Rejection:
        """Check and store one image."""
        if isinstance(item, Rejection):
            return item
        labels = None if item.labels is None else self._names.written(item.labels)
        problem = self._names.problem(labels) if labels is not None else None
        if problem:
            return Rejection(item.name, problem)
        try:
            with self._decoding:
                sha256 = inspect(item.data, max_pixels=self._policy.max_pixels).sha256
            key, is_new = self._put(item, sha256)
        except (ImageRejected, InvalidKey) as error:
            return Rejection(item.name, str(error))
        return Taken(item.name, sha256, key, is_new, labels, item.split)

    def _put(self, item: SourceItem, sha256: str) -> tuple[str, bool]:
        """The key of the image, and whether this call made it. A name that other bytes have
        gets the image's hash into it: keys are never rewritten."""
        path = PurePosixPath(item.name)
        if reason := litter(path.name):  # a list may name anything
            raise InvalidKey(f"it would be passed over in the store: {reason}")
        for name in (item.name, str(path.with_name(f"{path.stem}-{sha256[:8]}{path.suffix}"))):
            key = key_of_data(self._prefix + name)
            if flaw := key_flaw(key):
                remedy = "" if "rename" in flaw else "; give it a shorter one"
                raise InvalidKey(f"it cannot be stored under its path: {flaw}{remedy}")
            there = self._there.get(key)
            if there is None and self._store.create(key, item.data):
                return key, True
            if holds(self._store, key, item.data, there):
                return key, False
        raise InvalidKey(f"{key} is taken by another image")

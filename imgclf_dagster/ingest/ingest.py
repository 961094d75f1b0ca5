"""Write images and their labels into the store: checked, create-only, resumable at any time."""

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
from assets.ingestion.inspections import Inspection, write_inspections
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
from object_store.errors import InvalidKey
from object_store.rows import key_flaw
from object_store.store import ObjectStore
from object_store.transfer import Progress, at_once, holds, workers
from training.images.images import ImageRejected, inspect

RAW_PREFIX = "raw/"
SHOWN_DUPLICATES = 10
LABELS_AT_ONCE = 100
"""Number of images whose labels are written together. It is small, because until then the line sees
the images as unlabelled."""

SPLITS_AT_ONCE = 2000
"""The same with splits, of which each write adds a part to a table."""


@contextmanager
def only_ingest(run_dir: Path, say: Callable[[str], object]) -> Iterator[None]:
    """Hold the home's ingest lock while the block lasts; wait if another ingest holds it.

    Args:
        run_dir: the home's folder of locks.
        say: called with a message if it has to wait.
    """
    # Two at once would not see each other's labels, and write all of them again. Ingests of several
    # machines into one bucket do not wait; what they write twice has the same content.
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
    """The result of an ingest. Files with the same bytes are one image.

    Attributes:
        new: files stored.
        known: files whose image was stored before.
        labelled: label snapshots written, new or changed.
        images: different images.
        classes: different images by the class that they count as.
        read_as: labels that count as a class of another name.
        negatives: images labelled with none of the classes.
        unlabelled: images without labels.
        rejected: name and reason of files, and of entries of lists, that were left out.
        rejected_entries: how many of these are entries of lists.
        changed: labels of earlier ingests that this one changed.
        doubled: files with the same bytes as an earlier file of the source.
        duplicates: first groups of such files, contradictory ones before others.
        contradictions: number of groups whose files are labelled differently.
        splits_kept: images whose given split was recorded, new or changed.
        split_conflicts: images that the source gives to two splits, as sentences.
        seconds: wall time (s).
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
    rejected_entries: int = 0
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
    """Copy the readable images of a source to ``raw/<source>/`` and write their labels.

    Repeating it changes nothing, and after an interruption does what is left. A file that is not an
    image, or has labels that the schema does not allow, is rejected and reported.

    Args:
        reading: the source as ``labelling.sources.read.read_source`` read it, without doubts.
        store: an object store that has been set up.
        policy: limits of images.
        schema: the label schema.
        on_progress: called with the number of files done and of all files after every file.
        annotator: name recorded with the labels.
        keep_splits: whether to record the splits that the source gives.

    Raises:
        SourceError: a doubt is open, or the source cannot be read.
        StoreError: the store cannot be written; what was written is complete and valid.
    """
    if reading.doubts:
        raise SourceError("; ".join(doubt.question for doubt in reading.doubts))
    begun = time.monotonic()
    with closing(Scratch()) as scratch:
        names = label_names(store, schema)
        ledger = LabelLedger(store, scratch, names, annotator, note=f"ingest of {reading.stem}")
        recorder = SplitRecorder(store, scratch, reading) if keep_splits else None
        intake = _Intake(store, policy, names, f"{RAW_PREFIX}{reading.stem}/")
        size = SPLITS_AT_ONCE if recorder else LABELS_AT_ONCE
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
                _say(batch, store, scratch, ledger, recorder)
                batch = []
            if on_progress is not None:
                on_progress(done, max(count, done))
        _say(batch, store, scratch, ledger, recorder)
        if recorder:
            report.splits_kept, report.split_conflicts = recorder.recorded, recorder.conflicts
        ledger.finish()
        store.settle()
        report.labelled, report.changed = ledger.written, ledger.changes()
        report.read_as = read_by_present_names(scratch, names)
        _count_images(report, scratch)
        _find_duplicates(report, scratch)
    report.seconds = time.monotonic() - begun
    return report


def _say(
    batch: list[Taken],
    store: ObjectStore,
    scratch: Scratch,
    ledger: LabelLedger,
    recorder: SplitRecorder | None,
) -> None:
    """Record the inspections, splits and labels of images that are in the store."""
    if not batch:
        return
    write_inspections(store, [one.inspection for one in batch if one.inspection is not None])
    if recorder:
        # Splits before labels: an image without labels is in no data set, so it is not assigned to
        # another split in between.
        recorder.take(batch)
    ledger.say([(one.sha256, one.labels, one.key) for one in batch if one.labels is not None])
    scratch.add_taken([(one.sha256, one.name, one.labels) for one in batch])


def _count(report: IngestReport, outcome: Taken | Rejection) -> None:
    if isinstance(outcome, Rejection):
        report.rejected.append((outcome.name, outcome.reason))
        report.rejected_entries += outcome.of_list
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
    """Checks and stores one file at a time. Safe for several threads."""

    def __init__(
        self,
        store: ObjectStore,
        policy: IngestionPolicy,
        names: LabelNames,
        prefix: str,
    ) -> None:
        self._store, self._policy, self._names = store, policy, names
        self._prefix, self._there = prefix, ListedObjects(store, prefix)
        # More files may be uploaded at once than decoded; training.images.memory bounds the memory.
        self._decoding = threading.Semaphore(2 * (os.cpu_count() or 1))

    def take(self, item: SourceItem | Rejection) -> Taken | Rejection:
        """Check and store one image; return what was stored, or why it was rejected."""
        if isinstance(item, Rejection):
            return item
        labels = None if item.labels is None else self._names.written(item.labels)
        problem = self._names.problem(labels) if labels is not None else None
        if problem:
            return Rejection(item.name, problem)
        try:
            with self._decoding:
                facts = inspect(item.data, max_pixels=self._policy.max_pixels)
            key, etag = self._put(item, facts.sha256)
        except (ImageRejected, InvalidKey) as error:
            return Rejection(item.name, str(error))
        is_new = etag is not None
        inspection = Inspection(key, etag, len(item.data), facts) if etag is not None else None
        return Taken(item.name, facts.sha256, key, is_new, labels, item.split, inspection)

    def _put(self, item: SourceItem, sha256: str) -> tuple[str, str | None]:
        """Store an image; return its key, and its etag if this call created it.

        If other bytes have the key, the image's hash is added to its name.

        Raises:
            InvalidKey: it cannot be stored under its path.
        """
        path = PurePosixPath(item.name)
        if reason := litter(path.name):  # a list may name anything
            raise InvalidKey(f"it would be passed over in the store: {reason}")
        for name in (item.name, str(path.with_name(f"{path.stem}-{sha256[:8]}{path.suffix}"))):
            key = key_of_data(self._prefix + name)
            if flaw := key_flaw(key):
                remedy = "" if "rename" in flaw else "; give it a shorter one"
                raise InvalidKey(f"it cannot be stored under its path: {flaw}{remedy}")
            there = self._there.get(key)
            if there is None:
                etag = self._store.create_tagged(key, item.data)
                if etag is not None:
                    return key, etag
            if holds(self._store, key, item.data, there):
                return key, None
        raise InvalidKey(f"{key} is taken by another image")

"""The labels that ingests wrote, and what one more has to add."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from assets.annotations.label_names import LabelNames
from imgclf_dagster.ingest.changes import Changes, LabelChange
from imgclf_dagster.ingest.scratch import ImageLabels, Scratch
from labelling.labels.snapshots import (
    INGESTED_PREFIX,
    LATEST,
    AnnotationSnapshot,
    SnapshotError,
    epoch_ms,
    ingested_key,
    labels_hash,
    parse_ingested_key,
)
from resources.store.listing import Row
from resources.store.object_store import ObjectStore
from resources.store.transfer import at_once, workers


class LabelLedger:
    """The labels that ingests wrote, and what this one has to add.

    Once an ingest is through, the newest labels of an image are exactly those that its source
    gives it. If the source contradicts itself, all its labels bear the same time, which is what
    ``labelling.labels.consensus`` takes for a conflict, also if a killed run had written one of them
    before.
    """

    def __init__(
        self,
        store: ObjectStore,
        scratch: Scratch,
        names: LabelNames,
        annotator: str,
        *,
        note: str,
    ) -> None:
        """
        Args:
            store: with the labels.
            scratch: what this ingest remembers.
            names: what labels are called now, and which were taken back.
            annotator: who the labels are recorded as coming from.
            note: recorded with them.
        """
        self._store, self._scratch = store, scratch
        self._names, self._changes = names, Changes()
        self._annotator, self._note = annotator, note
        self.written = 0
        self._latest = epoch_ms(names.latest)
        store.collect(INGESTED_PREFIX, lambda rows: self._recall(rows, names))
        latest = self._latest
        now = max(epoch_ms(datetime.now(UTC)), latest + 1)  # newer, even if the clock went back
        self._now = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=now)

    def say(self, labels: Sequence[tuple[str, tuple[str, ...], str]]) -> None:
        """The source gives images labels: sha256, labels, and the image's key in the store."""
        sayings = [(sha, labels_hash(given), given, key) for sha, given, key in labels]
        images = self._scratch.add_labels(sayings)
        self._write([i for i in images if not {digest for digest, _, _ in i.given} <= i.newest])

    def finish(self) -> None:
        """The source is through: take back what it no longer says."""
        for images in self._scratch.said_otherwise():
            self._write(images)

    def changes(self) -> list[LabelChange]:
        """Which labels of earlier ingests this one changed."""
        return self._changes.most_frequent(self._store, self._names)

    def _write(self, images: Sequence[ImageLabels]) -> None:
        if not images:
            return
        now = epoch_ms(self._now)
        changed = [image for image in images if image.newest and image.moment < now]
        for image in sorted(changed, key=lambda one: one.given[0][2]):
            self._changes.add(image)
        self._scratch.set_newest(images, epoch_ms(self._now))
        snapshots = [snapshot for image in images for snapshot in self._snapshots(image)]
        self.written += sum(at_once(self._create, snapshots, threads=workers(self._store)))

    def _create(self, snapshot: AnnotationSnapshot) -> bool:
        return self._store.create(ingested_key(snapshot), snapshot.to_json())

    def _snapshots(self, image: ImageLabels) -> Iterator[AnnotationSnapshot]:
        for _, labels, key in image.given:
            yield AnnotationSnapshot(
                sha256=image.sha256,
                labels=labels,
                annotator=self._annotator,
                source="ingest",
                annotated_at=self._now,
                annotation_id=key,
                note=self._note,
            )

    def _recall(self, rows: Iterator[Row], names: LabelNames) -> Sequence[int]:
        count = [0]

        def stored() -> Iterator[tuple[str, int, str]]:
            for key, _, _, _ in rows:
                count[0] += 1
                try:
                    sha256, moment, digest = parse_ingested_key(key)
                except SnapshotError:
                    continue  # somebody else's file: `annotations` says what is wrong with it
                if moment >= epoch_ms(LATEST):
                    continue  # no label of ours: nothing could be newer
                self._latest = max(self._latest, moment)
                # What was taken back is not known: who says it again says it anew.
                if key not in names.withdrawn:
                    self._changes.recall(digest, key)
                    yield sha256, moment, digest

        self._scratch.add_stored(stored())
        return range(count[0])

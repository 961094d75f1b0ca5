"""Labels that ingests wrote, and the ones that another ingest has to add."""

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
from object_store.rows import Row
from object_store.store import ObjectStore
from object_store.transfer import at_once, workers


class LabelLedger:
    """Writes the labels of an ingest that are not in the store yet.

    After an ingest, an image's newest labels are exactly those that the source gives. If the source
    contradicts itself, all its labels have the same time, which ``labelling.labels.consensus``
    treats as a conflict, even if a killed run had written one of them before.
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
        """Read the stored labels of ingests into ``scratch``.

        Args:
            store: holds the labels.
            scratch: the state of this ingest.
            names: present class names, and withdrawn labels.
            annotator: name recorded with the labels.
            note: text recorded with the labels.
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
        """Write the labels that the source gives, unless they are the newest ones.

        Args:
            labels: sha256, labels and key of each image.
        """
        sayings = [(sha, labels_hash(given), given, key) for sha, given, key in labels]
        images = self._scratch.add_labels(sayings)
        self._write([i for i in images if not {digest for digest, _, _ in i.given} <= i.newest])

    def finish(self) -> None:
        """Write the labels of images that have other newest labels than the source gives."""
        for images in self._scratch.changed_labels():
            self._write(images)

    def changes(self) -> list[LabelChange]:
        """Return the labels of earlier ingests that this one changed."""
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
                    continue  # not a snapshot: the asset `annotations` reports it
                if moment >= epoch_ms(LATEST):
                    continue  # not written by imgclf: no label could be newer
                self._latest = max(self._latest, moment)
                # Withdrawn labels are not known, so that they are written again if given again.
                if key not in names.withdrawn:
                    self._changes.recall(digest, key)
                    yield sha256, moment, digest

        self._scratch.add_stored(stored())
        return range(count[0])

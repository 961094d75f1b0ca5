"""``--keep-splits``: record the splits that a source gives, before the labels of the images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from assets.dataset.splits.given_splits import record_given_splits
from assets.ingestion.inspections import Inspection
from imgclf_dagster.ingest.scratch import Scratch
from labelling.sources.reading import Reading, Split
from object_store.store import ObjectStore

SHOWN_CONFLICTS = 20


@dataclass(frozen=True, slots=True)
class Taken:
    """A stored image of a source.

    Attributes:
        name: name in the source.
        sha256: hash of the image (hex).
        key: key in the store.
        is_new: whether this ingest stored it.
        labels: labels that the source gives; ``None`` without.
        split: split that the source gives; ``None`` without.
        inspection: what it was found to be; ``None`` if it was stored before.
    """

    name: str
    sha256: str
    key: str
    is_new: bool
    labels: tuple[str, ...] | None
    split: Split | None
    inspection: Inspection | None = None


class SplitRecorder:
    """Records the splits that a source gives.

    Args:
        store: holds the records.
        scratch: the state of this ingest.
        reading: the source.
    """

    def __init__(self, store: ObjectStore, scratch: Scratch, reading: Reading) -> None:
        self._store, self._scratch = store, scratch
        self._source = reading.stem
        self._of_source: frozenset[Split] = frozenset(reading.splits.values())
        self.recorded = 0
        self.conflicts: list[str] = []

    def take(self, images: Sequence[Taken]) -> None:
        """Record the splits of stored images."""
        known = cast("dict[str, Split]", self._scratch.splits([one.sha256 for one in images]))
        splits: dict[str, Split] = {}
        for one in images:
            if one.split is not None and self._counts(one, known.get(one.sha256), one.split):
                splits[one.sha256] = known[one.sha256] = one.split
        if not splits:
            return
        self._scratch.set_splits([*splits.items()])
        self.recorded += record_given_splits(
            self._store, splits, source=self._source, of_source=self._of_source
        )

    def _counts(self, image: Taken, earlier: Split | None, split: Split) -> bool:
        """Whether the split of an image is to be recorded; of two different ones, ``test`` is."""
        # Of two splits test wins: a model must not be tested on images that it was trained on.
        if earlier is None or earlier == split:
            return earlier is None
        if len(self.conflicts) < SHOWN_CONFLICTS:
            self.conflicts.append(f"{image.name}: {earlier} and {split}")
        return split == "test"

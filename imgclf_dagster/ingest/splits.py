"""``--keep-splits``: the splits of a source are recorded before the labels of their images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from assets.dataset.splits.given_splits import record_given_splits
from imgclf_dagster.ingest.scratch import Scratch
from labelling.sources.reading import Reading, Split
from resources.store.object_store import ObjectStore

SHOWN_CONFLICTS = 20


@dataclass(frozen=True, slots=True)
class Taken:
    """An image that is in the store.

    Attributes:
        name: in the source.
        sha256: of the image.
        key: in the store.
        is_new: whether this ingest brought it.
        labels: that the source gives it.
        split: that the source gives it.
    """

    name: str
    sha256: str
    key: str
    is_new: bool
    labels: tuple[str, ...] | None
    split: Split | None


class SplitRecorder:
    """Records the given splits of images, many at once."""

    def __init__(self, store: ObjectStore, scratch: Scratch, reading: Reading) -> None:
        self._store, self._scratch = store, scratch
        self._source = reading.stem
        self._of_source: frozenset[Split] = frozenset(reading.splits.values())
        self.recorded = 0
        self.conflicts: list[str] = []

    def take(self, images: Sequence[Taken]) -> None:
        """Record the splits of images that are in the store."""
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
        """Whether a split is to be recorded; of two, test: what a model is judged by must not be
        what it has learnt from."""
        if earlier is None or earlier == split:
            return earlier is None
        if len(self.conflicts) < SHOWN_CONFLICTS:
            self.conflicts.append(f"{image.name}: {earlier} and {split}")
        return split == "test"

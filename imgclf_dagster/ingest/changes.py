"""Images that had another label from earlier ingests: which became which."""

from collections import Counter
from dataclasses import dataclass

from assets.annotations.label_names import LabelNames
from imgclf_dagster.ingest.scratch import ImageLabels, Labels
from labelling.labels.snapshots import SnapshotError, parse_snapshot
from resources.store.errors import KeyMissing
from resources.store.object_store import ObjectStore

EXAMPLES = 3
_MOST = 10_000
"""So many different sets of labels, and changes of one to another, are told apart."""

_RESOLVED = 50
"""Of so many changes the former labels are looked up."""

_Kind = tuple[frozenset[str], int, tuple[Labels, ...]]
"""Digests of the former labels, when they were stored, and the new ones."""


@dataclass(frozen=True, slots=True)
class LabelChange:
    """Images whose label an ingest changed, all in the same way.

    Attributes:
        old: what earlier ingests said, by the names that count; several sets of labels contradicted
            one another.
        new: what this one says, by the names that count.
        images: how many.
        examples: the first of them, by their keys in the store.
    """

    old: tuple[Labels, ...]
    new: tuple[Labels, ...]
    images: int
    examples: tuple[str, ...]


class Changes:
    """Counts the changes; memory grows with the kinds of change, not with images."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}
        self._counts: Counter[_Kind] = Counter()
        self._examples: dict[_Kind, list[str]] = {}

    def recall(self, digest: str, key: str) -> None:
        """A snapshot in the store, and the digest of its labels."""
        if len(self._keys) < _MOST:
            self._keys.setdefault(digest, key)

    def add(self, image: ImageLabels) -> None:
        """The newest labels of an image, which are in the store, give way to what is said now."""
        kind = image.newest, image.moment, tuple(labels for _, labels, _ in image.given)
        if kind not in self._counts and len(self._counts) >= _MOST:
            kind = frozenset(), 0, ()
        self._counts[kind] += 1
        shown = self._examples.setdefault(kind, [])
        if len(shown) < EXAMPLES:
            shown.append(image.given[0][2])

    def most_frequent(self, store: ObjectStore, names: LabelNames) -> list[LabelChange]:
        """The changes, the most frequent first, and the number of all others as one.

        Args:
            store: with the snapshots.
            names: what labels count as: another name of the same class is no change.
        """
        known: dict[str, Labels | None] = {}
        found: dict[tuple[tuple[Labels, ...], tuple[Labels, ...]], LabelChange] = {}
        kinds = self._counts.most_common()
        for kind, images in kinds[:_RESOLVED]:
            digests, moment, said = kind
            for digest in digests - {*known}:
                known[digest] = self._labels(store, digest)
            before = [labels for one in digests if (labels := known[one]) is not None]
            old = tuple(sorted({names.counted_at(labels, moment) for labels in before}))
            new = tuple(sorted({names.counted_now(labels) for labels in said}))
            if new and old == new:
                continue
            same = found.get((old, new), LabelChange(old, new, 0, ()))
            examples = (*same.examples, *self._examples[kind])[:EXAMPLES]
            found[old, new] = LabelChange(old, new, same.images + images, examples)
        told = sorted(found.values(), key=lambda change: -change.images)
        if others := sum(images for _, images in kinds[_RESOLVED:]):
            told.append(LabelChange((), (), others, ()))
        return told

    def _labels(self, store: ObjectStore, digest: str) -> Labels | None:
        """The labels of a digest, of which one snapshot is read."""
        key = self._keys.get(digest)
        try:
            return parse_snapshot(store.get(key), key).labels if key else None
        except (SnapshotError, KeyMissing):
            return None

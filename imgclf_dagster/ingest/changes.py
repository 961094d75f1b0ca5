"""Changes of labels that earlier ingests gave."""

from collections import Counter
from dataclasses import dataclass

from assets.annotations.label_names import LabelNames
from imgclf_dagster.ingest.scratch import ImageLabels, Labels
from labelling.labels.snapshots import SnapshotError, parse_snapshot
from object_store.errors import KeyMissing
from object_store.store import ObjectStore

EXAMPLES = 3
_MOST = 10_000
"""Maximum number of different sets of labels, and of kinds of changes, that are kept apart."""

_RESOLVED = 50
"""Maximum number of kinds of changes whose former labels are looked up."""

_Kind = tuple[frozenset[str], int, tuple[Labels, ...]]
"""Digests of the former labels, when they were stored (ms since the epoch), and the new labels."""


@dataclass(frozen=True, slots=True)
class LabelChange:
    """Images whose labels an ingest changed in the same way.

    Attributes:
        old: sets of labels from earlier ingests, by class names that count; several contradict one
            another.
        new: sets of labels from this ingest, by class names that count.
        images: number of images.
        examples: keys of the first of them.
    """

    old: tuple[Labels, ...]
    new: tuple[Labels, ...]
    images: int
    examples: tuple[str, ...]


class Changes:
    """Counts changes of labels. Memory grows with the kinds of change, not with images."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}
        self._counts: Counter[_Kind] = Counter()
        self._examples: dict[_Kind, list[str]] = {}

    def recall(self, digest: str, key: str) -> None:
        """Remember the key of a stored snapshot by the digest of its labels."""
        if len(self._keys) < _MOST:
            self._keys.setdefault(digest, key)

    def add(self, image: ImageLabels) -> None:
        """Count the change of an image's newest stored labels to those given now."""
        kind = image.newest, image.moment, tuple(labels for _, labels, _ in image.given)
        if kind not in self._counts and len(self._counts) >= _MOST:
            kind = frozenset(), 0, ()
        self._counts[kind] += 1
        shown = self._examples.setdefault(kind, [])
        if len(shown) < EXAMPLES:
            shown.append(image.given[0][2])

    def most_frequent(self, store: ObjectStore, names: LabelNames) -> list[LabelChange]:
        """Return the changes, most frequent first, and all others as one change without labels.

        Args:
            store: holds the snapshots.
            names: class names that count; a change between two names of a class is left out.
        """
        known: dict[str, Labels | None] = {}
        found: dict[tuple[tuple[Labels, ...], tuple[Labels, ...]], LabelChange] = {}
        kinds = self._counts.most_common()
        for kind, images in kinds[:_RESOLVED]:
            digests, moment, statements = kind
            for digest in digests - {*known}:
                known[digest] = self._labels(store, digest)
            before = [labels for one in digests if (labels := known[one]) is not None]
            old = tuple(sorted({names.counted_at(labels, moment) for labels in before}))
            new = tuple(sorted({names.counted_now(labels) for labels in statements}))
            if new and old == new:
                continue
            same = found.get((old, new), LabelChange(old, new, 0, ()))
            examples = (*same.examples, *self._examples[kind])[:EXAMPLES]
            found[old, new] = LabelChange(old, new, same.images + images, examples)
        changes = sorted(found.values(), key=lambda change: -change.images)
        if others := sum(images for _, images in kinds[_RESOLVED:]):
            changes.append(LabelChange((), (), others, ()))
        return changes

    def _labels(self, store: ObjectStore, digest: str) -> Labels | None:
        """Return the labels with this digest, from one of their snapshots; ``None`` if unreadable."""
        key = self._keys.get(digest)
        try:
            return parse_snapshot(store.get(key), key).labels if key else None
        except (SnapshotError, KeyMissing):
            return None

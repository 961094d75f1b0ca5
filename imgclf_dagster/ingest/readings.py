"""Labels of a source that count as another class than they say, because classes were renamed."""

from collections import Counter
from dataclasses import dataclass

from assets.annotations.label_names import LabelNames
from imgclf_dagster.ingest.scratch import Scratch


@dataclass(frozen=True, slots=True)
class ReadAs:
    """A label that counts as another class, or that means two.

    Attributes:
        label: as it is stored.
        counts: the class.
        images: different images of which the source says so.
        now: the class that the label is if it is said now. Another than ``counts``: it was stored
            before the name was given to another class.
    """

    label: str
    counts: str
    images: int
    now: str


def read_by_present_names(scratch: Scratch, names: LabelNames) -> list[ReadAs]:
    """Give the files in ``scratch`` the labels that count; the labels that this makes others of, and
    those that mean two classes in this source."""
    meant, found = [], Counter[tuple[str, str]]()
    for labels, moment, images in scratch.meanings():
        counted = names.counted_at(labels, moment)
        if counted != labels:
            meant.append((labels, moment, counted))
        for label in labels:
            found[label, names.counted_at([label], moment)[0]] += images
    if meant:
        scratch.read_as(meant)
    several = {label for label, count in Counter(label for label, _ in found).items() if count > 1}
    return [
        ReadAs(label, counts, images, names.counts_as(label))
        for (label, counts), images in sorted(found.items())
        if label != counts or label in several
    ]

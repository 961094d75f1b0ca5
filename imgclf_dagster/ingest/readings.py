"""Labels that count as a class of another name, because classes were renamed."""

from collections import Counter
from dataclasses import dataclass

from assets.annotations.label_names import LabelNames
from imgclf_dagster.ingest.scratch import Scratch


@dataclass(frozen=True, slots=True)
class ReadAs:
    """A label that counts as a class of another name, or as two classes.

    Attributes:
        label: the label as stored.
        counts: the class that it counts as.
        images: number of different images with this label.
        now: the class that the label counts as if given now; it differs from ``counts`` if the name
            was given to another class after the label was stored.
    """

    label: str
    counts: str
    images: int
    now: str


def read_by_present_names(scratch: Scratch, names: LabelNames) -> list[ReadAs]:
    """Replace the labels in ``scratch`` by the classes that they count as.

    Returns:
        The labels that count as a class of another name, or as two classes.
    """
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

"""Whether each class has enough images in each split, and the remedy if not."""

import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from assets.dataset.splits.given_splits import SPLITS
from labelling.labels.foreign_text import visible

HOW_TO_DIVIDE = (
    "If they are different pictures, set near_duplicate_distance = 0 under [split] in "
    "imgclf.toml (or a smaller number than now); then imgclf run, which deals all images again "
    "until a model is released (afterwards: imgclf splits deal-again)"
)
"""Remedy for different pictures that are taken for near-duplicates."""

Dealt = Mapping[str, Mapping[str, int]]
"""Class to split to number of images."""


@dataclass
class ClassCount:
    """The images of a class by split, and their near-duplicate groups."""

    images: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    groups: set[str] = field(default_factory=set)

    @property
    def total(self) -> int:
        """Images in all splits."""
        return sum(self.images.values())


LACKING = "classes short of images"
UNEVEN = "classes dealt unevenly"
BOUND = "classes that given splits leave short"
ALIKE = "classes of near-duplicates"
"""What the check counts, as ``imgclf status`` shows it."""


class FloorReasons(NamedTuple):
    """The classes below their floor, and the remedies.

    Attributes:
        short: a sentence for each class and split below its floor; empty: all are above.
        helps: the remedies, as text; empty: none is needed.
        numbers: number of classes by kind of remedy.
    """

    short: list[str]
    helps: str
    numbers: dict[str, int]


def remedy(numbers: Mapping[str, object]) -> str:
    """Return what to do, by the ``numbers`` of :class:`FloorReasons`; empty if they are all 0."""
    ways = {
        ALIKE: "set near_duplicate_distance = 0 under [split] in imgclf.toml, if the images that "
        "count as one picture are different (more images do not help)",
        UNEVEN: "imgclf splits deal-again",
        BOUND: "ingest images of the named classes, given to the split that lacks them or to no "
        "split (imgclf ingest), or deal given test images, too (imgclf splits deal-again "
        "--without-given)",
        LACKING: "ingest more images of the named classes (imgclf ingest)",
    }
    return "; and ".join(way for name, way in ways.items() if numbers.get(name))


def count_classes(manifest: pa.Table) -> dict[str, ClassCount]:
    """Count the images of each class, from ``labels``, ``split`` and ``group_id`` of the manifest."""
    counts: dict[str, ClassCount] = defaultdict(ClassCount)
    for row in manifest.select(["labels", "split", "group_id"]).to_pylist():
        for label in row["labels"]:
            counts[label].images[row["split"]] += 1
            counts[label].groups.add(row["group_id"])
    return counts


def floor_reasons(
    labels: Sequence[str],
    counts: Mapping[str, ClassCount],
    floors: Mapping[str, int],
    names: Sequence[str] = (),
    *,
    again: Dealt | None = None,
    freely: Dealt | None = None,
) -> FloorReasons:
    """Find the classes below their floor, and the remedies.

    Args:
        labels: the classes to check.
        counts: images of the classes in use.
        floors: split to the fewest images of a class.
        names: names under [labels] in imgclf.toml; empty: every label in use is a class.
        again: images of each class by split, if all were dealt again and given splits kept
            (``assets.dataset.splits.forecast``); ``None``: dealing again is assumed to help where
            there are enough images.
        freely: the same, without given splits.
    """
    found = _Shortages()
    for label in labels:
        found.add(label, counts.get(label, ClassCount()), floors, again, freely)
    helps = [
        found.label_more(counts, names),
        found.deal_again(),
        found.deal_freely(),
        found.divide(),
    ]
    return FloorReasons(found.short, ". ".join(filter(None, helps)), found.numbers())


@dataclass
class _Shortages:
    """The classes below their floor, by what helps.

    Attributes:
        short: a sentence for each class and split below its floor.
        wanted: number of missing images by class.
        uneven: names of classes of ``wanted`` that dealing again helps.
        bound: names of classes of ``wanted`` that dealing again helps without given splits.
        alike: a clause for each class of which the images are too few near-duplicate groups.
    """

    short: list[str] = field(default_factory=list)
    wanted: dict[str, int] = field(default_factory=dict)
    uneven: list[str] = field(default_factory=list)
    bound: list[str] = field(default_factory=list)
    alike: list[str] = field(default_factory=list)

    def add(
        self,
        label: str,
        count: ClassCount,
        floors: Mapping[str, int],
        again: Dealt | None,
        freely: Dealt | None,
    ) -> None:
        """Sort a class in, if it is below its floor.

        Args:
            label: the class.
            count: its images.
            floors: split to the fewest images of a class.
            again: see :func:`floor_reasons`.
            freely: see :func:`floor_reasons`.
        """
        lacking = {
            split: floor - count.images[split]
            for split, floor in floors.items()
            if count.images[split] < floor
        }
        if not lacking:
            return
        name, is_enough = visible(label), count.total >= sum(floors.values())
        self.short += [f"{name}: {count.images[s]} in {s}, needs {floors[s]}" for s in lacking]
        groups = len(count.groups)
        if groups < len(SPLITS) and is_enough:
            self.alike.append(
                f"the {count.total} images of {name} are {groups} near-duplicate "
                f"group{'s' if groups > 1 else ''}, and a group is never divided among splits"
            )
            return
        self.wanted[label] = sum(lacking.values())
        if is_enough and _met(floors, again, label):
            self.uneven.append(name)
        elif is_enough and _met(floors, freely, label):
            self.bound.append(name)

    def numbers(self) -> dict[str, int]:
        """Return the number of classes by kind of remedy."""
        return {
            LACKING: len(self.wanted) - len(self.uneven) - len(self.bound),
            UNEVEN: len(self.uneven),
            BOUND: len(self.bound),
            ALIKE: len(self.alike),
        }

    def label_more(self, counts: Mapping[str, ClassCount], names: Sequence[str]) -> str:
        """Return the remedies of all classes that are wanted; "" if there are none."""
        if not self.wanted:
            return ""
        text = ", ".join(f"{images} of {visible(label)}" for label, images in self.wanted.items())
        ways = [f"Label more images of these classes (imgclf ingest), at least {text}"]
        return "; or ".join(ways + _without_a_class(self.wanted, counts, names))

    def deal_again(self) -> str:
        """Return the remedy of uneven classes; "" if there are none."""
        if not self.uneven:
            return ""
        return (
            f"Of {', '.join(self.uneven)} there are enough images, but they were dealt by an "
            "earlier version, or before their labels or given splits came: imgclf splits "
            "deal-again deals all images again, so that each split has each of these classes"
        )

    def deal_freely(self) -> str:
        """Return the remedy of classes that given splits leave short; "" if there are none."""
        if not self.bound:
            return ""
        return (
            f"Of {', '.join(self.bound)} there are enough images, but not with the splits that "
            "their source gave (ingest --keep-splits), which imgclf splits deal-again keeps. New "
            "images help if they are given to the split that lacks them, or to no split; or deal "
            "all images, also those of the given test set: imgclf splits deal-again "
            "--without-given"
        )

    def divide(self) -> str:
        """Return the remedy of near-duplicates; "" if there are none."""
        text = "; ".join(self.alike)
        return f"{text[:1].upper()}{text[1:]}. {HOW_TO_DIVIDE}" if text else ""


def _met(floors: Mapping[str, int], dealt: Dealt | None, label: str) -> bool:
    """Whether a class would reach its floor in each split."""
    return dealt is None or all(
        dealt.get(label, {}).get(split, 0) >= floor for split, floor in floors.items()
    )


def _without_a_class(
    wanted: Iterable[str], counts: Mapping[str, ClassCount], names: Sequence[str]
) -> list[str]:
    """Return remedies that drop a class which is short of images."""
    if any(label in names for label in wanted):
        return ["remove a class from names under [labels] in imgclf.toml"]
    quoted = [visible(shlex.quote(label)) for label in wanted if label in counts]
    return [f"remove one of them: imgclf labels withdraw --class {quoted[0]}"] if quoted else []

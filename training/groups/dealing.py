"""Assigning groups of images to splits ("dealing"): stratified by class, otherwise random.

A purely random assignment leaves one small class in three without a test image. So a class's first
three groups go to three splits. For each further group, its lot (a number from a hash of its id)
selects among the splits that have less than their share of the class, with probabilities in
proportion to what they lack. A group that may not go to every split (its source gave one) is
assigned in the same way among the allowed splits. Rare classes are assigned first (Sechidis,
Tsoumakas and Vlahavas, "On the stratification of multi-label data", ECML 2011), and large groups
before small ones, as long as there is room for them. Assignments are permanent.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from training.groups.groups import at_place, place_of

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Group:
    """A group to be assigned to a split.

    Attributes:
        group_id: SHA-256 of an image of the group; the lot is computed from it.
        classes: number of images by class; ``""`` for images without a class.
        among: the allowed splits.
        by_lot: whether the lot alone decides where every class has what it needs, because the group
            was chosen for labelling by its lot or by a model.
    """

    group_id: str
    classes: Mapping[str, int]
    among: tuple[str, ...] = SPLITS
    by_lot: bool = False


@dataclass
class Tally:
    """The assignments so far.

    Attributes:
        images: number of images by class and split.
        used: splits in which a class has images, by class.
    """

    images: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    used: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, classes: Mapping[str, int], split: str) -> None:
        """Count a group that was assigned to ``split``."""
        for name, images in classes.items():
            self.images[name][split] += images
            self.used[name].add(split)


@dataclass
class _Waiting:
    """The groups and images of one class that are not assigned yet, by allowed splits."""

    groups: Counter[tuple[str, ...]] = field(default_factory=Counter)
    images: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def add(self, group: Group, name: str, sign: int = 1) -> None:
        """Add or remove a group.

        Args:
            group: a group that is not assigned yet.
            name: the class.
            sign: 1 to add the group, -1 to remove it.
        """
        self.groups[group.among] += sign
        self.images[group.among] += sign * group.classes[name]


def deal(groups: Sequence[Group], dealt: Tally, shares: Mapping[str, float]) -> dict[str, str]:
    """Assign groups to splits; the result does not depend on their order.

    Args:
        groups: without a split, each with at least one class.
        dealt: the assignments so far; the new ones are added.
        shares: of the images of each class, by split; they add up to 1.

    Returns:
        The split of each group, by its id.
    """
    totals = {name: sum(counts.values()) for name, counts in dealt.images.items()}
    waiting: dict[str, _Waiting] = defaultdict(_Waiting)
    members: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        for name, images in group.classes.items():
            totals[name] = totals.get(name, 0) + images
            waiting[name].add(group, name)
            members[name].append(group)
    found: dict[str, str] = {}
    for name in sorted(members, key=lambda name: (len(members[name]), name)):
        for group in _in_order(members[name], name):
            if group.group_id in found:
                continue
            split = _choose_split(group, dealt, shares, totals, waiting)
            found[group.group_id] = split
            dealt.add(group.classes, split)
            for one in group.classes:
                waiting[one].add(group, one, -1)
    return found


def _in_order(groups: Iterable[Group], name: str) -> list[Group]:
    return sorted(groups, key=lambda one: (-one.classes[name], one.group_id))


def _choose_split(
    group: Group,
    dealt: Tally,
    shares: Mapping[str, float],
    totals: Mapping[str, int],
    waiting: Mapping[str, _Waiting],
) -> str:
    """Choose the split of one group.

    First the splits that stay empty for a class without this group, rarest class first; then those
    that have less than their share of the group's rarest class.

    Args:
        group: to be assigned.
        dealt: the assignments so far.
        shares: of the images of each class, by split.
        totals: number of images by class.
        waiting: what is not assigned yet, this group included, by class.
    """
    rarest = sorted(group.classes, key=lambda name: (totals[name], name))
    candidates = list(group.among)
    for name in rarest:
        empty = [split for split in SPLITS if split not in dealt.used[name]]
        candidates = (
            _splits_to_fill(group.among, empty, waiting[name].groups, candidates) or candidates
        )
    if group.by_lot:
        lot = at_place(place_of(group.group_id), shares)
        return (
            lot
            if lot in candidates
            else _draw_split(group, {one: shares[one] for one in candidates})
        )
    name, size = rarest[0], group.classes[rarest[0]]
    due = _due_images(group.among, shares, dealt.images[name], waiting[name].images)
    lacking = {one: due[one] - dealt.images[name][one] for one in candidates}
    # A split may get less than one image more than it lacks.
    with_room = {one: images for one, images in lacking.items() if images > 0 and size - images < 1}
    return (
        _draw_split(group, with_room)
        if with_room
        else max(candidates, key=lambda one: lacking[one])
    )


def _splits_to_fill(
    may: tuple[str, ...],
    lacking: Sequence[str],
    groups: Mapping[tuple[str, ...], int],
    among: Sequence[str],
) -> list[str]:
    """Return those of ``among`` that the group must go to, so that no split stays empty needlessly.

    Args:
        may: the group's allowed splits.
        lacking: splits in which its class has no images.
        groups: number of the class's groups that are not assigned, this one included, by allowed
            splits.
        among: the splits that are left to choose from.

    Returns:
        Empty if all lacking splits can also be filled without this group.
    """
    if not lacking:
        return []
    others = {one: count - (one == may) for one, count in groups.items()}
    best = _most_filled(lacking, groups)
    if _most_filled(lacking, others) == best:
        return []
    return [
        split
        for split in among
        if split in lacking
        and 1 + _most_filled([one for one in lacking if one != split], others) == best
    ]


def _most_filled(lacking: Sequence[str], groups: Mapping[tuple[str, ...], int]) -> int:
    """Return how many of the lacking splits can get a group each (by Hall's theorem)."""
    sets = (part for size in range(1, len(lacking) + 1) for part in combinations(lacking, size))
    short = (
        len(part) - sum(count for may, count in groups.items() if not set(may).isdisjoint(part))
        for part in sets
    )
    return len(lacking) - max(0, max(short, default=0))


def _due_images(
    among: tuple[str, ...],
    shares: Mapping[str, float],
    dealt: Mapping[str, int],
    waiting: Mapping[tuple[str, ...], int],
) -> dict[str, float]:
    """Return the number of a class's images that each of ``among`` should have.

    The shares are of the images that are in ``among`` already or can only go there.

    Args:
        among: the allowed splits.
        shares: by split; they add up to 1.
        dealt: the class's images by split.
        waiting: its images that are not assigned, by allowed splits.
    """
    # A large test set given by a source is not counted for train and validation: else validation
    # would always lack images, and its share would not decide any more.
    images = sum(dealt.get(one, 0) for one in among)
    images += sum(count for may, count in waiting.items() if set(may) <= set(among))
    whole = 1.0 if among == SPLITS else sum(shares[one] for one in among)
    return {one: images * shares[one] / whole for one in among}


def _draw_split(group: Group, weights: Mapping[str, float]) -> str:
    return at_place(place_of(group.group_id), weights)

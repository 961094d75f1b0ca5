"""Dealing groups of images to the splits: by chance, among those that every class needs.

Pure chance leaves one small class in three without a test image. So a class's first three groups
go to three splits; of the others, a group's lot (a hash of its id) decides among the splits that
are behind their share of the class, each as likely as it is far behind. A group that may not go to
every split (its source gave one) is dealt alike among those that it may go to. Rare classes are dealt
first (Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data", ECML 2011),
and large groups before small ones, as long as there is room for them. What was dealt stays.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from training.groups.groups import at_place, place_of

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Group:
    """A group that is to be dealt.

    Attributes:
        group_id: its lot comes from it.
        classes: images by class; of images without a class, by ``""``.
        among: the splits that it may be dealt to.
        by_lot: whether its lot alone decides, as long as every class has what it needs: it was
            labelled because its lot, or a model, said so.
    """

    group_id: str
    classes: Mapping[str, int]
    among: tuple[str, ...] = SPLITS
    by_lot: bool = False


@dataclass
class Tally:
    """Images by class and split, and the splits in which a class has any: what was dealt so far."""

    images: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    used: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, classes: Mapping[str, int], split: str) -> None:
        """Count a group that was dealt."""
        for name, images in classes.items():
            self.images[name][split] += images
            self.used[name].add(split)


@dataclass
class _Waiting:
    """Of one class, what is not dealt yet, by the splits that it may be dealt to."""

    groups: Counter[tuple[str, ...]] = field(default_factory=Counter)
    images: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def add(self, group: Group, name: str, sign: int = 1) -> None:
        """Count a group of the class ``name``; with ``sign`` -1, as no longer waiting."""
        self.groups[group.among] += sign
        self.images[group.among] += sign * group.classes[name]


def deal(groups: Sequence[Group], dealt: Tally, shares: Mapping[str, float]) -> dict[str, str]:
    """The split of each group (by id). Their order does not matter.

    Args:
        groups: that have none yet, each with a class at least.
        dealt: what has one; counts on.
        shares: of the images of each class, by split; they add up to 1.
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
            split = _split_of(group, dealt, shares, totals, waiting)
            found[group.group_id] = split
            dealt.add(group.classes, split)
            for one in group.classes:
                waiting[one].add(group, one, -1)
    return found


def _in_order(groups: Iterable[Group], name: str) -> list[Group]:
    return sorted(groups, key=lambda one: (-one.classes[name], one.group_id))


def _split_of(
    group: Group,
    dealt: Tally,
    shares: Mapping[str, float],
    totals: Mapping[str, int],
    waiting: Mapping[str, _Waiting],
) -> str:
    rarest = sorted(group.classes, key=lambda name: (totals[name], name))
    among = list(group.among)
    for name in rarest:
        lacking = [split for split in SPLITS if split not in dealt.used[name]]
        among = _needed(group.among, lacking, waiting[name].groups, among) or among
    if group.by_lot:
        lot = at_place(place_of(group.group_id), shares)
        return lot if lot in among else _drawn(group, {one: shares[one] for one in among})
    name, size = rarest[0], group.classes[rarest[0]]
    due = _due(group.among, shares, dealt.images[name], waiting[name].images)
    behind = {one: due[one] - dealt.images[name][one] for one in among}
    room = {one: gap for one, gap in behind.items() if gap > 0 and size - gap < 1}
    return _drawn(group, room) if room else max(among, key=lambda one: behind[one])


def _needed(
    may: tuple[str, ...],
    lacking: Sequence[str],
    groups: Mapping[tuple[str, ...], int],
    among: Sequence[str],
) -> list[str]:
    """Those of ``among`` that a group must go to, lest a split stay empty that could have had one.

    Args:
        may: the splits that the group may be dealt to.
        lacking: the splits in which its class has nothing.
        groups: of its class that wait, this one too, by the splits that they may be dealt to.
        among: the splits that are left to choose from.
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
    """How many of the lacking splits can have a group each, by Hall's theorem: in any set of splits
    no more than there are groups that may go to one of them."""
    sets = (part for size in range(1, len(lacking) + 1) for part in combinations(lacking, size))
    short = (
        len(part) - sum(count for may, count in groups.items() if not set(may).isdisjoint(part))
        for part in sets
    )
    return len(lacking) - max(0, max(short, default=0))


def _due(
    among: tuple[str, ...],
    shares: Mapping[str, float],
    dealt: Mapping[str, int],
    waiting: Mapping[tuple[str, ...], int],
) -> dict[str, float]:
    """Images of a class that are due to each of ``among``: of what is there, or can only go there.

    A test set that a source gave, however large, is not what validation is a share of: else it
    would stay behind for ever, and chance alone would decide.
    """
    images = sum(dealt.get(one, 0) for one in among)
    images += sum(count for may, count in waiting.items() if set(may) <= set(among))
    whole = 1.0 if among == SPLITS else sum(shares[one] for one in among)
    return {one: images * shares[one] / whole for one in among}


def _drawn(group: Group, weights: Mapping[str, float]) -> str:
    return at_place(place_of(group.group_id), weights)

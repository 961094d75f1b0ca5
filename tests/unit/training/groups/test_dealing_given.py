"""Where a source gave splits, each class gets what it can have in each of them."""

import hashlib
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.groups.dealing import SPLITS, Group, Tally, deal

pytestmark = pytest.mark.unit

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}
OF_TRAIN = ("train", "val")
"""Where an image of a given training set may go if the source has no validation set."""


def groups_of(
    name: str, count: int, among: tuple[str, ...], size: int = 1, series: str = ""
) -> list[Group]:
    ids = (
        hashlib.sha256(f"{name} {among} {size} {number} {series}".encode()).hexdigest()
        for number in range(count)
    )
    return [Group(one, {name: size}, among) for one in ids]


def in_parts(groups: list[Group], parts: int) -> Tally:
    """Dealt a part at a time, in an order that has nothing to do with their splits."""
    tally = Tally()
    ordered = sorted(groups, key=lambda group: group.group_id[::-1])
    for part in range(parts):
        deal(ordered[part::parts], tally, SHARES)
    return tally


def test_validation_out_of_a_given_training_set_never_stays_empty_by_chance() -> None:
    """As it was found: 8 training and 4 test images of a class, and none came into validation."""
    for number in range(200):
        for train, test in ((8, 4), (6, 3), (3, 1), (2, 9), (10, 100)):
            name = f"{number} {train}"
            groups = [*groups_of(name, train, OF_TRAIN), *groups_of(name, test, ("test",))]
            tally = in_parts(groups, 1)
            found = tally.images[name]
            assert found["test"] == test
            assert found["val"] >= 1, (name, found)
            assert found["train"] >= min(2, train - 1), (name, found)
            assert abs(found["val"] - train * 0.15 / 0.85) < 1, (name, found)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(2, 12), st.integers(1, 12), st.integers(1, 3)),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 6),
    st.sampled_from(["val", "test"]),
)
def test_two_training_groups_and_a_given_one_fill_each_split_as_they_come(
    made: list[tuple[int, int, int]], parts: int, lacks: str
) -> None:
    """A source that gives train and test (or validation): every class with two training groups or
    more is in each split, whatever their sizes and however many come at once."""
    gives = "test" if lacks == "val" else "val"
    groups = list(
        chain.from_iterable(
            [
                *groups_of(str(number), train - 1, ("train", lacks), size),
                *groups_of(str(number), 1, ("train", lacks), series="one more"),
                *groups_of(str(number), given_too, (gives,)),
            ]
            for number, (train, given_too, size) in enumerate(made)
        )
    )
    tally = in_parts(groups, parts)
    for number, (_, given_too, _) in enumerate(made):
        assert tally.used[str(number)] == set(SPLITS)
        assert tally.images[str(number)][gives] == given_too


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.lists(
            st.sampled_from([SPLITS, OF_TRAIN, ("train", "test"), *((one,) for one in SPLITS)]),
            min_size=1,
            max_size=7,
        ),
        min_size=1,
        max_size=3,
    )
)
def test_of_any_given_splits_as_many_are_filled_as_can_be(
    made: list[list[tuple[str, ...]]],
) -> None:
    groups = [
        Group(hashlib.sha256(f"{name} {number}".encode()).hexdigest(), {str(name): 1}, among)
        for name, ways in enumerate(made)
        for number, among in enumerate(ways)
    ]
    tally = Tally()
    found = deal(groups, tally, SHARES)
    assert all(found[group.group_id] in group.among for group in groups)
    for name, ways in enumerate(made):
        assert len(tally.used[str(name)]) == filled_at_best(ways, frozenset())


def filled_at_best(ways: list[tuple[str, ...]], taken: frozenset[str]) -> int:
    """Every way of dealing, tried."""
    if not ways:
        return len(taken)
    return max(filled_at_best(ways[1:], taken | {split}) for split in ways[0])


def test_a_large_given_test_set_is_not_what_validation_is_a_share_of() -> None:
    for number in range(30):
        name = f"class {number}"
        tally = in_parts(
            [*groups_of(name, 40, OF_TRAIN), *groups_of(name, 400, ("test",))], 1 + number % 3
        )
        assert abs(tally.images[name]["val"] - 40 * 0.15 / 0.85) < 2

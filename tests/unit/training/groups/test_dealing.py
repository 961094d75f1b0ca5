"""Every class with three groups is in every split, shares are kept, and chance decides the rest."""

import hashlib
from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.groups.dealing import SPLITS, Group, Tally, deal
from training.groups.groups import founders_split, place_of

pytestmark = pytest.mark.unit

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


def sha(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def of_class(name: str, count: int, size: int = 1) -> list[Group]:
    return [Group(sha(f"{name} {number}"), {name: size}) for number in range(count)]


def with_lot(split: str, name: str = "a", **more: object) -> Group:
    """A group whose lot alone would give it ``split``."""
    ids = (sha(f"{name} {split} {number}") for number in range(10_000))
    found = next(one for one in ids if founders_split(one, SHARES) == split)
    return Group(found, {name: 1}, **more)


def counts(tally: Tally, name: str) -> list[int]:
    return [tally.images[name][split] for split in SPLITS]


@pytest.mark.parametrize("images", [4, 5, 6, 7, 10, 20, 33, 200])
def test_each_class_is_in_each_split_and_near_its_shares(images):
    for together in (True, False):
        tally = Tally()
        groups = [group for name in "abcdef" for group in of_class(name, images)]
        if together:
            deal(groups, tally, SHARES)
        else:  # as they come, one after another
            for group in sorted(groups, key=lambda group: sha(group.group_id)):
                deal([group], tally, SHARES)
        for name in "abcdef":
            train, val, test = counts(tally, name)
            assert min(val, test) >= 1
            assert train >= 2
            assert train + val + test == images
            for split, share in SHARES.items():
                assert abs(tally.images[name][split] - share * images) < 2


def test_the_first_three_groups_of_a_class_go_to_three_splits_whenever_they_come():
    for number in range(40):
        tally = Tally()
        for group in of_class(f"class {number}", 3):
            deal([group], tally, SHARES)
        assert counts(tally, f"class {number}") == [1, 1, 1]


def test_what_an_earlier_version_dealt_stays_and_the_next_groups_make_good_what_it_lacks():
    tally = Tally()
    for _ in range(20):
        tally.add({"a": 1}, "train")
    deal(of_class("a", 1), tally, SHARES)
    assert min(counts(tally, "a")[1:]) == 0
    deal(of_class("a", 2)[1:], tally, SHARES)
    assert counts(tally, "a") == [20, 1, 1]


def test_the_order_within_a_batch_does_not_matter():
    groups = [*of_class("a", 4), *of_class("b", 2, 3), Group(sha("both"), {"a": 1, "b": 1})]
    dealt = {tuple(sorted(deal(order, Tally(), SHARES).items())) for order in permutations(groups)}
    assert len(dealt) == 1


def test_a_large_group_goes_where_there_is_room_for_it():
    tally = Tally()
    groups = [*of_class("a", 1, 60), *(Group(sha(f"single {n}"), {"a": 1}) for n in range(40))]
    found = deal(groups, tally, SHARES)
    assert found[groups[0].group_id] == "train"
    assert counts(tally, "a") == [70, 15, 15]


def test_of_a_class_in_two_groups_no_more_than_one_is_in_a_split():
    for number in range(30):
        found = deal(of_class(f"class {number}", 2), Tally(), SHARES)
        assert len(set(found.values())) == 2


def test_chance_decides_where_nothing_is_needed():
    """Over many classes each image has about the same chance of each split."""
    splits = Counter(
        deal(of_class(f"class {number}", 20), Tally(), SHARES)[sha(f"class {number} 0")]
        for number in range(600)
    )
    for split, share in SHARES.items():
        assert splits[split] / 600 == pytest.approx(share, abs=0.06)


def test_what_annotators_were_asked_about_goes_by_its_lot_once_its_class_has_what_it_needs():
    tally = Tally()
    for split in SPLITS:
        tally.add({"a": 1}, split)
    for split in SPLITS:
        group = with_lot(split, by_lot=True)
        assert deal([group], tally, SHARES) == {group.group_id: split}
    # forty more of lots for train: a model chose them, and they stay in train
    many = [
        Group(one, {"a": 1}, by_lot=True)
        for one in map(sha, range(200))
        if founders_split(one, SHARES) == "train"
    ]
    assert set(deal(many, tally, SHARES).values()) == {"train"}


def test_what_annotators_were_asked_about_goes_where_its_class_has_nothing():
    tally = Tally()
    tally.add({"a": 1}, "train")
    tally.add({"a": 1}, "val")
    group = with_lot("train", by_lot=True)
    assert deal([group], tally, SHARES) == {group.group_id: "test"}


def test_a_group_goes_only_where_it_may():
    for number in range(20):
        groups = [Group(sha(f"{number} {n}"), {"a": 1}, among=("train", "val")) for n in range(20)]
        tally = Tally()
        tally.add({"a": 4}, "test")
        assert set(deal(groups, tally, SHARES).values()) == {"train", "val"}
        assert counts(tally, "a")[1] in (3, 4)
    only = [Group(sha(n), {"a": 1}, among=("test",)) for n in range(5)]
    assert set(deal(only, Tally(), SHARES).values()) == {"test"}


def test_images_of_several_classes_give_each_class_what_it_needs():
    tally = Tally()
    rare = [Group(sha(f"rare {n}"), {"rare": 1, "common": 1}) for n in range(4)]
    also = [Group(sha(f"also {n}"), {"also": 1, "common": 1}) for n in range(4)]
    deal([*rare, *also, *of_class("common", 100)], tally, SHARES)
    for name in ("rare", "also"):
        assert counts(tally, name) == [2, 1, 1]
    assert counts(tally, "common")[1] == pytest.approx(16, abs=2)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sets(st.sampled_from("abcd"), min_size=1), st.integers(1, 3)),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 5),
)
def test_every_group_is_dealt_once_and_single_classes_are_never_short(made, batches):
    groups = [
        Group(sha(number), dict.fromkeys(sorted(names), size))
        for number, (names, size) in enumerate(made)
    ]
    tally = Tally()
    found: dict[str, str] = {}
    for batch in range(batches):
        part = groups[batch::batches]
        dealt = deal(part, tally, SHARES)
        assert set(dealt) == {group.group_id for group in part}
        found |= dealt
    assert set(found.values()) <= set(SPLITS)
    if all(len(group.classes) == 1 for group in groups):
        for name in tally.used:
            groups_of_it = sum(name in group.classes for group in groups)
            assert len(tally.used[name]) == min(3, groups_of_it)


# --- the draw, by hand ---------------------------------------------------------------------


def tallied(**images: dict[str, int]) -> Tally:
    """Images by class and split, a group each."""
    tally = Tally()
    for name, counts_of_it in images.items():
        for split, count in counts_of_it.items():
            for _ in range(count):
                tally.add({name: 1}, split)
    return tally


def ids(*, below: float = 1.0, above: float = 0.0) -> str:
    """A group whose lot lies in a range."""
    return next(one for one in map(sha, range(10_000)) if above < place_of(one) < below)


def dealt(group: Group, tally: Tally, shares: dict[str, float] = SHARES) -> str:
    return deal([group], tally, shares)[group.group_id]


def test_a_lot_decides_among_the_splits_that_are_behind_by_how_far_they_are():
    # of ten images 7, 1.5 and 1.5 are due: half an image lacks in validation, half in test
    for below, above, split in ((0.49, 0.4, "val"), (0.6, 0.51, "test"), (0.1, 0.0, "val")):
        tally = tallied(a={"train": 7, "val": 1, "test": 1})
        assert dealt(Group(ids(below=below, above=above), {"a": 1}), tally) == split
    # three quarters of what lacks is in train
    shares = {"train": 0.5, "val": 0.25, "test": 0.25}
    for below, above, split in ((0.74, 0.6, "train"), (0.8, 0.76, "val")):
        tally = tallied(a={"train": 4, "val": 3, "test": 8})
        assert dealt(Group(ids(below=below, above=above), {"a": 5}), tally, shares) == "train"
        tally = tallied(a={"train": 5, "val": 3, "test": 7})
        assert dealt(Group(ids(below=below, above=above), {"a": 1}), tally, shares) == split


def test_a_group_too_large_for_every_split_goes_to_the_one_that_is_most_behind():
    tally = tallied(a={"train": 6, "val": 1, "test": 1})  # 1, 0.5 and 0.5 lack for two more
    assert dealt(Group(ids(above=0.9), {"a": 2}), tally) == "train"
    shares = {"train": 0.5, "val": 0.25, "test": 0.25}
    tally = tallied(a={"train": 7, "val": 2, "test": 5})  # 1, 2 and none
    assert dealt(Group(ids(below=0.1), {"a": 2}), tally, shares) == "val"


def test_all_images_of_a_class_count_for_its_shares():
    for number in range(30):
        tally = Tally()
        deal(of_class(f"class {number}", 20), tally, SHARES)
        assert counts(tally, f"class {number}") == [14, 3, 3]


def test_what_a_class_needs_goes_before_its_shares():
    """With these shares nothing is ever behind in validation or test."""
    shares = {"train": 0.998, "val": 0.001, "test": 0.001}
    for number in range(20):
        tally = Tally()
        deal(of_class(f"class {number}", 6), tally, shares)
        assert counts(tally, f"class {number}") == [4, 1, 1]
        deal(of_class(f"class {number} later", 6), Tally(), shares)


def test_the_rarest_of_its_classes_decides_about_an_image_of_several():
    tally = tallied(
        common={"train": 10, "val": 50, "test": 50}, zebra={"train": 7, "val": 1, "test": 2}
    )
    assert dealt(Group(ids(), {"common": 1, "zebra": 1}), tally) in ("train", "val")
    tally = tallied(
        common={"train": 10, "val": 50, "test": 50}, zebra={"train": 9, "val": 0, "test": 2}
    )
    assert dealt(Group(ids(), {"common": 1, "zebra": 1}), tally) == "val"
    tally = tallied(
        common={"train": 10, "val": 50, "test": 50}, zebra={"train": 19, "val": 1, "test": 3}
    )
    assert dealt(Group(ids(), {"common": 1, "zebra": 1}), tally) == "val"


def test_a_lot_counts_also_among_the_splits_that_are_left():
    name = ids(above=0.78, below=0.84)  # validation, and drawn among these two it would be test
    group = Group(name, {"a": 1}, among=("val", "test"), by_lot=True)
    assert founders_split(name, SHARES) == "val"
    tally = tallied(a={"train": 5, "val": 5, "test": 5})
    assert dealt(group, tally) == "val"


def test_what_is_dealt_by_lot_follows_its_lot_until_its_class_needs_the_last_of_them():
    """All lots say train: only the last two, without which a split would stay empty, do not."""
    ids = (sha(f"lot {number}") for number in range(100))
    of_train = sorted(one for one in ids if founders_split(one, SHARES) == "train")[:10]
    found = deal([Group(one, {"a": 1}, by_lot=True) for one in of_train], Tally(), SHARES)
    assert [found[one] for one in of_train[:8]] == ["train"] * 8
    assert sorted(found[one] for one in of_train[8:]) == ["test", "val"]

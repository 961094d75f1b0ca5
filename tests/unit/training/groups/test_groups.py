"""Images of the same picture are one group, and no group is ever in two splits."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.groups import groups as groups_module
from training.groups.fingerprint import COLOUR, LUMA, Prints
from training.groups.groups import (
    GROUPS_SCHEMA,
    Fingerprints,
    assign_groups,
    at_place,
    current_rows,
    founders_split,
    place_of,
)

pytestmark = pytest.mark.unit

NONE = GROUPS_SCHEMA.empty_table()
SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}
NAMED = ("sha256", "phash", "group_id", "split", "reason", "generation")


def sha(index: int) -> str:
    return hashlib.sha256(str(index).encode()).hexdigest()


def images(hashes: dict[int, int]) -> pa.Table:
    return pa.table(
        {
            "sha256": pa.array([sha(index) for index in hashes], pa.string()),
            "phash": pa.array(list(hashes.values()), pa.uint64()),
        }
    )


def unknown(wanted: Sequence[str]) -> Mapping[str, bytes]:
    """No fingerprint can be had: the hash alone decides."""
    return {}


def grey(level: int) -> bytes:
    """The fingerprint of a flat picture."""
    return bytes([level]) * (LUMA * LUMA) + bytes([128]) * (2 * COLOUR * COLOUR)


def of(prints: dict[int, bytes]) -> Fingerprints:
    by_sha = {sha(index): data for index, data in prints.items()}
    return lambda wanted: {name: by_sha[name] for name in wanted if name in by_sha}


def grouped(
    known: pa.Table, hashes: dict[int, int], distance: int = 4, prints: Fingerprints = unknown
) -> pa.Table:
    rows = assign_groups(known, images(hashes), max_distance=distance, fingerprints=prints)
    assert rows.schema == GROUPS_SCHEMA
    return rows


def by_image(rows: pa.Table) -> dict[str, dict[str, object]]:
    return {row["sha256"]: row for row in rows.to_pylist()}


def known_rows(*rows: tuple[int, int, int, str]) -> pa.Table:
    """Rows of (image, hash, founder, split)."""
    return pa.Table.from_pylist(
        [
            dict(zip(NAMED, (sha(image), phash, sha(founder), split, "", None), strict=True))
            for image, phash, founder, split in rows
        ],
        schema=GROUPS_SCHEMA,
    )


def clustered() -> st.SearchStrategy[list[int]]:
    """Hashes that lie close together: few bits away from few centres."""
    flips = st.lists(st.integers(0, 63), max_size=7)
    centre = st.sampled_from([0, 2**64 - 1, 0x0F0F_3333_AAAA_1234, 0x0F0F_3333_AAAA_1235])

    def flipped(centre: int, bits: list[int]) -> int:
        for bit in bits:
            centre ^= 1 << bit
        return centre

    return st.lists(st.builds(flipped, centre, flips), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(
    batches=st.lists(st.tuples(clustered(), st.booleans()), min_size=1, max_size=4),
    distance=st.sampled_from([1, 4, 6, 15]),
)
def test_no_near_pair_is_ever_split_and_no_split_is_ever_taken_back(batches, distance):
    written, count = NONE, 0
    for batch, is_dealt in batches:
        known = current_rows(written)
        new = {count + position: phash for position, phash in enumerate(batch)}
        count += len(batch)
        written = pa.concat_tables([written, grouped(known, new, distance)])
        now = current_rows(written)
        if is_dealt:
            dealt = [
                row | {"split": founders_split(row["group_id"], SHARES)}
                for row in now.to_pylist()
                if not row["split"]
            ]
            written = pa.concat_tables([written, pa.Table.from_pylist(dealt, schema=GROUPS_SCHEMA)])
            now = current_rows(written)
        after = by_image(now)
        for image, row in by_image(known).items():
            if row["split"]:
                assert (after[image]["split"], after[image]["group_id"]) == (
                    row["split"],
                    row["group_id"],
                )
        kept = [row for row in after.values() if row["split"] != "excluded"]
        for row in kept:
            for other in kept:
                if (row["phash"] ^ other["phash"]).bit_count() <= distance:
                    assert row["split"] == other["split"]
                    if not row["split"]:
                        assert row["group_id"] == other["group_id"]
    groups = Counter((row["group_id"], row["split"]) for row in kept)
    assert len(groups) == len({group for group, _ in groups})


def plain_groups(known: pa.Table, new: pa.Table, distance: int, prints: dict[str, bytes]):
    """What :func:`assign_groups` does, by comparing each new image with all before it."""
    kept = [row for row in known.to_pylist() if row["split"] != "excluded"]
    groups = {row["sha256"]: row["group_id"] for row in kept}
    hashes = {row["sha256"]: row["phash"] for row in [*kept, *new.to_pylist()]}
    split = {row["group_id"]: row["split"] for row in kept}
    shas = list(hashes)
    measure = Prints([prints[sha] for sha in shas])

    def alike(one: str, other: str) -> bool:
        if (hashes[one] ^ hashes[other]).bit_count() > distance:
            return False
        return bool(measure.wholly_same(shas.index(one), np.array([shas.index(other)]))[0])

    found = {}
    for image in sorted(new["sha256"].to_pylist()):
        touched = {groups[other] for other in list(groups) if alike(image, other)}
        dealt = {split[group] for group in touched if split.get(group)}
        if len(dealt) > 1:
            first = min(group for group in touched if split.get(group))
            found[image] = (first, "excluded")
            continue
        touched.add(image)
        root = min(touched, key=lambda group: (not split.get(group), group))
        groups[image] = image
        groups = {one: root if group in touched else group for one, group in groups.items()}
    for image in new["sha256"].to_pylist():
        if image not in found:
            found[image] = (groups[image], split.get(groups[image], ""))
    return found


@settings(max_examples=60, deadline=None)
@given(
    levels=st.lists(st.integers(0, 30), min_size=1, max_size=40),
    hashes=clustered(),
    known=st.integers(0, 20),
    splits=st.lists(st.sampled_from(["", "train", "val", "test"]), min_size=1, max_size=4),
    at_once=st.sampled_from([1, 2, 64]),
)
def test_groups_are_those_of_the_plain_comparison_of_each_pair(
    levels, hashes, known, splits, at_once
):
    """However many are compared at once, and whatever is skipped as its group is known."""
    count = len(levels)
    prints = {sha(index): grey(100 + 2 * level) for index, level in enumerate(levels)}
    of_image = {index: hashes[index % len(hashes)] for index in range(count)}

    def all_of_them(wanted):
        return {name: prints[name] for name in wanted}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups_module, "_AT_ONCE", at_once)
        before = assign_groups(
            NONE,
            images({index: of_image[index] for index in range(min(known, count))}),
            max_distance=4,
            fingerprints=all_of_them,
        )
        there = sorted(set(before["group_id"].to_pylist()))
        dealt = {name: splits[number % len(splits)] for number, name in enumerate(there)}
        rows = [row | {"split": dealt[row["group_id"]]} for row in before.to_pylist()]
        before = pa.Table.from_pylist(rows, schema=GROUPS_SCHEMA)
        new = images({index: of_image[index] for index in range(len(rows), count)})
        found = by_image(assign_groups(before, new, max_distance=4, fingerprints=all_of_them))
    expected = plain_groups(before, new, 4, prints)
    assert {
        image: (found[image]["group_id"], found[image]["split"]) for image in expected
    } == expected


def test_the_order_within_a_batch_does_not_matter_and_a_second_time_adds_nothing():
    hashes = {index: index % 7 << 40 | index for index in range(300)}
    one = grouped(NONE, hashes)
    assert one.equals(grouped(NONE, dict(reversed(list(hashes.items())))))
    assert grouped(one, hashes).num_rows == 0
    assert grouped(NONE, {}).equals(NONE)


def test_what_is_new_joins_what_came_before_it_in_the_same_batch_and_is_not_dealt():
    first, second = sorted((sha(1), sha(2)))
    found = by_image(grouped(NONE, {1: 0, 2: 0b1}))
    assert found[first]["group_id"] == found[second]["group_id"] == first
    assert found[first]["split"] == found[second]["split"] == ""


def test_copies_of_one_picture_are_one_group():
    rows = grouped(NONE, dict.fromkeys(range(3000), 0))
    assert set(rows["group_id"].to_pylist()) == {min(map(sha, range(3000)))}


def test_without_near_duplicates_every_image_is_a_group_of_its_own():
    rows = grouped(known_rows((1, 0, 1, "val")), {2: 0, 3: 0}, distance=0)
    assert rows["group_id"].to_pylist() == rows["sha256"].to_pylist()
    assert set(rows["split"].to_pylist()) == {""}


def test_within_the_distance_is_near_and_one_bit_more_is_not():
    known = known_rows((1, 0, 1, "val"))
    for bits, joins in ((0, True), (3, True), (4, True), (5, False)):
        # bits far apart, in bands of their own
        phash = sum(1 << (13 * bit) for bit in range(bits))
        (row,) = grouped(known, {9: phash}).to_pylist()
        own = {"sha256": sha(9), "phash": phash, "reason": "", "generation": None}
        joined = {"group_id": sha(1), "split": "val"} if joins else None
        assert row == own | (joined or {"group_id": sha(9), "split": ""})


def test_the_highest_bit_counts_as_the_others():
    (row,) = grouped(known_rows((1, 0, 1, "val")), {9: 1 << 63}, 1).to_pylist()
    assert row["group_id"] == sha(1)


def test_an_image_joins_only_what_its_fingerprint_confirms():
    known = known_rows((1, 0, 1, "val"), (2, 0, 2, "test"))
    prints = {1: grey(10), 2: grey(200), 3: grey(11), 4: grey(100), 5: grey(101)}
    found = by_image(grouped(known, {3: 1, 4: 0, 5: 2}, prints=of(prints)))
    assert (found[sha(3)]["group_id"], found[sha(3)]["split"]) == (sha(1), "val")
    assert found[sha(4)]["group_id"] == found[sha(5)]["group_id"] == min(sha(4), sha(5))
    assert found[sha(4)]["split"] == ""


def test_the_hash_decides_where_one_of_two_fingerprints_cannot_be_had():
    known = known_rows((1, 0, 1, "val"))
    for there in ({}, {1: grey(10)}, {9: grey(200)}):
        (row,) = grouped(known, {9: 0}, prints=of(there)).to_pylist()
        assert row["group_id"] == sha(1)


def test_fingerprints_are_asked_for_once_and_only_of_images_with_a_neighbour():
    asked = []

    def prints(wanted: Sequence[str]) -> Mapping[str, bytes]:
        asked.append(sorted(wanted))
        return {}

    known = known_rows((1, 0, 1, "val"), (2, 0xFFFF, 2, ""), (3, 0xFF << 40, 3, ""))
    grouped(known, {4: 1, 5: 0xFFFF_0000_0000_0000, 6: 2}, prints=prints)
    assert asked == [sorted((sha(1), sha(4), sha(6)))]
    grouped(known, {7: 0xFF << 20, 8: 0xFF << 30}, prints=prints)
    assert len(asked) == 1  # nobody is near to anybody


def test_an_image_between_two_splits_is_excluded_and_names_their_groups():
    groups = {n: "val" if n == 4 else "train" for n in (1, 2, 3, 4, 5)}
    known = known_rows(*((n, 1 << n, n, split) for n, split in groups.items()))
    (row,) = grouped(known, {9: 0}).to_pylist()
    near = sorted((sha(n), split) for n, split in groups.items())
    names = ", ".join(f"{group[:12]} ({split})" for group, split in near[:4])
    assert row["group_id"] == near[0][0]
    assert row["split"] == "excluded"
    assert row["reason"] == f"near-duplicate of images in different splits: groups {names}"
    # it pulls nobody along: a neighbour of it alone founds its own group
    table = pa.concat_tables([known, pa.Table.from_pylist([row], schema=GROUPS_SCHEMA)])
    (lone,) = grouped(table, {10: 0b1111 << 32}).to_pylist()
    assert lone["group_id"] == sha(10)


def test_an_image_between_two_splits_in_its_own_batch_pulls_nobody_along_either():
    """Whichever of both comes first: the other one is near to it alone."""
    known = known_rows((1, 0b1111, 1, "train"), (2, 0b1111 << 40, 2, "test"))
    between, beside = 0, 0b1111 << 20
    for first, second in ((5, 6), (6, 5)):
        rows = by_image(grouped(known, {first: between, second: beside}))
        assert sorted(row["split"] for row in rows.values()) == ["", "excluded"] or {
            row["split"] for row in rows.values()
        } == {"excluded", ""}
        assert rows[sha(first)]["split"] == "excluded"
        assert rows[sha(second)]["group_id"] == sha(second)


def test_groups_that_are_not_dealt_become_one():
    known = known_rows((1, 0b1111, 1, ""), (2, 0b1111 << 40, 2, ""), (3, 0b1111 << 40, 2, ""))
    rows = by_image(grouped(known, {9: 0}))
    root = min(sha(1), sha(2), sha(9))
    assert {row["group_id"] for row in rows.values()} == {root}
    moved = {sha(1)} if root != sha(1) else set()
    moved |= {sha(2), sha(3)} if root != sha(2) else set()
    assert set(rows) == moved | {sha(9)}
    now = current_rows(
        pa.concat_tables([known, pa.Table.from_pylist(list(rows.values()), schema=GROUPS_SCHEMA)])
    )
    assert set(now["group_id"].to_pylist()) == {root}


def test_a_group_that_joined_one_follows_it_into_the_next():
    first, second, third, fourth, fifth = sorted(range(60), key=sha)[:5]
    known = known_rows(*((index, 0, index, "") for index in (first, second, third)))
    levels = {first: 100, second: 106, third: 112, fourth: 109, fifth: 103}
    prints = {index: grey(level) for index, level in levels.items()}
    # the fourth shows what the second and the third do; the fifth, what the first and second do
    rows = by_image(grouped(known, {fourth: 0, fifth: 0}, prints=of(prints)))
    assert set(rows) == {sha(index) for index in (second, third, fourth, fifth)}
    assert {row["group_id"] for row in rows.values()} == {sha(first)}


def test_a_group_that_is_not_dealt_joins_the_one_that_is():
    known = known_rows(
        (1, 0b1111, 1, ""), (2, 0b1111 << 40, 2, "test"), (3, 0b1111 << 40, 3, "test")
    )
    rows = by_image(grouped(known, {9: 0}))
    root = min(sha(2), sha(3))
    assert {(row["group_id"], row["split"]) for row in rows.values()} == {(root, "test")}
    assert set(rows) == {sha(1), sha(9)}


def test_an_image_is_placed_once_however_often_it_comes():
    new = pa.concat_tables([images({1: 0, 2: 2**40}), images({1: 0, 3: 2**50 + 2**20})])
    rows = assign_groups(NONE, new, max_distance=1, fingerprints=unknown)
    assert sorted(rows["sha256"].to_pylist()) == sorted(map(sha, (1, 2, 3)))
    twice = pa.concat_tables([images({1: 0}), images({1: 0})])
    assert assign_groups(NONE, twice, max_distance=1, fingerprints=unknown).num_rows == 1
    rows = assign_groups(known_rows((1, 0, 1, "val")), new, max_distance=0, fingerprints=unknown)
    assert sorted(rows["sha256"].to_pylist()) == sorted(map(sha, (2, 3)))


# --- what counts ---------------------------------------------------------------------------


def test_the_first_row_with_a_split_counts_and_before_that_the_last():
    rows = known_rows(
        (1, 0, 1, ""), (2, 0, 2, ""), (2, 0, 1, ""), (3, 0, 3, ""), (3, 0, 3, "val"), (3, 0, 4, "")
    )
    found = by_image(current_rows(rows))
    assert [(found[sha(n)]["group_id"], found[sha(n)]["split"]) for n in (1, 2, 3)] == [
        (sha(1), ""),
        (sha(1), ""),
        (sha(3), "val"),
    ]


def test_members_of_a_group_share_the_split_that_was_given_first():
    """Two runs at once dealt the same group, each without having seen the other's rows."""
    rows = known_rows(
        (1, 0, 1, ""), (2, 0, 1, ""), (1, 0, 1, "val"), (2, 0, 1, "test"), (3, 0, 1, "test"),
        (4, 0, 1, ""), (5, 0, 1, "excluded"),
    )  # fmt: skip
    found = by_image(current_rows(rows))
    assert [found[sha(n)]["split"] for n in (1, 2, 3, 4, 5)] == [
        "val", "val", "val", "val", "excluded",
    ]  # fmt: skip


def test_a_member_that_was_not_dealt_gives_no_split_however_early_its_row():
    rows = known_rows((6, 0, 1, ""), (1, 0, 1, "val"), (2, 0, 1, "excluded"))
    found = by_image(current_rows(rows))
    assert [found[sha(n)]["split"] for n in (6, 1, 2)] == ["val", "val", "excluded"]


def test_a_group_whose_only_row_with_a_split_is_excluded_is_not_dealt():
    found = by_image(current_rows(known_rows((1, 0, 9, "excluded"), (2, 0, 9, ""))))
    assert [found[sha(n)]["split"] for n in (1, 2)] == ["excluded", ""]


def test_only_rows_of_the_generation_count_and_those_of_earlier_versions_are_of_the_first():
    rows = known_rows((1, 0, 1, "val"), (2, 0, 2, "train")).to_pylist()
    rows.append(rows[0] | {"split": "test", "generation": 1})
    table = pa.Table.from_pylist(rows, schema=GROUPS_SCHEMA)
    assert [row["split"] for row in current_rows(table).to_pylist()] == ["val", "train"]
    assert [row["split"] for row in current_rows(table, 1).to_pylist()] == ["test"]
    assert current_rows(table, 2).equals(NONE)


# --- lots ----------------------------------------------------------------------------------


def by_hand(sha256: str, *shares: float) -> str:
    """The split of a founder, from the definition: the place of its salted hash among the shares."""
    digest = hashlib.sha256(b"imgclf split 1\n" + sha256.encode()).hexdigest()
    place = int(digest[:16], 16) / 2**64 * sum(shares)
    return "train" if place < shares[0] else "val" if place < shares[0] + shares[1] else "test"


@pytest.mark.parametrize(
    "shares", [(0.7, 0.15, 0.15), (1.0, 1.0, 2.0), (0.2, 0.2, 0.6), (0.0, 0.5, 0.5)]
)
def test_the_lot_of_a_group_is_its_salted_hash_for_ever(shares):
    named = dict(zip(("train", "val", "test"), shares, strict=True))
    for index in range(200):
        assert founders_split(sha(index), named) == by_hand(sha(index), *shares)
        digest = hashlib.sha256(b"imgclf split 1\n" + sha(index).encode()).hexdigest()
        assert place_of(sha(index)) == int(digest[:16], 16) / 2**64


def test_a_place_beyond_all_weights_by_rounding_is_of_the_last():
    class Least(dict[str, float]):
        def values(self):
            return [2.0]  # so that the place lies beyond all weights

    assert at_place(1.0, Least(train=0.0, val=0.0, test=0.0)) == "test"
    assert [at_place(place, {"a": 1.0, "b": 3.0}) for place in (0, 0.24, 0.25, 0.9)] == [
        "a", "a", "b", "b",
    ]  # fmt: skip


def test_many_images_of_one_scene_are_each_compared_with_some_of_a_group_only():
    """A group is known by one of its images; of the rest of it none is looked at."""
    levels = np.repeat([10, 60, 110, 160], 50)
    prints = {index: grey(int(level)) for index, level in enumerate(levels)}
    rows = by_image(grouped(NONE, dict.fromkeys(prints, 7), prints=of(prints)))
    groups = [{rows[sha(n)]["group_id"] for n in range(k, k + 50)} for k in range(0, 200, 50)]
    assert [len(group) for group in groups] == [1, 1, 1, 1]
    assert len(set.union(*groups)) == 4


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many each step of a comparison compares; the first of all with one."""
    found: list[int] = []
    compared = groups_module._Joiner._shows_same_picture

    def same(self, place: int, others: np.ndarray) -> np.ndarray:
        found.append(len(others))
        return compared(self, place, others)

    monkeypatch.setattr(groups_module, "_AT_ONCE", 1)
    monkeypatch.setattr(groups_module._Joiner, "_shows_same_picture", same)
    return found


def test_where_none_is_the_same_all_are_compared_in_few_steps(steps):
    """Each step costs as much as comparing some hundred pairs, whatever it compares."""
    prints = {index: grey(5 * index) for index in range(50)}
    known = known_rows(*((index, 0, index, "train") for index in range(49)))
    (row,) = grouped(known, {49: 0}, prints=of(prints)).to_pylist()
    assert row["group_id"] == sha(49)
    assert sum(steps) == 49
    assert len(steps) == 6  # 1, 2, 4, 8, 16 and what is left


def test_a_group_that_is_known_to_be_the_same_is_not_compared_again_and_others_are(steps):
    prints = {index: grey(100) for index in range(20)} | {20: grey(104), 21: grey(180)}
    rows = [(index, 0, 0, "") for index in range(20)]
    known = known_rows(*rows, (20, 0, 20, ""), (21, 0, 21, ""))
    found = by_image(grouped(known, {50: 0}, prints=of(prints | {50: grey(102)})))
    assert steps == [1, 2]
    joined = {row["group_id"] for row in found.values()}
    assert joined == {min(sha(0), sha(20), sha(50))}  # both groups, by the one between
    assert sha(21) not in found


def test_the_one_that_shows_the_same_picture_is_found_among_many_that_do_not():
    prints = {
        index: bytes([20 + index % 20 * 8]) * (LUMA * LUMA)
        + bytes([20 + index // 20 * 20]) * (COLOUR * COLOUR)
        + bytes([128]) * (COLOUR * COLOUR)
        for index in range(200)
    }
    known = known_rows(*((index, 0, index, "train") for index in range(200)))
    for index in (0, 63, 64, 130, 199):
        copy = {1000: prints[index]}
        (row,) = grouped(known, {1000: 0}, prints=of(prints | copy)).to_pylist()
        assert row["group_id"] == sha(index)

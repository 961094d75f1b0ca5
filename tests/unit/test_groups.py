"""Near-duplicates never cross a split, and a split once given is never taken back."""

import hashlib
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.groups import GROUPS_SCHEMA, assign_groups

pytestmark = pytest.mark.unit

NONE = GROUPS_SCHEMA.empty_table()
SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


def sha(index: int) -> str:
    return hashlib.sha256(str(index).encode()).hexdigest()


def images(hashes: dict[int, int]) -> pa.Table:
    return pa.table(
        {
            "sha256": pa.array([sha(index) for index in hashes], pa.string()),
            "phash": pa.array(list(hashes.values()), pa.uint64()),
        }
    )


def clustered() -> st.SearchStrategy[list[int]]:
    """Hashes that lie close together: few bits away from few centres."""
    flips = st.lists(st.integers(0, 63), max_size=7)
    centre = st.sampled_from([0, 2**64 - 1, 0x0F0F_3333_AAAA_1234, 0x0F0F_3333_AAAA_1235])

    def flipped(centre: int, bits: list[int]) -> int:
        for bit in bits:
            centre ^= 1 << bit
        return centre

    return st.lists(st.builds(flipped, centre, flips), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(
    batches=st.lists(clustered(), min_size=1, max_size=4),
    distance=st.sampled_from([0, 1, 4, 6, 15]),
)
def test_no_near_pair_is_ever_split_and_nothing_is_ever_moved(batches, distance):
    known, count = NONE, 0
    for batch in batches:
        new = images({count + position: phash for position, phash in enumerate(batch)})
        count += len(batch)
        added = assign_groups(known, new, max_distance=distance, **SHARES)
        assert added.num_rows == len(batch)
        known = pa.concat_tables([known, added])  # `added` holds new rows only: none is moved
    kept = [row for row in known.to_pylist() if row["split"] != "excluded"]
    for row in kept:
        for other in kept:
            if (row["phash"] ^ other["phash"]).bit_count() <= distance:
                assert row["split"] == other["split"]
    by_group = Counter((row["group_id"], row["split"]) for row in kept)
    assert len(by_group) == len({group for group, _ in by_group})


def test_the_order_within_a_batch_does_not_matter_and_a_second_time_adds_nothing():
    hashes = {index: index % 7 << 40 | index for index in range(300)}
    one = assign_groups(NONE, images(hashes), max_distance=4, **SHARES)
    other = assign_groups(
        NONE, images(dict(reversed(list(hashes.items())))), max_distance=4, **SHARES
    )
    assert one.equals(other)
    assert assign_groups(one, images(hashes), max_distance=4, **SHARES).num_rows == 0


def test_an_image_between_two_splits_is_excluded_and_named():
    founders = assign_groups(
        NONE, images({i: int(sha(i)[:16], 16) for i in range(60)}), max_distance=0, **SHARES
    ).to_pylist()
    train = next(row for row in founders if row["split"] == "train")
    test = next(row for row in founders if row["split"] == "test")
    test["phash"] = train["phash"] ^ 0b1111_1111
    known = pa.Table.from_pylist([train, test], schema=GROUPS_SCHEMA)
    between = images({1000: train["phash"] ^ 0b1111})
    row = assign_groups(known, between, max_distance=4, **SHARES).to_pylist()[0]
    assert row["split"] == "excluded"
    assert train["group_id"][:12] in row["reason"]
    assert test["group_id"][:12] in row["reason"]
    # an excluded image pulls nobody along: a neighbour of it alone founds its own group
    excluded = pa.Table.from_pylist([train, test, row], schema=GROUPS_SCHEMA)
    beside = images({1001: row["phash"] ^ (0b1111 << 32)})
    lone = assign_groups(excluded, beside, max_distance=4, **SHARES).to_pylist()[0]
    assert lone["group_id"] == lone["sha256"]


def test_splits_have_about_the_shares_asked_for_and_follow_from_the_founder_alone():
    hashes = {index: int(sha(index)[:16], 16) for index in range(4000)}
    rows = assign_groups(NONE, images(hashes), max_distance=4, **SHARES).to_pylist()
    counts = Counter(row["split"] for row in rows)
    assert counts["train"] == pytest.approx(2800, abs=120)
    assert counts["val"] == pytest.approx(600, abs=90)
    assert counts["test"] == pytest.approx(600, abs=90)
    alone = images({17: hashes[17]})
    row = assign_groups(NONE, alone, max_distance=4, **SHARES).to_pylist()[0]
    assert row in rows


def test_copies_of_one_picture_are_one_group():
    known = assign_groups(NONE, images(dict.fromkeys(range(5000), 0)), max_distance=4, **SHARES)
    assert len(set(known["group_id"].to_pylist())) == 1

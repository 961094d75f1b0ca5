"""Near hashes are found as comparing everything finds them."""

import numpy as np
import pytest

from training.groups import near_hashes
from training.groups.near_hashes import Bands, NearHashes

pytestmark = pytest.mark.unit


def relatives(distance: int, seed: int = 0) -> np.ndarray:
    """Some hashes, and others just inside and just outside of the distance."""
    rng = np.random.default_rng(seed)
    founders = rng.integers(0, 2**64, 30, dtype=np.uint64).tolist()
    hashes = list(founders)
    for founder in founders:
        for flips in (distance, distance + 1):
            bits = rng.choice(64, flips, replace=False)
            hashes.append(founder ^ sum(1 << int(bit) for bit in bits))
    return np.array(hashes, np.uint64)


@pytest.mark.parametrize("distance", [0, 1, 4, 15, 63])
@pytest.mark.parametrize("at_once", [1, 7, 1_000_000])
def test_pairs_are_those_that_comparing_everything_finds(distance, at_once, monkeypatch):
    monkeypatch.setattr(near_hashes, "_PAIRS", at_once)
    hashes = np.unique(relatives(min(distance, 60)))
    ones = np.arange(0, len(hashes), 2)
    expected = {
        (one, other)
        for one in ones.tolist()
        for other in range(len(hashes))
        if one != other and (int(hashes[one]) ^ int(hashes[other])).bit_count() <= distance
    }
    bands = Bands(hashes, ones, distance)
    found = [
        pair
        for parts in bands.pairs()
        for pair in zip(*(part.tolist() for part in parts), strict=True)
    ]
    assert len(found) == len(set(found))
    assert set(found) == expected
    for number, one in enumerate(ones.tolist()):
        near = bands.near(number).tolist()
        assert len(near) == len(set(near))
        assert set(near) == {one} | {other for first, other in expected if first == one}


def test_nothing_is_near_where_nothing_is():
    assert list(Bands(np.empty(0, np.uint64), np.empty(0, np.int64), 4).pairs()) == []


@pytest.mark.parametrize("distance", [1, 4])
def test_those_before_a_new_hash_are_what_comparing_with_all_finds(distance):
    rng = np.random.default_rng(1)
    hashes = rng.permutation(np.concatenate([relatives(distance), relatives(distance)]))
    known = len(hashes) // 2
    near = NearHashes(hashes[:known], hashes[known:], distance)
    for number in range(len(hashes) - known):
        apart = np.bitwise_count(hashes[: known + number] ^ hashes[known + number])
        assert near.before(number).tolist() == np.flatnonzero(apart <= distance).tolist()


def test_each_new_hash_finds_those_before_it():
    known = np.array([0, 0, 0xFF << 20, 1 << 63], np.uint64)
    new = np.array([1, 0xFFFF, 3, 0xFFFF, 0xFFFF_0000_0000], np.uint64)
    near = NearHashes(known, new, 1)
    assert near.crowded().tolist() == [0, 1, 2, 3]
    # 0 is near to 1, 1 to 3, and 1 << 63 to 0
    assert [near.before(number).tolist() for number in range(5)] == [[0, 1], [], [4], [5], []]
    assert near.involved().tolist() == [0, 1, 4, 5, 6, 7]


def test_known_hashes_that_are_near_to_one_another_alone_are_not_looked_at():
    near = NearHashes(np.zeros(5, np.uint64), np.array([2**40 + 2**50], np.uint64), 1)
    assert near.crowded().tolist() == near.involved().tolist() == []

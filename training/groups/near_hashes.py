"""Finding 64-bit hashes that differ in only a few bits ("near").

By the pigeonhole principle, hashes that differ in at most d of 64 bits agree in one of d + 1 bands
(Manku, Jain and Das Sarma, "Detecting near-duplicates for web crawling", WWW 2007), so a hash is
compared only with those that share a band. The cost grows with the number of new hashes.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

BITS = 64
_PAIRS = 1_000_000
"""Pairs that are compared at a time."""


class NearHashes:
    """Finds, for each new hash, the hashes before it that are near.

    Positions count the known hashes first, then the new ones. Near pairs are looked up on request,
    not kept: there may be too many of them.
    """

    def __init__(self, known: np.ndarray, new: np.ndarray, max_distance: int) -> None:
        """Index and compare the hashes; equal ones are compared once.

        Args:
            known: uint64 [k].
            new: uint64 [n].
            max_distance: hashes that differ in at most this many bits are near.
        """
        self._first_new = len(known)
        unique, self._of = np.unique(np.concatenate([known, new]), return_inverse=True)
        # Positions by their hash, in order.
        self._positions = np.argsort(self._of, kind="stable")
        self._ends = np.cumsum(np.bincount(self._of, minlength=len(unique)))
        fresh, self._fresh = np.unique(self._of[self._first_new :], return_inverse=True)
        self._bands = Bands(unique, fresh, max_distance)
        self._shared = np.diff(self._ends, prepend=0) > 1
        self._met = np.zeros(len(unique), bool)
        for ones, others in self._bands.pairs():
            self._shared[ones] = True
            self._met[others] = True

    def crowded(self) -> np.ndarray:
        """Return the numbers of the new hashes that are near to any other: int [m]."""
        return np.flatnonzero(self._shared[self._of[self._first_new :]])

    def involved(self) -> np.ndarray:
        """Return the positions of :meth:`crowded` hashes and of all hashes near to them: int [m]."""
        hashes = self._met.copy()
        hashes[self._of[self._first_new + self.crowded()]] = True
        return np.flatnonzero(hashes[self._of])

    def before(self, new: int) -> np.ndarray:
        """Return the positions before a new hash (by number) that are near to it, sorted: int [m]."""
        position = self._first_new + new
        hashes = self._bands.near(int(self._fresh[new]))
        ends = self._ends[hashes]
        starts = np.where(hashes > 0, self._ends[hashes - 1], 0)
        found = self._positions[_ranges(starts, ends)]
        return np.sort(found[found < position])


class Bands:
    """Different hashes, sorted by each of their bands, for look-ups of hashes near to some of them."""

    def __init__(self, hashes: np.ndarray, ones: np.ndarray, max_distance: int) -> None:
        """Sort the hashes by each band.

        Args:
            hashes: uint64 [h], all different.
            ones: int [m], positions of the hashes whose near ones are wanted.
            max_distance: hashes that differ in at most this many bits are near.
        """
        self._hashes, self._ones, self._distance = hashes, ones, max_distance
        edges = np.linspace(0, BITS, max_distance + 2).astype(int).tolist()
        self._masks = [np.uint64(((1 << (high - low)) - 1) << low) for low, high in pairwise(edges)]
        self._orders, self._starts, self._ends = [], [], []
        for mask in self._masks:
            order = np.argsort(hashes & mask, kind="stable").astype(np.int32)
            ordered, wanted = (hashes & mask)[order], hashes[ones] & mask
            self._orders.append(order)
            self._starts.append(np.searchsorted(ordered, wanted, "left").astype(np.int32))
            self._ends.append(np.searchsorted(ordered, wanted, "right").astype(np.int32))

    def pairs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield pairs of near hashes, each pair once, in batches: positions of both, int [m] each."""
        for band, order in enumerate(self._orders):
            starts, ends = (side[band].astype(np.int64) for side in (self._starts, self._ends))
            for one, position in _expanded(self._ones, starts, ends):
                other = order[position]
                near = self._near(self._hashes[one] ^ self._hashes[other], band)
                near &= one != other
                yield one[near], other[near]

    def near(self, number: int) -> np.ndarray:
        """Return the positions of the hashes near to ``ones[number]``, itself included: int [m]."""
        own = self._hashes[self._ones[number]]
        found = []
        for band, order in enumerate(self._orders):
            in_band = order[self._starts[band][number] : self._ends[band][number]]
            found.append(in_band[self._near(self._hashes[in_band] ^ own, band)])
        return np.concatenate(found)

    def _near(self, differ: np.ndarray, band: int) -> np.ndarray:
        """Whether hashes are near and share no earlier band: bool, of differences (xor)."""
        near = np.bitwise_count(differ) <= self._distance
        for mask in self._masks[:band]:
            near &= (differ & mask) != 0
        return np.asarray(near)


def _expanded(
    ones: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each of ``ones`` with each position of its range, in batches of about ``_PAIRS``."""
    total = np.cumsum(ends - starts)
    low = 0
    while low < len(ones):
        before = total[low - 1] if low else 0
        high = max(low + 1, int(np.searchsorted(total, before + _PAIRS, "right")))
        counts = (ends - starts)[low:high]
        yield np.repeat(ones[low:high], counts), _ranges(starts[low:high], ends[low:high])
        low = high


def _ranges(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the numbers of all ranges, one range after the other: int [m]."""
    counts = ends - starts
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(np.repeat(starts, counts) + offsets)

"""Detects near-duplicates in different splits, independently of the groups that prevent them."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

BITS = 64
_ROWS = 256
"""Images that are compared with all of their bucket at a time."""

Fingerprints = Callable[[Sequence[str]], Mapping[str, bytes]]
"""Returns image (sha256) to fingerprint, of the images whose fingerprint can be computed."""


def crossing_pairs(
    images: pa.Table, max_distance: int, fingerprints: Fingerprints | None = None
) -> list[tuple[str, str]]:
    """Find near-duplicates in different splits.

    A pair's hashes differ in at most ``max_distance`` bits, and its fingerprints do not distinguish
    the images. By the pigeonhole principle, two such hashes agree in at least one of
    ``max_distance + 1`` bands.

    Args:
        images: ``sha256``, ``split`` and ``phash`` (uint64), a row an image.
        max_distance: bits in which the hashes of near-duplicates may differ.
        fingerprints: called once; ``None``: the hashes alone decide.

    Returns:
        (sha256, sha256) pairs, each once, sorted.
    """
    shas = images["sha256"].to_pylist()
    same_picture = _print_test(images, max_distance, fingerprints) if fingerprints else None
    found = []
    for one, others in _near(images, max_distance):
        same = others if same_picture is None else same_picture(one, others)
        found += [(min(pair), max(pair)) for pair in ((shas[one], shas[two]) for two in same)]
    return sorted(found)


def _print_test(
    images: pa.Table, max_distance: int, fingerprints: Fingerprints
) -> Callable[[int, np.ndarray], np.ndarray]:
    """Return a function that keeps those of the other images (positions) that fingerprints do not
    distinguish from the one.
    """
    from training.groups.fingerprint import Prints

    asked = np.zeros(images.num_rows, bool)
    for one, others in _near(images, max_distance):
        asked[one] = True
        asked[others] = True
    positions = np.flatnonzero(asked)
    shas = images["sha256"].take(pa.array(positions)).to_pylist()
    known = fingerprints(shas) if shas else {}
    numbers = np.full(images.num_rows, -1)
    having = np.array([sha in known for sha in shas], bool)
    numbers[positions[having]] = np.arange(int(having.sum()))
    prints = Prints([known[sha] for sha in shas if sha in known])

    def test(one: int, others: np.ndarray) -> np.ndarray:
        same = np.ones(len(others), bool)
        if numbers[one] >= 0:
            has_print = numbers[others] >= 0
            same[has_print] = prints.same(int(numbers[one]), numbers[others[has_print]])
        return others[same]

    return test


def _near(images: pa.Table, max_distance: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each image with later images of other splits and similar hashes (positions)."""
    hashes = images["phash"].to_numpy()
    _, splits = np.unique(np.array(images["split"].to_pylist(), str), return_inverse=True)
    edges = np.linspace(0, BITS, max_distance + 2).astype(int)
    bands = [
        (hashes >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        for low, high in pairwise(edges)
    ]
    for number, band in enumerate(bands):
        for members in _buckets(band):
            if len(set(splits[members])) < 2:
                continue
            for start in range(0, len(members), _ROWS):
                ones = members[start : start + _ROWS, None]
                near = np.bitwise_count(hashes[ones] ^ hashes[members]) <= max_distance
                near &= splits[ones] != splits[members]
                near &= ones < members
                for earlier in bands[:number]:  # yielded for that band already
                    near &= earlier[ones] != earlier[members]
                for row in np.flatnonzero(near.any(axis=1)).tolist():
                    yield int(ones[row, 0]), members[near[row]]


def _buckets(values: np.ndarray) -> list[np.ndarray]:
    buckets: dict[int, list[int]] = defaultdict(list)
    for position, value in enumerate(values.tolist()):
        buckets[value].append(position)
    return [np.array(members) for members in buckets.values() if len(members) > 1]

"""Looking for near-duplicates that cross a split, without trusting the groups that should prevent it."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pyarrow as pa

BITS = 64


def crossing_pairs(images: pa.Table, max_distance: int) -> list[tuple[str, str]]:
    """Pairs of images in different splits whose hashes differ in at most ``max_distance`` bits.

    By pigeonhole, two such hashes agree in at least one of ``max_distance + 1`` bands.

    Args:
        images: ``sha256``, ``split`` and ``phash`` (uint64), a row an image.

    Returns:
        (sha256, sha256) pairs, each once, sorted.
    """
    hashes = images["phash"].to_numpy()
    splits = np.array(images["split"].to_pylist())
    shas = images["sha256"].to_pylist()
    edges = np.linspace(0, BITS, max_distance + 2).astype(int)
    found: set[tuple[str, str]] = set()
    for low, high in pairwise(edges):
        band = (hashes >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        for members in _buckets(band):
            if len(set(splits[members])) < 2:
                continue
            near = np.bitwise_count(hashes[members, None] ^ hashes[None, members]) <= max_distance
            crossing = near & (splits[members, None] != splits[None, members])
            for one, other in np.argwhere(np.triu(crossing)):
                pair = sorted((shas[members[one]], shas[members[other]]))
                found.add((pair[0], pair[1]))
    return sorted(found)


def _buckets(values: np.ndarray) -> list[np.ndarray]:
    buckets: dict[int, list[int]] = defaultdict(list)
    for position, value in enumerate(values.tolist()):
        buckets[value].append(position)
    return [np.array(members) for members in buckets.values() if len(members) > 1]

"""Near-duplicate groups and the split each belongs to, for ever.

Images whose perceptual hashes differ in a few bits are the same picture to a model: one in
training and one in test would flatter the score. So they share a split, and a split, once
given, is never taken back: scores stay comparable as the data grows.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

GROUPS_SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),
        ("phash", pa.uint64()),
        ("group_id", pa.string()),
        ("split", pa.string()),
        ("reason", pa.string()),
    ]
)
"""One row an image. ``group_id`` is the sha256 of the image that founded the group; ``split``
is ``train``, ``val``, ``test`` or ``excluded``, the last with its ``reason``."""

_SALT = b"imgclf split 1\n"
_HASH_BITS = 64


def assign_groups(
    known: pa.Table, new: pa.Table, *, max_distance: int, train: float, val: float, test: float
) -> pa.Table:
    """Rows for the images of ``new`` that ``known`` does not have; earlier rows never change.

    In the order of their sha256, images join the group of the nearest picture within
    ``max_distance``; with none there, they found one, whose split is a hash of the founder. An
    image near groups of different splits belongs to neither: it is ``excluded``, so that **no
    two images within** ``max_distance`` **are ever in two different splits**.

    Pairs are found by pigeonhole: hashes that differ in at most d of 64 bits agree in one of
    d + 1 bands (Manku, Jain and Das Sarma, "Detecting near-duplicates for web crawling",
    WWW 2007), so a new image is compared only with those that share a band.

    Args:
        known: rows in ``GROUPS_SCHEMA``, all that were ever assigned.
        new: columns ``sha256`` and ``phash`` (uint64).
        max_distance: bits in which near-duplicates may differ.
        train, val, test: the shares of the splits; they add up to 1.
    """
    if new.num_rows == 0:
        return GROUPS_SCHEMA.empty_table()
    index = _Index(max_distance)
    seen = set()
    for row in known.to_pylist():
        seen.add(row["sha256"])
        if row["split"] != "excluded":
            index.add(row["phash"], row["group_id"], row["split"])
    shares = {"train": train, "val": val, "test": test}
    rows = []
    for row in new.select(["sha256", "phash"]).sort_by("sha256").to_pylist():
        if row["sha256"] in seen:
            continue
        seen.add(row["sha256"])
        rows.append({**row, **_place(index, row["sha256"], row["phash"], shares)})
    return pa.Table.from_pylist(rows, schema=GROUPS_SCHEMA)


def founders_split(sha256: str, shares: dict[str, float]) -> str:
    """The split of a group, from the sha256 of its founder alone."""
    digest = hashlib.sha256(_SALT + sha256.encode("ascii")).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64 * sum(shares.values())
    for split, share in shares.items():
        if position < share:
            return split
        position -= share
    return split


def _place(index: "_Index", sha256: str, phash: int, shares: dict[str, float]) -> dict[str, str]:
    near = sorted(index.near(phash))
    splits = sorted({hit.split for hit in near})
    if len(splits) > 1:
        names = ", ".join(f"{hit.group_id[:12]} ({hit.split})" for hit in near[:4])
        reason = f"near-duplicate of images in different splits: groups {names}"
        return {"group_id": near[0].group_id, "split": "excluded", "reason": reason}
    group_id = near[0].group_id if near else sha256
    split = splits[0] if near else founders_split(sha256, shares)
    index.add(phash, group_id, split)
    return {"group_id": group_id, "split": split, "reason": ""}


@dataclass(frozen=True, order=True, slots=True)
class _Hit:
    distance: int
    group_id: str
    split: str


class _Index:
    """Hashes by band. Holds each different hash once, so that a thousand copies of one picture
    cost no more than one."""

    def __init__(self, max_distance: int) -> None:
        self._max_distance = max_distance
        edges = np.linspace(0, _HASH_BITS, max_distance + 2).astype(int).tolist()
        self._bands = [(low, (1 << (high - low)) - 1) for low, high in pairwise(edges)]
        self._buckets: dict[tuple[int, int], list[int]] = defaultdict(list)
        self._groups: dict[int, dict[str, str]] = {}

    def add(self, phash: int, group_id: str, split: str) -> None:
        """Make (phash, group) findable."""
        if phash not in self._groups:
            self._groups[phash] = {}
            for key in self._keys(phash):
                self._buckets[key].append(phash)
        self._groups[phash][group_id] = split

    def near(self, phash: int) -> Iterator[_Hit]:
        """Every group with a member within the distance; a group may come more than once."""
        candidates = {other for key in self._keys(phash) for other in self._buckets.get(key, ())}
        for other in candidates:
            distance = (phash ^ other).bit_count()
            if distance <= self._max_distance:
                for group_id, split in self._groups[other].items():
                    yield _Hit(distance, group_id, split)

    def _keys(self, phash: int) -> Iterator[tuple[int, int]]:
        for band, (low, mask) in enumerate(self._bands):
            yield band, phash >> low & mask

"""Near-duplicate groups and the split each belongs to.

Images that show the same picture are one picture to a model: one in training and one in test would
flatter the score. So they form a group, and a group shares a split. A split, once dealt
(:mod:`training.groups.dealing`), is never taken back: scores stay comparable as the data grows.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labelling.columns import codes_of, flat, is_true, kept, last_of_each, ranks, taken
from training.groups.fingerprint import Prints
from training.groups.near_hashes import NearHashes

GROUPS_SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),
        ("phash", pa.uint64()),
        ("group_id", pa.string()),
        ("split", pa.string()),
        ("reason", pa.string()),
        ("generation", pa.int32()),
    ]
)
"""``group_id`` is the sha256 of an image of the group; ``split`` is ``train``, ``val``, ``test``,
``""`` as long as it is not dealt, or ``excluded``, the last with its ``reason``. ``generation``
counts the times that all was dealt anew (null, from earlier versions: 0)."""

EXCLUDED = "excluded"
_SALT = b"imgclf split 1\n"

Fingerprints = Callable[[Sequence[str]], Mapping[str, bytes]]
"""Fingerprints of images (sha256); those that cannot be had are left out."""


def founders_split(sha256: str, shares: Mapping[str, float]) -> str:
    """The split that a group would have by chance alone, from its id."""
    return at_place(place_of(sha256), shares)


def place_of(group_id: str) -> float:
    """A number from 0 to 1 that the id decides alone: the group's lot."""
    digest = hashlib.sha256(_SALT + group_id.encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def at_place(place: float, weights: Mapping[str, float]) -> str:
    """The one of ``weights`` in whose stretch ``place`` lies, if they share 0 to 1 in their order."""
    position = place * sum(weights.values())
    for name, weight in weights.items():
        if position < weight:
            return name
        position -= weight
    return name


def current_rows(rows: pa.Table, generation: int = 0) -> pa.Table:
    """One row an image of all that were ever written: what counts.

    A split is for ever, so an image's first row with one counts; before that, its last row. The
    members of a group share the split that the group was given first, whoever dealt at once.
    """
    rows = kept(rows, is_true(pc.equal(pc.fill_null(rows["generation"], 0), generation)))
    if not rows.num_rows:
        return GROUPS_SCHEMA.empty_table()
    of, count = ranks(rows["sha256"])
    if count < rows.num_rows:
        dealt = is_true(pc.not_equal(rows["split"], ""))
        position = np.arange(rows.num_rows)
        first = np.full(count, rows.num_rows)
        np.minimum.at(first, of[dealt], position[dealt])
        last = last_of_each(of, count)
        rows = taken(rows, np.sort(np.where(first < rows.num_rows, first, last)))
    return _with_group_splits(rows)


def _with_group_splits(rows: pa.Table) -> pa.Table:
    """``rows``, one an image, with the first split that was dealt to each group for all of it."""
    joined = ~is_true(pc.equal(rows["group_id"], rows["sha256"]))
    ids = pc.unique(flat(rows["group_id"]).filter(pa.array(joined)))
    shared = np.flatnonzero(is_true(pc.is_in(rows["group_id"], value_set=ids)))
    of, count = codes_of(rows["group_id"].take(pa.array(shared)))
    splits = flat(rows["split"])
    mine = splits.take(pa.array(shared))
    dealt = ~is_true(pc.is_in(mine, value_set=pa.array(["", EXCLUDED])))
    first = np.full(count, rows.num_rows)
    np.minimum.at(first, of[dealt], shared[dealt])
    excluded = is_true(pc.equal(mine, EXCLUDED))
    source = np.arange(rows.num_rows)
    source[shared] = np.where(excluded | (first[of] == rows.num_rows), shared, first[of])
    if bool((source == np.arange(rows.num_rows)).all()):
        return rows
    column = splits.take(pa.array(source))
    return rows.set_column(rows.schema.get_field_index("split"), "split", column)


def assign_groups(
    known: pa.Table, new: pa.Table, *, max_distance: int, fingerprints: Fingerprints
) -> pa.Table:
    """Rows for the images of ``new`` that ``known`` does not have.

    In the order of their sha256, an image joins the groups of all that show the same picture:
    whose hash is within ``max_distance``, and whose fingerprint says so, too. With none there, it
    founds one. Groups that it joins become one as long as no more than one split was dealt to
    them; their members get new rows then. An image that shows the same picture as images of
    different splits belongs to neither: it is ``excluded``. So **no two images of the same picture
    are ever in two different splits**. The hash alone decides where a fingerprint cannot be had.

    Args:
        known: the rows that count (:func:`current_rows`).
        new: columns ``sha256`` and ``phash`` (uint64).
        max_distance: bits in which hashes of the same picture may differ; 0: every image is a
            group of its own.
        fingerprints: asked once, for all images whose hash is near to that of another.
    """
    fresh = _fresh(known, new)
    if not fresh.num_rows:
        return GROUPS_SCHEMA.empty_table()
    shas = fresh["sha256"].to_pylist()
    placed = {}
    rehomed = GROUPS_SCHEMA.empty_table()
    if max_distance:
        known = known.filter(pc.not_equal(known["split"], EXCLUDED))
        joiner = _Joiner(known, fresh, max_distance, fingerprints)
        placed = joiner.placed()
        rehomed = joiner.rehomed()
    own = [placed.get(number, (sha, "", "")) for number, sha in enumerate(shas)]
    for place, name in enumerate(("group_id", "split", "reason")):
        fresh = fresh.append_column(name, pa.array([row[place] for row in own], pa.string()))
    fresh = fresh.append_column("generation", pa.nulls(len(shas), pa.int32()))
    return pa.concat_tables([fresh.cast(GROUPS_SCHEMA), rehomed])


def _fresh(known: pa.Table, new: pa.Table) -> pa.Table:
    """The new images, each once, in the order of their sha256."""
    new = new.select(["sha256", "phash"])
    new = new.filter(pc.invert(pc.is_in(new["sha256"], value_set=known["sha256"])))
    new = new.sort_by("sha256")
    if new.num_rows < 2:
        return new
    shas = new["sha256"].combine_chunks()
    differ = pc.not_equal(shas.slice(1), shas.slice(0, len(shas) - 1))
    return new.filter(pa.concat_arrays([pa.array([True]), differ]))


class _Joiner:
    """Joins new images to groups, by union-find. Images are known by their position among those
    that are near to another, in their order: known ones, then new ones."""

    def __init__(
        self, known: pa.Table, fresh: pa.Table, max_distance: int, fingerprints: Fingerprints
    ) -> None:
        self._known, self._first = known, known.num_rows
        hashes = [table["phash"].to_numpy().astype(np.uint64) for table in (known, fresh)]
        self._near = NearHashes(hashes[0], hashes[1], max_distance)
        self._new = self._near.crowded()
        self._positions = self._near.involved()
        self._there = int(np.searchsorted(self._positions, self._first))
        self._place = np.empty(known.num_rows + fresh.num_rows, np.int64)
        self._place[self._positions] = np.arange(len(self._positions))
        old = known.take(pa.array(self._positions[: self._there]))
        new = fresh.take(pa.array(self._new))
        shas = pa.concat_arrays([t["sha256"].combine_chunks() for t in (old, new)])
        ids = pa.concat_arrays(
            [t[c].combine_chunks() for t, c in ((old, "group_id"), (new, "sha256"))]
        )
        groups = ids.dictionary_encode()
        self._group = groups.indices.to_numpy()
        self._names: list[str] = groups.dictionary.to_pylist()
        self._parent = np.arange(len(self._names))
        self._split = [""] * len(self._names)
        for group, split in zip(self._group.tolist(), old["split"].to_pylist(), strict=False):
            self._split[group] = split
        self._prepare(shas.to_pylist(), fingerprints)

    def placed(self) -> dict[int, tuple[str, str, str]]:
        """The new images (numbers) that are near to another, with group, split and reason."""
        out: dict[int, tuple[str, str, str]] = {}
        left_out = np.zeros(len(self._positions), bool)
        for place, number in enumerate(self._new.tolist(), start=self._there):
            before = self._place[self._near.before(number)]
            roots = self._touched(place, before[~left_out[before]])
            dealt = [root for root in roots if self._split[root]]
            if len({self._split[root] for root in dealt}) > 1:
                left_out[place] = True
                out[number] = self._between(dealt)
            else:
                self._join([int(self._group[place]), *roots])
        for place, number in enumerate(self._new.tolist(), start=self._there):
            if number not in out:
                root = int(self._roots(self._group[[place]])[0])
                out[number] = self._names[root], self._split[root], ""
        return out

    def rehomed(self) -> pa.Table:
        """New rows of known images whose group was joined to another, and not dealt before."""
        roots = self._roots(np.arange(len(self._names))).tolist()
        moved = {
            name: root
            for number, (name, root) in enumerate(zip(self._names, roots, strict=True))
            if root != number
        }
        joined = pa.array(list(moved), pa.string())
        rows = self._known.filter(pc.is_in(self._known["group_id"], value_set=joined))
        rows = rows.filter(pc.equal(rows["split"], ""))
        found = []
        for row in rows.to_pylist():
            root = moved[row["group_id"]]
            found.append(row | {"group_id": self._names[root], "split": self._split[root]})
        return pa.Table.from_pylist(found, schema=GROUPS_SCHEMA)

    def _prepare(self, shas: Sequence[str], fingerprints: Fingerprints) -> None:
        """Have the fingerprints of all that are compared; -1: it cannot be had."""
        found = fingerprints(shas) if len(shas) else {}
        having = np.array([sha in found for sha in shas], bool)
        self._print = np.where(having, np.cumsum(having) - 1, -1)
        self._prints = Prints([found[sha] for sha in shas if sha in found])

    def _touched(self, place: int, others: np.ndarray) -> list[int]:
        """The groups that hold the same picture as an image."""
        found = np.empty(0, np.int64)
        roots = self._roots(self._group[others])
        at_once = _AT_ONCE
        while len(others):
            # Some at a time, as one image of a group is enough to know it; more and more, as
            # where none is the same all have to be looked at.
            same = self._same(place, others[:at_once])
            others, rest = others[at_once:], roots[at_once:]
            if same.any():
                found = np.union1d(found, roots[:at_once][same])
                others, rest = others[kept := ~np.isin(rest, found)], rest[kept]
            roots, at_once = rest, 2 * at_once
        return [int(root) for root in found]

    def _same(self, place: int, others: np.ndarray) -> np.ndarray:
        own, its = int(self._print[place]), self._print[others]
        same = np.ones(len(others), bool)
        if own >= 0:
            told = its >= 0
            same[told] = self._prints.same(own, its[told])
        return same

    def _join(self, groups: list[int]) -> None:
        """Make one of the groups: the first by name of those that were dealt, or of all."""
        root = min(groups, key=lambda group: (not self._split[group], self._names[group]))
        self._parent[groups] = root

    def _roots(self, groups: np.ndarray) -> np.ndarray:
        roots = self._parent[groups]
        while not np.array_equal(above := self._parent[roots], roots):
            roots = above
        self._parent[groups] = roots
        return roots

    def _between(self, roots: Sequence[int]) -> tuple[str, str, str]:
        dealt = sorted((self._names[root], self._split[root]) for root in roots)
        names = ", ".join(f"{name[:12]} ({split})" for name, split in dealt[:4])
        reason = f"near-duplicate of images in different splits: groups {names}"
        return dealt[0][0], EXCLUDED, reason


_AT_ONCE = 64
"""Images that one is compared with before those of groups that it belongs to are left out."""

"""Near-duplicate groups and their splits.

Images that show the same picture must not be in training and in test, which would bias the score.
So they form a group, and a group has one split. A split, once assigned
(:mod:`training.groups.dealing`), is permanent, so that scores stay comparable as the data grows.
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
"""``group_id`` is the SHA-256 of an image of the group. ``split`` is ``train``, ``val``, ``test``,
``""`` before it is assigned, or ``excluded``, with a ``reason``. ``generation`` counts the times that
all groups were assigned again (null, from earlier versions: 0)."""

EXCLUDED = "excluded"
_SALT = b"imgclf split 1\n"

Fingerprints = Callable[[Sequence[str]], Mapping[str, bytes]]
"""Returns fingerprints by SHA-256 of the images; unavailable ones are left out."""


def founders_split(sha256: str, shares: Mapping[str, float]) -> str:
    """Return the split that a group's lot alone would give it.

    Args:
        sha256: the group's id.
        shares: by split.
    """
    return at_place(place_of(sha256), shares)


def place_of(group_id: str) -> float:
    """Return a group's lot: a number in [0, 1] that depends only on its id."""
    digest = hashlib.sha256(_SALT + group_id.encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def at_place(place: float, weights: Mapping[str, float]) -> str:
    """Divide [0, 1) in proportion to ``weights``, in their order; return the one ``place`` is in."""
    position = place * sum(weights.values())
    for name, weight in weights.items():
        if position < weight:
            return name
        position -= weight
    return name


def current_rows(rows: pa.Table, generation: int = 0) -> pa.Table:
    """Reduce all rows that were ever written to the valid one of each image.

    Splits are permanent, so an image's first row with a split is valid, else its last row. Members
    of a group get the split that was assigned to the group first, also if two processes assigned
    splits at the same time.

    Args:
        rows: in ``GROUPS_SCHEMA``, in the order of writing.
        generation: rows of other generations are left out.
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
    """Give all members of a group the group's first split; ``rows`` has one row per image."""
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
    """Assign the images of ``new`` that are not in ``known`` to groups.

    In the order of their SHA-256, an image joins the groups of all images that show the same
    picture: whose hash is within ``max_distance``, and whose fingerprint passes the test. If there
    is none, it starts a new group. Groups that it joins are merged if at most one split was
    assigned to them; their members then get new rows. An image that shows the same picture as
    images of different splits is ``excluded``. So **no two images of the same picture are ever in
    two different splits**. Without a fingerprint, the hash alone decides.

    Args:
        known: the valid rows (:func:`current_rows`).
        new: columns ``sha256`` and ``phash`` (uint64).
        max_distance: bits in which hashes of the same picture may differ; 0: every image is a
            group of its own.
        fingerprints: called once, for all images whose hash is near to another's.

    Returns:
        New rows in ``GROUPS_SCHEMA``.
    """
    fresh = _new_images(known, new)
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


def _new_images(known: pa.Table, new: pa.Table) -> pa.Table:
    """Return the images of ``new`` that are not in ``known``, each once, sorted by SHA-256."""
    new = new.select(["sha256", "phash"])
    new = new.filter(pc.invert(pc.is_in(new["sha256"], value_set=known["sha256"])))
    new = new.sort_by("sha256")
    if new.num_rows < 2:
        return new
    shas = new["sha256"].combine_chunks()
    differ = pc.not_equal(shas.slice(1), shas.slice(0, len(shas) - 1))
    return new.filter(pa.concat_arrays([pa.array([True]), differ]))


class _Joiner:
    """Joins new images to groups, by union-find.

    Images are identified by their position among those that are near to another: known images
    first, then new ones.
    """

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
        self._read_fingerprints(shas.to_pylist(), fingerprints)

    def placed(self) -> dict[int, tuple[str, str, str]]:
        """Return group, split and reason of the new images that are near to another, by number."""
        out: dict[int, tuple[str, str, str]] = {}
        left_out = np.zeros(len(self._positions), bool)
        for place, number in enumerate(self._new.tolist(), start=self._there):
            before = self._place[self._near.before(number)]
            roots = self._near_groups(place, before[~left_out[before]])
            dealt = [root for root in roots if self._split[root]]
            if len({self._split[root] for root in dealt}) > 1:
                left_out[place] = True
                out[number] = self._exclude_across_splits(dealt)
            else:
                self._join([int(self._group[place]), *roots])
        for place, number in enumerate(self._new.tolist(), start=self._there):
            if number not in out:
                root = int(self._roots(self._group[[place]])[0])
                out[number] = self._names[root], self._split[root], ""
        return out

    def rehomed(self) -> pa.Table:
        """Return new rows of known images whose group had no split and was merged into another."""
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

    def _read_fingerprints(self, shas: Sequence[str], fingerprints: Fingerprints) -> None:
        """Read the fingerprints of all images to compare; an unavailable one has position -1."""
        found = fingerprints(shas) if len(shas) else {}
        having = np.array([sha in found for sha in shas], bool)
        self._print = np.where(having, np.cumsum(having) - 1, -1)
        self._prints = Prints([found[sha] for sha in shas if sha in found])

    def _near_groups(self, place: int, others: np.ndarray) -> list[int]:
        """Return the groups with an image that shows the same picture.

        Args:
            place: position of the image.
            others: int [n], positions of the images to compare it with.
        """
        found = np.empty(0, np.int64)
        roots = self._roots(self._group[others])
        at_once = _AT_ONCE
        while len(others):
            # Some at a time, since one image of a group is enough to find it; in growing numbers,
            # since all have to be compared where none is the same.
            same = self._shows_same_picture(place, others[:at_once])
            others, rest = others[at_once:], roots[at_once:]
            if same.any():
                found = np.union1d(found, roots[:at_once][same])
                others, rest = others[kept := ~np.isin(rest, found)], rest[kept]
            roots, at_once = rest, 2 * at_once
        return [int(root) for root in found]

    def _shows_same_picture(self, place: int, others: np.ndarray) -> np.ndarray:
        """Which of ``others`` show the picture at ``place``; one without a fingerprint counts as such."""
        fingerprint, others_fingerprints = int(self._print[place]), self._print[others]
        same = np.ones(len(others), bool)
        if fingerprint >= 0:
            has_fingerprint = others_fingerprints >= 0
            same[has_fingerprint] = self._prints.same(
                fingerprint, others_fingerprints[has_fingerprint]
            )
        return same

    def _join(self, groups: list[int]) -> None:
        """Merge groups into the first by name of those with a split, or of all."""
        root = min(groups, key=lambda group: (not self._split[group], self._names[group]))
        self._parent[groups] = root

    def _roots(self, groups: np.ndarray) -> np.ndarray:
        roots = self._parent[groups]
        while not np.array_equal(above := self._parent[roots], roots):
            roots = above
        self._parent[groups] = roots
        return roots

    def _exclude_across_splits(self, roots: Sequence[int]) -> tuple[str, str, str]:
        """Return group, ``EXCLUDED`` and the reason for an image similar to several splits."""
        dealt = sorted((self._names[root], self._split[root]) for root in roots)
        names = ", ".join(f"{name[:12]} ({split})" for name, split in dealt[:4])
        reason = f"near-duplicate of images in different splits: groups {names}"
        return dealt[0][0], EXCLUDED, reason


_AT_ONCE = 64
"""Images of the first comparison, after which other images of groups already found are skipped."""

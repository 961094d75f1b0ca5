"""Vectors of images in the store: rows of fixed width in create-only segments.

``<prefix>/<number>.vectors`` (``object_store.contents.segments``) holds the images of one append. Nothing
is ever rewritten or compacted: an append writes what is new, after it has read 8 bytes of each known
image, and a reader reads the rows that it needs. The numbers have no gaps, so a lost segment is
detected.

Parts in Parquet beside the segments, which older versions wrote, are read as they are; nothing is
added to them.

A lost or damaged segment is an error. Who finds a damaged vector leaves a note beside its segment:
:meth:`Vectors.mend` then looks at that segment, and puts an empty one in its place.
"""

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from object_store.contents import segments
from object_store.contents.damage import DamagedObject
from object_store.contents.parquet_vectors import ParquetVectors
from object_store.contents.segments import (
    CRC_BYTES,
    HEAD_BYTES,
    HEADER_BYTES,
    TAIL_BYTES,
    SegmentFlaw,
)
from object_store.errors import KeyMissing, StoreError
from object_store.store import ObjectStore
from object_store.transfer import at_once, workers

_SEGMENT = re.compile(r"(\d{10})\.vectors$")
_NOTE = ".damaged"
"""Suffix of a note that a reader found a vector damaged."""

_LIST_ATTEMPTS = 20
_LIST_PAUSE_S = 0.05
_BLOCK = 4096
"""Vectors read at a time, which bounds memory."""

_DENSE = 8
"""Of a bucket, rows are read all together if at least one in so many is wanted."""

Block = tuple[np.ndarray, np.ndarray]
"""Positions of some of the images asked for, int64 [k], and their vectors, [k, d]."""


@dataclass(frozen=True)
class _Segment:
    number: int
    key: str
    header: segments.Header
    heads: np.ndarray


class Vectors:
    """Vectors by image (sha256). Several processes may append and read at the same time."""

    def __init__(
        self,
        store: ObjectStore,
        prefix: str,
        dtype: str,
        older: ParquetVectors,
    ) -> None:
        """Prepare; nothing is read or written.

        Args:
            store: holds the segments.
            prefix: of their keys.
            dtype: of the vectors: ``<f2`` or ``<f4``.
            older: the parts in Parquet under the same prefix.
        """
        self._store = store
        self._prefix = prefix.rstrip("/")
        self._dtype = np.dtype(dtype)
        self._older = older
        self._known: dict[tuple[str, int, str], _Segment] = {}

    # --- write -----------------------------------------------------------------------------

    def append(self, images: Sequence[str], vectors: np.ndarray) -> int:
        """Append the vectors of those images that have none, as one segment, atomically.

        Args:
            images: n images (sha256).
            vectors: [n, d].

        Returns:
            The number of new images.

        Raises:
            ValueError: there are vectors of another length already.
            StoreUnwritable: the store cannot be written.
        """
        once = np.sort(np.unique(np.array(images, dtype=np.str_), return_index=True)[1])
        images = [images[place] for place in once.tolist()]
        vectors = np.asarray(vectors, self._dtype)[once]
        while True:
            fresh = np.flatnonzero(~self.known(images))
            if not len(fresh):
                return 0
            there = self._segments()
            if any(s.header.rows and s.header.width != vectors.shape[1] for s in there):
                raise ValueError(
                    f"vectors of different lengths in {self._prefix}; delete that folder in the store"
                )
            digests = segments.digests_of([images[place] for place in fresh.tolist()])
            number = max((segment.number for segment in there), default=-1) + 1
            if self._store.create(self._key(number), segments.encode(digests, vectors[fresh])):
                return len(fresh)

    # --- read ------------------------------------------------------------------------------

    def known(self, images: Sequence[str]) -> np.ndarray:
        """Whether there are vectors of images: bool [n].

        Raises:
            DamagedObject: a segment is missing or damaged.
        """
        found = np.zeros(len(images), bool)
        for _, places, _ in self._found(images):
            found[places] = True
        return found

    def blocks(self, images: Sequence[str]) -> Iterator[Block]:
        """Yield the vectors of images, block by block; nothing of images without one.

        Raises:
            DamagedObject: a segment is missing or damaged, or one of these vectors.
        """
        digests = segments.digests_of(list(images))
        for source, places, rows in self._found(images):
            try:
                if isinstance(source, str):
                    yield places, self._older.vectors(source, rows)
                    continue
                for start in range(0, len(rows), _BLOCK):
                    some = slice(start, start + _BLOCK)
                    yield places[some], self._vectors(source, digests[places[some]], rows[some])
            except DamagedObject as damage:
                self._note(damage)
                raise

    def keys_of(self, images: Sequence[str]) -> tuple[str, ...]:
        """Return the keys of the segments and parts that hold the vectors of images, sorted."""
        sources = (source for source, _, _ in self._found(images))
        return tuple(sorted(s if isinstance(s, str) else s.key for s in sources))

    def version(self) -> str:
        """Return 16 hex digits that change with every append."""
        listed = self._listed()
        before = self._older.version()
        if not listed:
            return before
        return hashlib.sha256(f"{before}:{max(listed)}".encode()).hexdigest()[:16]

    # --- damage ----------------------------------------------------------------------------

    def flaws(self) -> list[DamagedObject]:
        """Read everything and return an error for every segment or part that is damaged or missing."""
        found = list(self._older.flaws())
        listed = self._listed()
        found += [self._lost(number) for number in _gaps(listed)]
        return found + [flaw for info in listed.values() if (flaw := self._flaw(*info)) is not None]

    def mend(self, on_damage: Callable[[str], object], *, whole: bool = False) -> None:
        """Put an empty segment in the place of each damaged or missing one.

        Its bytes are moved to ``damaged/``. Lists of images are checked, and vectors where a reader
        left a note that they are damaged. For owners that then compute what has no vector.

        Args:
            on_damage: called with a message about each.
            whole: check all vectors, too.
        """
        notes = self._notes()
        listed = self._listed()
        for number, (key, size, etag) in listed.items():
            is_noted = whole or f"{key}{_NOTE}" in notes
            flaw = self._flaw(key, size, etag) if is_noted else self._head_flaw(key, size, etag)
            if flaw is not None:
                on_damage(f"{key} is damaged ({flaw.flaw}): its rows are made again")
                self._store.set_aside(key)
                self._fill(number)
        for number in _gaps(listed):
            on_damage(f"{self._key(number)} is missing: its rows are made again")
            self._fill(number)
        self._older.mend(on_damage, whole=whole or any(".parquet" in note for note in notes))
        for note in notes:
            self._store.delete(note)

    def _fill(self, number: int) -> None:
        empty = segments.encode(np.empty((0, 32), np.uint8), np.empty((0, 0), self._dtype))
        self._store.create(self._key(number), empty)

    def _note(self, damage: DamagedObject) -> None:
        try:
            self._store.create(f"{damage.key}{_NOTE}", damage.flaw.encode())
        except StoreError:  # the damage itself is what is reported
            return

    def _notes(self) -> set[str]:
        return {i.key for i in self._store.list(self._prefix) if i.key.endswith(_NOTE)}

    def _head_flaw(self, key: str, size: int, etag: str) -> DamagedObject | None:
        try:
            self._segment(key, size, etag)
        except DamagedObject as damage:
            return damage
        except KeyMissing:
            return None
        return None

    def _flaw(self, key: str, size: int, etag: str) -> DamagedObject | None:
        """Check a whole segment."""
        self._known.pop((key, size, etag), None)
        if (flaw := self._head_flaw(key, size, etag)) is not None:
            return flaw
        try:
            segment = self._segment(key, size, etag)
            for start in range(0, segment.header.rows, _BLOCK):
                rows = np.arange(start, min(start + _BLOCK, segment.header.rows))
                heads = segment.heads[rows].astype(">u8").view(np.uint8).reshape(-1, HEAD_BYTES)
                tails = self._tails(segment, rows)
                digests = np.concatenate([heads, tails[:, :-CRC_BYTES]], axis=1)
                self._vectors(segment, digests, rows, tails)
        except DamagedObject as damage:
            return damage
        except KeyMissing:
            return None
        return None

    def _lost(self, number: int) -> DamagedObject:
        return DamagedObject(self._key(number), "it is missing", self._store.url)

    # --- segments --------------------------------------------------------------------------

    def _key(self, number: int) -> str:
        return f"{self._prefix}/{number:010d}{segments.SUFFIX}"

    def _listed(self) -> dict[int, tuple[str, int, str]]:
        """Return key, size and etag of each segment by its number, in order."""
        found = {}
        for info in self._store.list(self._prefix):
            if match := _SEGMENT.search(info.key):
                found[int(match[1])] = (info.key, info.size, info.etag)
        return dict(sorted(found.items()))

    def _segments(self) -> list[_Segment]:
        """Return all segments with their lists of images, which are read once.

        Raises:
            DamagedObject: a segment is missing, or its list of images is damaged.
        """
        for attempt in range(_LIST_ATTEMPTS):
            if attempt:  # a folder's listing is not atomic: an append may have been under way
                time.sleep(_LIST_PAUSE_S)
            listed = self._listed()
            if not (missing := _gaps(listed)):
                break
        else:
            raise self._lost(missing[0])
        new = [one for one in listed.values() if one not in self._known]
        for _ in at_once(lambda one: self._segment(*one), new, threads=workers(self._store)):
            pass
        return [self._segment(*one) for one in listed.values()]

    def _segment(self, key: str, size: int, etag: str) -> _Segment:
        """Read the list of images of a segment. Raises DamagedObject."""
        place = (key, size, etag)
        if (known := self._known.get(place)) is not None:
            return known
        try:
            first = self._store.get_range(key, 0, min(size, HEADER_BYTES)) if size else b""
            header = segments.parse_header(first, size)
            data = self._bytes(key, HEADER_BYTES, HEAD_BYTES * header.rows)
            heads = segments.parse_heads(header, data)
        except SegmentFlaw as error:
            raise DamagedObject(key, str(error), self._store.url) from None
        if header.dtype != self._dtype:
            flaw = f"its vectors are {header.dtype}, not {self._dtype}"
            raise DamagedObject(key, flaw, self._store.url)
        number = int(key.rpartition("/")[2].partition(".")[0])
        self._known[place] = _Segment(number, key, header, heads)
        return self._known[place]

    def _found(
        self, images: Sequence[str]
    ) -> Iterator[tuple["_Segment | str", np.ndarray, np.ndarray]]:
        """Yield the segments (or keys of Parquet parts) that hold some of the images.

        With each, the positions of the images, int64 [k], and their rows, int64 [k]. An image is
        found once, where it was written first.
        """
        digests = segments.digests_of(list(images))
        if not len(digests):
            return
        left = np.ones(len(digests), bool)
        heads = _heads(digests)
        order = np.argsort(heads)
        for key, theirs in self._older.digests():
            places, rows = _matches(heads[order], order, _heads(theirs))
            same = (digests[places] == theirs[rows]).all(axis=1)
            yield from _first(key, places[same], rows[same], left)
        for segment in self._segments():
            places, rows = _matches(heads[order], order, segment.heads)
            if len(rows):
                tails = self._tails(segment, rows)[:, :-CRC_BYTES]
                same = (digests[places][:, HEAD_BYTES:] == tails).all(axis=1)
                yield from _first(segment, places[same], rows[same], left)

    # --- rows ------------------------------------------------------------------------------

    def _tails(self, segment: _Segment, rows: np.ndarray) -> np.ndarray:
        return self._rows(segment, segment.header.tails_at, TAIL_BYTES, rows)

    def _vectors(
        self,
        segment: _Segment,
        digests: np.ndarray,
        rows: np.ndarray,
        tails: np.ndarray | None = None,
    ) -> np.ndarray:
        """Read vectors, and check them. Raises DamagedObject."""
        header = segment.header
        data = self._rows(segment, header.vectors_at, header.vector_bytes, rows)
        found = data.view(header.dtype)
        try:
            segments.check(digests, self._tails(segment, rows) if tails is None else tails, found)
        except SegmentFlaw as flaw:
            raise DamagedObject(segment.key, str(flaw), self._store.url) from None
        return found

    def _rows(self, segment: _Segment, offset: int, width: int, rows: np.ndarray) -> np.ndarray:
        """Read rows of ``width`` bytes of a block that begins at ``offset``: uint8 [k, width]."""
        count = segment.header.rows
        mapped = self._store.mapped(segment.key)
        if mapped is not None:
            block = np.frombuffer(mapped, np.uint8, count * width, offset)
            return block.reshape(count, width)[rows]
        if len(rows) * _DENSE >= count:
            low, high = int(rows.min()), int(rows.max()) + 1
            data = self._store.get_range(segment.key, offset + low * width, (high - low) * width)
            return np.frombuffer(data, np.uint8).reshape(-1, width)[rows - low]
        starts = (offset + rows * width).tolist()
        parts = self._store.get_ranges(segment.key, starts, width)
        return np.frombuffer(b"".join(parts), np.uint8).reshape(-1, width)

    def _bytes(self, key: str, offset: int, length: int) -> bytes | memoryview:
        mapped = self._store.mapped(key)
        if mapped is not None:
            return mapped[offset : offset + length]
        return self._store.get_range(key, offset, length) if length else b""


def _gaps(numbers: dict[int, tuple[str, int, str]]) -> list[int]:
    """Return the numbers that are missing below the highest one."""
    return [n for n in range(max(numbers, default=-1)) if n not in numbers]


def _heads(digests: np.ndarray) -> np.ndarray:
    """Return the first 8 bytes of digests as numbers that sort as the digests do: uint64 [n]."""
    first = np.ascontiguousarray(digests[:, :HEAD_BYTES])
    return first.view(">u8")[:, 0].astype(np.uint64) if len(first) else np.empty(0, np.uint64)


def _matches(ordered: np.ndarray, order: np.ndarray, heads: np.ndarray) -> Block:
    """Find the equal pairs of two lists of numbers.

    Args:
        ordered: uint64 [n], numbers that are wanted, sorted.
        order: int64 [n], their positions before they were sorted.
        heads: uint64 [m].

    Returns:
        For each pair the position of the wanted one, and the row in ``heads``.
    """
    begin = np.searchsorted(ordered, heads)
    rows = np.flatnonzero(ordered[np.minimum(begin, len(ordered) - 1)] == heads)
    begin = begin[rows]
    count = np.searchsorted(ordered, heads[rows], side="right") - begin
    nth = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return order[np.repeat(begin, count) + nth], np.repeat(rows, count)


def _first(
    source: "_Segment | str", places: np.ndarray, rows: np.ndarray, left: np.ndarray
) -> Iterator[tuple["_Segment | str", np.ndarray, np.ndarray]]:
    """Yield the images that are ``left``, each once, and mark them as found."""
    once = np.unique(places, return_index=True)[1]
    once = once[left[places[once]]]
    left[places[once]] = False
    if len(once):
        yield source, places[once], rows[once]

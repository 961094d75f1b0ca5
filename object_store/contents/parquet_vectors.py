"""Vectors in parts of Parquet, as older versions of this program stored them: read, never appended."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from object_store.contents.damage import DamagedObject
from object_store.contents.reading import parse_rows
from object_store.contents.segments import digests_of
from object_store.contents.tables import Table, TableDamagedError
from object_store.store import ObjectStore

OnDamage = Callable[[str], object]


class ParquetVectors:
    """The parts under one prefix."""

    def __init__(
        self,
        store: ObjectStore,
        prefix: str,
        schema: pa.Schema,
        convert: Callable[[pa.Table], np.ndarray],
    ) -> None:
        """Prepare; nothing is read.

        Args:
            store: holds the parts.
            prefix: of their keys.
            schema: columns of the parts, with ``sha256``.
            convert: rows to vectors, [n, d].
        """
        self._store, self._schema, self._convert = store, schema, convert
        self._prefix = prefix
        self._table = Table(store, prefix, schema, prefix=prefix)
        self._digests: dict[str, np.ndarray] = {}

    def digests(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the key of each part with its images: SHA-256, uint8 [n, 32].

        Raises:
            DamagedObject: a part is missing or damaged.
        """
        for key in self._table.part_keys():
            if key not in self._digests:
                self._digests[key] = self._images(key)
            yield key, self._digests[key]

    def vectors(self, key: str, rows: np.ndarray) -> np.ndarray:
        """Read rows of a part: [n, d].

        Raises:
            DamagedObject: the part is damaged.
        """
        table = parse_rows(self._store, key, self._store.get(key), self._schema)
        return self._convert(table.take(pa.array(rows)))

    def flaws(self) -> list[DamagedObject]:
        """Read all parts and return an error for each that is damaged or missing."""
        return self._table.flaws()

    def mend(self, on_damage: OnDamage, *, whole: bool) -> None:
        """Move damaged parts aside; the others are then written again as one.

        Args:
            on_damage: called with a message about each.
            whole: read all parts to find damaged ones; otherwise only their lists of images.
        """
        try:
            for _ in self.digests():
                pass
        except DamagedObject:
            whole = True
        if whole:
            self._digests.clear()
            Table(
                self._store, self._prefix, self._schema, prefix=self._prefix, on_damage=on_damage
            ).mend()

    def version(self) -> str:
        """Return 16 hex digits that change with the parts."""
        return self._table.version()

    def _images(self, key: str) -> np.ndarray:
        """Read the column of images alone."""
        mapped = self._store.mapped(key)
        size = self._store.head(key).size
        source = (
            pa.PythonFile(_Ranges(self._store, key, size), mode="r")
            if mapped is None
            else pa.BufferReader(pa.py_buffer(mapped))
        )
        try:
            column = pq.ParquetFile(source).read(columns=["sha256"], use_threads=False)["sha256"]
            return digests_of(column.to_pylist())
        except (pa.ArrowException, KeyError, OSError, ValueError) as error:
            first = str(error).strip().partition("\n")[0]
            flaw = f"its list of images cannot be read: {first}" if size else "it is empty"
            raise TableDamagedError(key, flaw, self._store.url) from error


class _Ranges(io.RawIOBase):
    """An object of a bucket as a file that is read in ranges."""

    def __init__(self, store: ObjectStore, key: str, size: int) -> None:
        super().__init__()
        self._store, self._key, self._size, self._at = store, key, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = max(0, min(len(buffer), self._size - self._at))
        if length:
            buffer[:length] = self._store.get_range(self._key, self._at, length)
        self._at += length
        return length

"""Tables in the store: Parquet, appended in create-only parts, compacted.

A part ``tables/<name>/<start>-<end>.parquet`` covers the appends ``start`` to ``end``. An append
makes a part of one number, a compaction one that covers many; parts that a wider one covers are
not read. The numbers leave no gap, so a part that is lost is noticed and never read over.
"""

import hashlib
import io
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from resources.object_store import ObjectStore
from resources.store_errors import KeyMissing, StoreError

_PART = re.compile(r"(\d{10})-(\d{10})\.parquet$")
_READ_ATTEMPTS = 20
_READ_PAUSE_S = 0.05
_APPENDS = b"imgclf.appends"
"""Key of a part's Parquet metadata: a word of each of the last appends in it, by which a writer
knows its own."""
_APPENDS_KEPT = 64


class TableDamagedError(StoreError):
    """Parts of a table are missing, or are not of its schema."""


@dataclass(frozen=True, order=True)
class _Part:
    start: int
    end: int

    def covers(self, other: "_Part") -> bool:
        return self != other and self.start <= other.start and other.end <= self.end


class Table:
    """An append-only table. Any number of processes may append, read and compact at once."""

    def __init__(
        self, store: ObjectStore, name: str, schema: pa.Schema, *, prefix: str = ""
    ) -> None:
        """Name the table; nothing is read or written.

        Args:
            store: where it lies.
            name: its folder under ``tables/``; with a ``prefix``, only what messages call it.
            schema: its columns; what is appended is cast to them.
            prefix: where its parts lie; ``tables/<name>`` unless given.
        """
        self._store = store
        self._prefix = prefix.rstrip("/") or f"tables/{name}"
        self.name = name
        self.schema = schema

    def append(self, rows: pa.Table) -> None:
        """Add rows, all of them or none; no rows, no part.

        Raises:
            ValueError: columns are missing, too many, or not of the schema's types.
            StoreUnwritable: the store cannot be written.
        """
        word = secrets.token_hex(4)
        data = self._encode(self._conformed(rows), [word])
        if not rows.num_rows:
            return
        number = self._next_number()
        while True:
            part = _Part(number, number)
            if self._store.create(self._key(part), data) and self._is_read(part, word):
                return
            number = max(number + 1, self._next_number())

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows, in the order of their appends.

        Args:
            columns: only these, in this order.

        Raises:
            TableDamagedError: a part is missing or unreadable.
        """
        schema = (
            self.schema if columns is None else pa.schema([self.schema.field(c) for c in columns])
        )
        for _ in range(_READ_ATTEMPTS):
            try:
                tables = [self._decode(part, schema) for part in self._whole()]
            except KeyMissing:  # compacted between the listing and now
                continue
            return pa.concat_tables([schema.empty_table(), *tables])
        raise TableDamagedError(f"table {self.name}: its parts vanish while they are read")

    def compact(self, min_parts: int = 16) -> None:
        """Write one part in place of all, if there are at least ``min_parts``; drop covered ones."""
        whole = self._whole()
        if len(whole) >= max(min_parts, 2):
            wide = _Part(whole[0].start, whole[-1].end)
            try:
                files = [(part, self._opened(part)) for part in whole]
            except KeyMissing:  # another process is compacting the same parts
                return
            rows = pa.concat_tables([self._rows(*file, self.schema) for file in files])
            words = [word for _, file in files for word in _words(file)]
            self._store.create(self._key(wide), self._encode(rows, words[-_APPENDS_KEPT:]))
        parts = self._parts()
        for part in parts:
            if any(other.covers(part) for other in parts):
                self._store.delete(self._key(part))

    def version(self) -> str:
        """16 hex digits that change with every append, and not with a compaction."""
        whole = self._whole()
        last = whole[-1].end if whole else -1
        return hashlib.sha256(f"{self.name}:{last}".encode()).hexdigest()[:16]

    # --- parts -----------------------------------------------------------------------------

    def _key(self, part: _Part) -> str:
        return f"{self._prefix}/{part.start:010d}-{part.end:010d}.parquet"

    def _parts(self) -> list[_Part]:
        found = (_PART.search(info.key) for info in self._store.list(self._prefix))
        return [_Part(int(match[1]), int(match[2])) for match in found if match]

    def _next_number(self) -> int:
        return max((part.end for part in self._parts()), default=-1) + 1

    def _is_read(self, part: _Part, word: str) -> bool:
        """Whether the part that we wrote is read: itself, or in a compaction that has it.

        A compaction that covers our number and does not have our rows took it before we wrote:
        another's part of this number was compacted away between our listing and our write.
        """
        while wider := [other for other in self._parts() if other.covers(part)]:
            try:
                widest = max(wider, key=lambda other: other.end - other.start)
                return word in _words(self._opened(widest))
            except KeyMissing:  # a still wider one has taken its place
                continue
        return True

    def _whole(self) -> list[_Part]:
        """The parts to read, in order, without a gap."""
        for attempt in range(_READ_ATTEMPTS):
            if attempt:  # a folder's listing is not atomic: a compaction may have been under way
                time.sleep(_READ_PAUSE_S)
            parts = self._parts()
            whole = sorted(p for p in parts if not any(other.covers(p) for other in parts))
            starts = [0, *(part.end + 1 for part in whole)]
            missing = [a for part, a in zip(whole, starts, strict=False) if part.start != a]
            if not missing:
                return whole
        raise TableDamagedError(
            f"table {self.name}: append {missing[0]} is missing under {self._store.uri(self._prefix)}; "
            "restore it from a backup, or delete the table's folder to have it built again"
        )

    def _conformed(self, rows: pa.Table) -> pa.Table:
        if set(rows.column_names) != set(self.schema.names):
            raise ValueError(
                f"table {self.name} has the columns {self.schema.names}, not {rows.column_names}"
            )
        try:
            return rows.select(self.schema.names).cast(self.schema)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ValueError(f"rows do not fit table {self.name}: {error}") from error

    def _encode(self, rows: pa.Table, words: Sequence[str]) -> bytes:
        buffer = io.BytesIO()
        marked = rows.replace_schema_metadata({_APPENDS: " ".join(words).encode()})
        pq.write_table(marked, buffer, compression="zstd")
        return buffer.getvalue()

    def _decode(self, part: _Part, schema: pa.Schema) -> pa.Table:
        return self._rows(part, self._opened(part), schema)

    def _opened(self, part: _Part) -> pq.ParquetFile:
        data = pa.BufferReader(self._store.get(self._key(part)))
        try:
            # Not pq.read_table: it loads a query engine, and threads that keep what they allocate.
            return pq.ParquetFile(data)
        except pa.ArrowException as error:
            raise self._damaged(part, error) from error

    def _rows(self, part: _Part, file: pq.ParquetFile, schema: pa.Schema) -> pa.Table:
        try:
            if not set(file.schema_arrow.names) & set(self.schema.names):
                raise KeyError(f"it has none of the columns {self.schema.names}")
            rows = file.read(columns=schema.names, use_threads=False)
            return _completed(rows, schema, file.metadata.num_rows)
        except (pa.ArrowException, KeyError) as error:
            raise self._damaged(part, error) from error

    def _damaged(self, part: _Part, error: Exception) -> TableDamagedError:
        return TableDamagedError(f"{self._store.uri(self._key(part))} cannot be read: {error}")


def _words(file: pq.ParquetFile) -> list[str]:
    """Of the last appends in a part."""
    return ((file.metadata.metadata or {}).get(_APPENDS) or b"").decode().split()


def _completed(rows: pa.Table, schema: pa.Schema, num_rows: int) -> pa.Table:
    """``rows`` with every column of ``schema``, in its order and types: a part that was written
    before a column was there has nulls in it."""
    columns = [
        rows[field.name].cast(field.type)
        if field.name in rows.column_names
        else pa.chunked_array([pa.nulls(num_rows, field.type)])
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)

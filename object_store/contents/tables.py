"""Tables in the store: Parquet, appended in create-only parts, compacted.

A part ``tables/<name>/<start>-<end>.parquet`` covers the appends ``start`` to ``end``. An append
writes a part of one number, a compaction one that covers many; parts that a wider part covers are
not read. The numbers have no gaps, so a lost part is detected.

For readers, a lost or damaged part is an error, but not for the table's owner: the asset that can
compute the rows again opens the table with ``on_damage``, reads the rest, appends the missing rows
and compacts. Only the compaction replaces the damaged part, so if the owner is killed before,
readers still get the error.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    wait_fixed,
)

from object_store.contents.damage import DamagedObject, flaw_of
from object_store.contents.reading import open_parquet
from object_store.contents.sealed import sealed_parquet
from object_store.errors import KeyMissing, StoreError
from object_store.store import ObjectStore

_PART = re.compile(r"(\d{10})-(\d{10})\.parquet$")
_READ_ATTEMPTS = 20
_READ_PAUSE_S = 0.05
_APPENDS = b"imgclf.appends"
"""Key of a part's Parquet metadata: random tokens of its last appends, by which a writer recognises
its own."""
_APPENDS_KEPT = 64


class TableDamagedError(DamagedObject):
    """A part of a table is missing, damaged, or not of the table's schema."""


@dataclass(frozen=True, order=True)
class _Part:
    start: int
    end: int

    def covers(self, other: "_Part") -> bool:
        return self != other and self.start <= other.start and other.end <= self.end


class Table:
    """An append-only table. Several processes may append, read and compact at the same time."""

    def __init__(
        self,
        store: ObjectStore,
        name: str,
        schema: pa.Schema,
        *,
        prefix: str = "",
        on_damage: Callable[[str], object] | None = None,
    ) -> None:
        """Prepare; nothing is read or written.

        Args:
            store: holds the parts.
            name: folder under ``tables/``; with a ``prefix``, only the name in messages.
            schema: names and types of the columns; appended rows are cast to them.
            prefix: of the parts' keys; default: ``tables/<name>``.
            on_damage: for the table's owner: called with a message for each damaged part, which is
                then skipped by reads and moved aside by the next :meth:`compact`.
        """
        self._store = store
        self._prefix = prefix.rstrip("/") or f"tables/{name}"
        self.name = name
        self.schema = schema
        self._on_damage = on_damage
        self._reported: set[str] = set()

    def append(self, rows: pa.Table) -> None:
        """Append rows as one part, atomically; does nothing without rows.

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
        """Read all rows in the order of their appends.

        Args:
            columns: names of the columns to read, in this order; default: all.

        Raises:
            TableDamagedError: a part is missing or damaged, and there is no ``on_damage``.
            StoreError: parts disappear repeatedly while they are read.
        """
        return self._gathered(self._schema_of(columns), lambda rows: rows)

    def find(self, column: str, value: object, columns: Sequence[str]) -> pa.Table:
        """Read the rows with a value in a column; one part at a time is in memory.

        Args:
            column: name of the column to look in.
            value: what it must hold.
            columns: names of the columns to return.

        Raises:
            TableDamagedError, StoreError: see :meth:`read`.
        """
        schema = self._schema_of(dict.fromkeys([column, *columns]))
        return self._gathered(
            schema, lambda rows: rows.filter(pc.equal(rows[column], value))
        ).select(columns)

    def _schema_of(self, columns: Iterable[str] | None) -> pa.Schema:
        if columns is None:
            return self.schema
        return pa.schema([self.schema.field(name) for name in columns])

    def _gathered(self, schema: pa.Schema, keep: Callable[[pa.Table], pa.Table]) -> pa.Table:
        """Return what ``keep`` leaves of each part's rows, in the order of their appends."""

        def parts() -> list[pa.Table]:
            return [keep(rows) for _, rows, _ in self._readable(self._whole(), schema)]

        retrying = Retrying(
            retry=retry_if_exception_type(KeyMissing),  # compacted between the listing and now
            stop=stop_after_attempt(_READ_ATTEMPTS),
        )
        try:
            return pa.concat_tables([schema.empty_table(), *retrying(parts)])
        except RetryError as error:
            raise StoreError(
                f"table {self.name}: its parts disappear while they are read; try again"
            ) from error

    @property
    def damaged(self) -> bool:
        """Whether a damaged part was skipped, so that its rows have to be computed again."""
        return bool(self._reported)

    def flaws(self) -> list[DamagedObject]:
        """Check the table and return an error for every part that is damaged or missing."""
        found: list[DamagedObject] = []
        whole = self._widest()
        missing = _gaps(whole)
        found += [self._lost(number) for number in missing]
        for part in whole:
            try:
                self._decode(part, self.schema)
            except DamagedObject as error:
                found.append(error)
            except KeyMissing:  # compacted meanwhile
                continue
        return found

    def mend(self) -> None:
        """Move damaged parts aside now, without their rows.

        For tables whose owner looks for missing rows before each run.
        """
        for flaw in self.flaws():
            self._report(flaw)
        if self._reported:
            self.compact()

    def compact(self, min_parts: int = 16) -> None:
        """Replace all parts by one; moves damaged parts aside and deletes covered ones.

        Args:
            min_parts: with fewer parts no new part is written, unless a damaged one was skipped.
        """
        if self._reported:
            self._claim_number()
        whole = self._whole()
        if len(whole) >= (2 if self._reported else max(min_parts, 2)):
            known = set(self._reported)
            try:
                files = list(self._readable(whole, self.schema))
            except KeyMissing:  # another process is compacting the same parts
                return
            if (
                self._reported - known
            ):  # its rows are still missing: the next run computes them again
                self._reported = known
                return
            kept = [part for part, _, _ in files]
            rows = pa.concat_tables([self.schema.empty_table(), *(rows for _, rows, _ in files)])
            words = [word for _, _, words in files for word in words]
            data = self._encode(rows, words[-_APPENDS_KEPT:])
            for part in whole:
                if part not in kept:
                    self._store.copy_aside(self._key(part))
            self._store.create(self._key(_Part(0, whole[-1].end)), data)
            self._reported.clear()
        parts = self._parts()
        for part in parts:
            if any(other.covers(part) for other in parts):
                self._store.delete(self._key(part))

    def part_keys(self) -> list[str]:
        """Return the keys of the parts that are read, in the order of their appends.

        Raises:
            TableDamagedError: a part is missing, and there is no ``on_damage``.
        """
        return [self._key(part) for part in self._whole()]

    def version(self) -> str:
        """Return 16 hex digits that change with every append, but not with a compaction."""
        whole = self._whole()
        last = whole[-1].end if whole else -1
        return hashlib.sha256(f"{self.name}:{last}".encode()).hexdigest()[:16]

    def _claim_number(self) -> None:
        """Append a part without rows, so that a compaction of a single part makes a wider one."""
        empty = self._encode(self.schema.empty_table(), [])
        while True:
            number = self._next_number()
            if self._store.create(self._key(_Part(number, number)), empty):
                return

    # --- parts -----------------------------------------------------------------------------

    def _key(self, part: _Part) -> str:
        return f"{self._prefix}/{part.start:010d}-{part.end:010d}.parquet"

    def _parts(self) -> list[_Part]:
        found = (_PART.search(info.key) for info in self._store.list(self._prefix))
        return [_Part(int(match[1]), int(match[2])) for match in found if match]

    def _widest(self) -> list[_Part]:
        """Return the parts that no wider one covers, in order."""
        parts = self._parts()
        return sorted(p for p in parts if not any(other.covers(p) for other in parts))

    def _next_number(self) -> int:
        return max((part.end for part in self._parts()), default=-1) + 1

    def _is_read(self, part: _Part, word: str) -> bool:
        """Whether readers see the part that we wrote: itself, or a compaction with its token.

        A compaction may cover our number without our rows: another process's part of this number
        was compacted away between our listing and our write.
        """
        while wider := [other for other in self._parts() if other.covers(part)]:
            try:
                widest = max(wider, key=lambda other: other.end - other.start)
                return word in _words(self._opened(widest))
            except KeyMissing:  # a still wider one has taken its place
                continue
        return True

    def _whole(self) -> list[_Part]:
        """Return the parts to read, in order; a gap is an error or reported to the owner."""
        # A folder's listing is not atomic: a compaction may have been under way.
        whole = Retrying(
            retry=retry_if_result(lambda whole: bool(_gaps(whole))),
            stop=stop_after_attempt(_READ_ATTEMPTS),
            wait=wait_fixed(_READ_PAUSE_S),
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )(self._widest)
        if not (missing := _gaps(whole)):
            return whole
        lost = self._lost(missing[0])
        if self._on_damage is None:
            raise lost
        self._report(lost)
        return whole

    def _readable(
        self, parts: Iterable[_Part], schema: pa.Schema
    ) -> Iterator[tuple[_Part, pa.Table, list[str]]]:
        """Yield parts with their rows and tokens; for the owner, damaged parts are skipped."""
        for part in parts:
            try:
                file = self._opened(part)
                rows = self._rows(part, file, schema)
            except DamagedObject as error:
                if self._on_damage is None:
                    raise
                self._report(error)
                continue
            yield part, rows, _words(file)

    def _report(self, damage: DamagedObject) -> None:
        if self._on_damage is not None and damage.key not in self._reported:
            self._on_damage(f"{damage.key} is damaged ({damage.flaw}): its rows are made again")
        self._reported.add(damage.key)

    def _lost(self, number: int) -> "TableDamagedError":
        key = self._key(_Part(number, number))
        return TableDamagedError(key, f"append {number} is missing", self._store.url)

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
        return sealed_parquet(rows.replace_schema_metadata({_APPENDS: " ".join(words).encode()}))

    def _decode(self, part: _Part, schema: pa.Schema) -> pa.Table:
        return self._rows(part, self._opened(part), schema)

    def _opened(self, part: _Part) -> pq.ParquetFile:
        key = self._key(part)
        data = self._store.mapped(key)
        if data is None:
            data = memoryview(self._store.get(key))
        try:
            return open_parquet(data)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._damaged(part, flaw_of(bytes(data), error)) from error

    def _rows(self, part: _Part, file: pq.ParquetFile, schema: pa.Schema) -> pa.Table:
        try:
            if not set(file.schema_arrow.names) & set(self.schema.names):
                raise KeyError(f"it has none of the columns {self.schema.names}")
            rows = file.read(columns=schema.names, use_threads=False)
            return _completed(rows, schema, file.metadata.num_rows)
        except (pa.ArrowException, KeyError, OSError) as error:
            flaw = str(error.args[0] if error.args else error).partition("\n")[0]
            raise self._damaged(part, flaw) from error

    def _damaged(self, part: _Part, flaw: str) -> TableDamagedError:
        return TableDamagedError(self._key(part), flaw, self._store.url)


def _gaps(whole: Sequence[_Part]) -> list[int]:
    """Return the number of the first missing append of each gap between sorted parts."""
    starts = [0, *(part.end + 1 for part in whole)]
    return [start for part, start in zip(whole, starts, strict=False) if part.start != start]


def _words(file: pq.ParquetFile) -> list[str]:
    """Return the tokens of the last appends in a part."""
    return ((file.metadata.metadata or {}).get(_APPENDS) or b"").decode().split()


def _completed(rows: pa.Table, schema: pa.Schema, num_rows: int) -> pa.Table:
    """Return ``rows`` with every column of ``schema``, in its order and types.

    Columns that were added to the schema after the part was written are null.
    """
    columns = [
        rows[field.name].cast(field.type)
        if field.name in rows.column_names
        else pa.chunked_array([pa.nulls(num_rows, field.type)])
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)

"""Reading JSON, records and Parquet from the store.

An object that cannot be parsed raises :class:`DamagedObject`, which names the key and the remedy.
"""

import json
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from object_store.contents.damage import DamagedObject, flaw_of
from object_store.contents.sealed import is_intact
from object_store.store import ObjectStore

Record = TypeVar("Record", bound=BaseModel)


def read_record(store: ObjectStore, key: str, kind: type[Record]) -> Record:
    """Read a JSON record and validate it.

    Args:
        store: to read from.
        key: of the record.
        kind: pydantic model of the record.

    Raises:
        KeyMissing: there is no such object.
        DamagedObject: it is no record of that kind.
    """
    return parse_record(store, key, store.get(key), kind)


def parse_record(store: ObjectStore, key: str, data: bytes, kind: type[Record]) -> Record:
    """Validate a JSON record that was read already.

    Args:
        store: the record's, for the message.
        key: the record's, for the message.
        data: the record's bytes.
        kind: pydantic model of the record.

    Raises:
        DamagedObject: it is no record of that kind.
    """
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise DamagedObject(key, flaw_of(data, first_flaw(error)), store.url) from None


def read_object(store: ObjectStore, key: str, shape: type[BaseModel]) -> dict[str, Any]:
    """Read a JSON object and return it whole, fields outside ``shape`` included.

    Args:
        store: to read from.
        key: of the object.
        shape: pydantic model of what it must have.

    Raises:
        KeyMissing: there is no such object.
        DamagedObject: it does not have that shape.
    """
    return parse_object(store, key, store.get(key), shape)


def parse_object(
    store: ObjectStore, key: str, data: bytes, shape: type[BaseModel]
) -> dict[str, Any]:
    """Parse a JSON object that was read already and return it whole.

    Args:
        store: the object's, for the message.
        key: the object's, for the message.
        data: the object's bytes.
        shape: pydantic model of the fields that it must have; it may have more.

    Raises:
        DamagedObject: it is no JSON object, or does not have that shape.
    """
    try:
        shape.model_validate_json(data, strict=True)
        found: dict[str, Any] = json.loads(data)
    except ValidationError as error:
        raise DamagedObject(key, flaw_of(data, first_flaw(error)), store.url) from None
    except (ValueError, RecursionError) as error:
        raise DamagedObject(key, flaw_of(data, error), store.url) from None
    return found


def read_rows(store: ObjectStore, key: str, schema: pa.Schema) -> pa.Table:
    """Read the columns of ``schema`` from a Parquet file.

    Args:
        store: to read from.
        key: of the file.
        schema: names and types of the columns.

    Raises:
        KeyMissing: there is no such object.
        DamagedObject: it is no Parquet file, bytes of it were changed, or it has other columns.
    """
    return parse_rows(store, key, store.get(key), schema)


def parse_rows(store: ObjectStore, key: str, data: bytes, schema: pa.Schema) -> pa.Table:
    """Read the columns of ``schema`` from the bytes of a Parquet file.

    Args:
        store: the file's, for the message.
        key: the file's, for the message.
        data: the file's bytes.
        schema: names and types of the columns.

    Raises:
        DamagedObject: it is no Parquet file, bytes of it were changed, or it has other columns.
    """
    try:
        rows = open_parquet(data).read(columns=schema.names, use_threads=False)
        return rows.select(schema.names).cast(schema)
    except (pa.ArrowException, KeyError, OSError, ValueError) as error:
        raise DamagedObject(key, flaw_of(data, error), store.url) from None


def open_parquet(data: bytes | memoryview) -> pq.ParquetFile:
    """Open a Parquet file in memory.

    Raises:
        ValueError: bytes of it were changed since it was written.
        pa.ArrowException, OSError: it is no Parquet file.
    """
    if not is_intact(data):
        raise ValueError("a byte of it was changed since it was written")
    # Not pq.read_table: it loads a query engine, and threads that keep what they allocate.
    return pq.ParquetFile(pa.BufferReader(pa.py_buffer(data)))


def first_flaw(error: ValidationError) -> str:
    """Return the first validation error of a record in one line."""
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else str(first["msg"])

"""Parquet files with a checksum: a CRC-32 of the whole file in its own metadata.

Any reader of Parquet can read them.
"""

import io
import zlib

import pyarrow as pa
import pyarrow.parquet as pq

_MARK = b"imgclf.crc32"
_BLANK = b"00000000"
_BETWEEN = 2
"""Bytes between key and value in Parquet's footer (Thrift's compact protocol): field and length."""


def sealed_parquet(rows: pa.Table) -> bytes:
    """Return the bytes of a Parquet file with ``rows`` and a checksum."""
    buffer = io.BytesIO()
    metadata = {**(rows.schema.metadata or {}), _MARK: _BLANK}
    pq.write_table(rows.replace_schema_metadata(metadata), buffer, compression="zstd")
    data = buffer.getbuffer()
    place = _place(buffer.getvalue())
    if place is None:
        raise AssertionError("the seal is not where Parquet's footer has it")
    data[place : place + len(_BLANK)] = _seal(data, place)
    return bytes(data)


def is_intact(data: bytes | memoryview) -> bool:
    """Whether a file's checksum is right; True for files without one (of older versions)."""
    place = _place(data)
    if place is None:
        return True
    return data[place : place + len(_BLANK)] == _seal(memoryview(data), place)


def _place(data: bytes | memoryview) -> int | None:
    # Parquet ends with its footer, the footer's length and four letters.
    length = int.from_bytes(data[-8:-4], "little")
    for begin in (max(0, len(data) - 8 - length), 0):  # all, if the length was changed
        found = bytes(data[begin:]).rfind(_MARK)
        if found >= 0:
            return begin + found + len(_MARK) + _BETWEEN
    return None


def _seal(data: memoryview, place: int) -> bytes:
    """Return the checksum of the file with a blank checksum, as 8 hex digits."""
    crc = zlib.crc32(data[:place])
    crc = zlib.crc32(data[place + len(_BLANK) :], zlib.crc32(_BLANK, crc))
    return f"{crc:08x}".encode()

"""Segments: files of vectors of images, in rows of fixed width.

A segment is, in little-endian order::

    64 bytes            header: magic, dtype, rows n, width d, CRC-32 of the heads, CRC-32 of itself
    n x 8 bytes         heads: the first 8 bytes of each image's SHA-256
    n x 28 bytes        tails: the other 24, and a CRC-32 of the vector
    n x d x itemsize    vectors

Everything is found by its row number: a reader searches the heads, and reads the tails and vectors of
the rows that it needs. The CRC-32 of a vector begins with the SHA-256, so it also detects a vector in
the wrong row.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SUFFIX = ".vectors"
HEADER_BYTES = 64
HEAD_BYTES = 8
CRC_BYTES = 4
DIGEST_BYTES = 32
TAIL_BYTES = DIGEST_BYTES - HEAD_BYTES + CRC_BYTES

_MAGIC = b"imgclf.vectors.1"
_FIELDS = struct.Struct("<16s4sIII")
_CRC = struct.Struct("<I")
_TAIL = np.dtype([("digest", "V24"), ("crc", "<u4")])
DTYPES: dict[bytes, np.dtype[Any]] = {b"<f2\0": np.dtype("<f2"), b"<f4\0": np.dtype("<f4")}


class SegmentFlaw(ValueError):
    """Bytes of a segment are not those that were written; the message says which."""


@dataclass(frozen=True)
class Header:
    """The header of a segment: where everything lies.

    Attributes:
        dtype: float16 or float32.
        rows: number of images.
        width: length of a vector.
        heads_crc: CRC-32 of the heads.
    """

    dtype: np.dtype[Any]
    rows: int
    width: int
    heads_crc: int

    @property
    def tails_at(self) -> int:
        """Offset of the tails; the heads follow the header."""
        return HEADER_BYTES + HEAD_BYTES * self.rows

    @property
    def vectors_at(self) -> int:
        """Offset of the vectors."""
        return self.tails_at + TAIL_BYTES * self.rows

    @property
    def vector_bytes(self) -> int:
        """Bytes of one vector."""
        return self.width * self.dtype.itemsize

    @property
    def size(self) -> int:
        """Bytes of the segment."""
        return self.vectors_at + self.rows * self.vector_bytes


def encode(digests: np.ndarray, vectors: np.ndarray) -> bytes:
    """Return the bytes of a segment.

    Args:
        digests: uint8 [n, 32], SHA-256 of the images.
        vectors: float16 or float32 [n, d].
    """
    code = next(code for code, dtype in DTYPES.items() if dtype == vectors.dtype)
    tails = np.empty(len(digests), _TAIL)
    rest = np.ascontiguousarray(digests[:, HEAD_BYTES:])
    tails["digest"] = rest.view("V24")[:, 0] if len(rest) else np.empty(0, "V24")
    vectors = np.ascontiguousarray(vectors)
    tails["crc"] = checksums(digests, vectors)
    heads = np.ascontiguousarray(digests[:, :HEAD_BYTES]).tobytes()
    fields = _FIELDS.pack(_MAGIC, code, *vectors.shape, zlib.crc32(heads))
    header = (fields + _CRC.pack(zlib.crc32(fields))).ljust(HEADER_BYTES, b"\0")
    return b"".join((header, heads, tails.tobytes(), vectors.data if vectors.size else b""))


def parse_header(data: bytes, size: int) -> Header:
    """Read a header.

    Args:
        data: the first ``HEADER_BYTES`` of the segment, at least.
        size: bytes of the whole segment.

    Raises:
        SegmentFlaw: it is no header, or the segment has another size than it says.
    """
    if len(data) < HEADER_BYTES:
        raise SegmentFlaw(f"it has {size:,} bytes, fewer than a header")
    magic, code, rows, width, heads_crc = _FIELDS.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, _FIELDS.size)
    if magic != _MAGIC or code not in DTYPES or crc != zlib.crc32(data[: _FIELDS.size]):
        raise SegmentFlaw("its header is not that of a segment")
    found = Header(DTYPES[code], rows, width, heads_crc)
    if size != found.size:
        raise SegmentFlaw(f"it has {size:,} bytes, not {found.size:,}")
    return found


def parse_heads(header: Header, data: bytes | memoryview) -> np.ndarray:
    """Read the heads as numbers that sort as the digests do: uint64 [n].

    Raises:
        SegmentFlaw: bytes of them were changed.
    """
    if zlib.crc32(data) != header.heads_crc:
        raise SegmentFlaw("its list of images was changed since it was written")
    return np.frombuffer(data, ">u8").astype(np.uint64)


def checksums(digests: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return the CRC-32 of each vector, which begins with the image's SHA-256: uint32 [n]."""
    named = np.ascontiguousarray(digests)
    found = (
        zlib.crc32(vector, zlib.crc32(digest))
        for digest, vector in zip(named, vectors.view(np.uint8), strict=True)
    )
    return np.fromiter(found, np.uint32, len(named))


def check(digests: np.ndarray, tails: np.ndarray, vectors: np.ndarray) -> None:
    """Check vectors against their checksums.

    Args:
        digests: uint8 [n, 32], SHA-256 of the images.
        tails: uint8 [n, 28], their tails in the segment.
        vectors: float16 or float32 [n, d], contiguous.

    Raises:
        SegmentFlaw: a vector is another one than was written.
    """
    stated = np.ascontiguousarray(tails).view(_TAIL)[:, 0]["crc"] if len(tails) else tails[:, 0]
    wrong = np.flatnonzero(stated != checksums(digests, vectors))
    if len(wrong):
        raise SegmentFlaw(
            f"{len(wrong)} of its vectors were changed since they were written, the first of "
            f"image {digests[wrong[0]].tobytes().hex()}"
        )


@dataclass(frozen=True)
class Segment:
    """A segment in a file, mapped into memory.

    Attributes:
        digests: uint8 [n, 32], SHA-256 of the images.
        tails: uint8 [n, 28].
        vectors: float16 or float32 [n, d].
    """

    digests: np.ndarray
    tails: np.ndarray
    vectors: np.ndarray

    def rows(self, where: slice | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read rows: SHA-256, uint8 [m, 32], and vectors, [m, d].

        Raises:
            SegmentFlaw: a vector is another one than was written.
        """
        digests = self.digests[where]
        vectors = np.array(self.vectors[where])
        check(digests, self.tails[where], vectors)
        return digests, vectors


def open_segment(path: Path) -> Segment:
    """Map a segment into memory; its vectors are read when they are used.

    Raises:
        SegmentFlaw: it is no segment, or not whole.
    """
    size = path.stat().st_size
    data = np.memmap(path, np.uint8, "r") if size else np.empty(0, np.uint8)
    header = parse_header(data[:HEADER_BYTES].tobytes(), size)
    parse_heads(header, data[HEADER_BYTES : header.tails_at].data)
    heads = data[HEADER_BYTES : header.tails_at].reshape(-1, HEAD_BYTES)
    tails = data[header.tails_at : header.vectors_at].reshape(-1, TAIL_BYTES)
    digests = np.concatenate([heads, tails[:, :-CRC_BYTES]], axis=1)
    vectors = data[header.vectors_at :].view(header.dtype).reshape(header.rows, header.width)
    return Segment(digests, tails, vectors)


def digests_of(images: Sequence[str]) -> np.ndarray:
    """Convert SHA-256 in hexadecimal digits to uint8 [n, 32].

    Raises:
        ValueError: one of them has not 64 digits.
    """
    if any(len(image) != 2 * DIGEST_BYTES for image in images):
        raise ValueError("an image's SHA-256 has 64 hexadecimal digits")
    return np.frombuffer(bytes.fromhex("".join(images)), np.uint8).reshape(-1, DIGEST_BYTES)


def images_of(digests: np.ndarray) -> list[str]:
    """Convert SHA-256, uint8 [n, 32], to hexadecimal digits."""
    digits = np.ascontiguousarray(digests).tobytes().hex()
    step = 2 * DIGEST_BYTES
    return [digits[start : start + step] for start in range(0, len(digits), step)]

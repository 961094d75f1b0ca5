"""Corrections of Pillow's reading of PNG files.

Pillow rejects files with texts and profiles of more than 1 MB, as Blender, ComfyUI and Photoshop
write them, though no pixel depends on them. And it does not check the checksums of pixels.
"""

import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NOTES = {b"tEXt", b"zTXt", b"iTXt", b"iCCP"}
_ORIENTATION = {b"Raw profile type exif", b"Raw profile type APP1", b"XML:com.adobe.xmp"}
"""Keywords of texts that may contain the image's orientation."""

_MOST_KEPT = 3
_PIECE = 1_000_000

_MOST_UNPACKED = 1_000_000


def without_notes(data: bytes) -> bytes:
    """Remove texts and colour profiles from a PNG, except texts with the orientation."""
    kept: list[bytes | memoryview] = [data[:8]]
    view, dropped, turning = memoryview(data), False, 0
    for kind, start, end in _chunks(data):
        if kind in _NOTES:
            if turning == _MOST_KEPT or not _turns(kind, data[start + 8 : end - 4]):
                dropped = True
                continue
            turning += 1
        kept.append(view[start:end])
    return b"".join(kept) if dropped else data


def is_damaged(data: bytes, most: int) -> bool:
    """Whether the pixel data of a PNG are damaged, by their checksums.

    If a chunk's checksum is wrong, but the one of the compressed pixels is right, they count as
    undamaged. Truncated files are left to the decoder.

    Args:
        data: the file's bytes.
        most: most bytes of the uncompressed pixels.
    """
    view = memoryview(data)
    pixels = [(start, end) for kind, start, end in _chunks(data) if kind == b"IDAT"]
    if all(
        zlib.crc32(view[start + 4 : end - 4]).to_bytes(4, "big") == view[end - 4 : end]
        for start, end in pixels
        if end - start == 12 + int.from_bytes(view[start : start + 4], "big")
    ):
        return False
    inflater = zlib.decompressobj()
    try:
        for start, end in pixels:
            packed: bytes | memoryview = view[start + 8 : end - 4]
            while packed and most > 0:
                most -= len(inflater.decompress(packed, _PIECE))
                packed = inflater.unconsumed_tail
    except zlib.error:
        return True
    return not inflater.eof


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of every chunk, a truncated last one included."""
    position = 8
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        end = min(position + 12 + length, len(data))
        yield data[position + 4 : position + 8], position, end
        position = end
    if position < len(data):
        yield b"", position, len(data)


def _turns(kind: bytes, body: bytes) -> bool:
    """Whether a text may contain the orientation and is small enough to be read."""
    keyword, _, rest = body.partition(b"\0")
    if keyword not in _ORIENTATION:
        return False
    packed = b""
    if kind == b"zTXt":
        packed = rest[1:]
    elif kind == b"iTXt" and rest[:1] != b"\0":
        packed = rest[2:].split(b"\0", 2)[-1]
    if not packed:
        return len(body) <= _MOST_UNPACKED
    inflater = zlib.decompressobj()
    try:
        inflater.decompress(packed, _MOST_UNPACKED)
    except zlib.error:
        return len(body) <= _MOST_UNPACKED  # Pillow ignores it
    return not inflater.unconsumed_tail

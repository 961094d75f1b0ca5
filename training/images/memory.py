"""How much memory the decoding of a picture takes, and how much all of them may take at once."""

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from PIL import Image, ImageFile, TiffImagePlugin

LIMIT = 500_000_000
"""Bytes that the decoding of one picture may take; one that needs more is refused. What comes on
top (the file, the reduced picture) keeps within 100 MB."""

AT_ONCE = 420_000_000
"""Bytes that the pictures being decoded in this process take together, if they are several: 100
megapixels in colour, and room for what other threads have reduced and still hold."""

FREE = 8_000_000
"""Less than this is not counted: an ordinary photo does not wait until a huge one is done."""

_WHOLE_FILE_DECODERS = {"WEBP": 16.0, "AVIF": 14.0}
"""Bytes a pixel of decoders that hold copies of the picture (measured with Pillow 12.3: WebP 16,
AVIF 9 to 12, and 14 if it has 10 bits)."""

_SCRIPTED_CODECS = {"ppm", "ppm_plain", "bmp_rle"}
"""Pillow decodes these in Python: some 2 s a megapixel, with copies of the picture."""

MOST_SCRIPTED_PIXELS = 8_000_000

_TILE_WIDTH, _TILE_LENGTH = 322, 323


_TRIMMED_FROM = 64_000_000
"""Bytes from which on freed memory is given back at once: glibc keeps it for the thread that had
it, and four pictures of 400 MB, one after another, have been seen to hold 900."""


class Budget:
    """Bytes that threads share. Who comes first is served first, so that big pictures get their
    turn, too."""

    def __init__(self, limit: int, *, free: int = 0) -> None:
        self._limit, self._free = limit, free
        self._trim = _trimmer()
        self._used = 0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def reserved(self, size: int) -> Iterator[None]:
        """Wait until ``size`` bytes (at most the limit) are free, and hold them. Never nested.

        Less than ``free`` bytes are had at once.
        """
        if size < self._free:
            yield
            return
        share, ticket = min(size, self._limit), object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(
                    lambda: self._waiting[0] is ticket and self._used + share <= self._limit
                )
                self._used += share
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            if size >= _TRIMMED_FROM and self._trim is not None:
                self._trim(0)
            with self._changed:
                self._used -= share
                self._changed.notify_all()


def _trimmer() -> Callable[[int], int] | None:
    """glibc's ``malloc_trim``; other allocators give big blocks back by themselves."""
    try:
        found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    except (OSError, TypeError):
        return None
    return found


_budget = Budget(AT_ONCE, free=FREE)


def reserved(size: int) -> AbstractContextManager[None]:
    """Hold ``size`` bytes of what this process may spend on pictures; waits for them."""
    return _budget.reserved(size)


def _renew() -> None:
    # What other threads held is not held in a forked process.
    global _budget
    _budget = Budget(AT_ONCE, free=FREE)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def bytes_to_load(image: ImageFile.ImageFile) -> int:
    """Upper bound of what Pillow's ``load`` of an opened (and drafted) file allocates, in bytes;
    without the coefficients of a progressive JPEG."""
    pixels = image.width * image.height
    pixel = _pixel_bytes(image.mode)
    if image.format in _WHOLE_FILE_DECODERS:
        return int(pixels * _WHOLE_FILE_DECODERS[image.format])
    if image.format == "JPEG2000":  # OpenJPEG: 32 bits a sample, and copies
        return pixels * 5 * (1 + len(image.getbands()))
    if image.format == "TIFF":
        return pixels * pixel + _tiff_buffer(image)
    if is_scripted(image):
        return pixels * 4 * pixel
    return pixels * pixel


def is_scripted(image: ImageFile.ImageFile) -> bool:
    """Whether Pillow decodes the file in Python, slowly."""
    return any(tile[0] in _SCRIPTED_CODECS for tile in image.tile)


def _pixel_bytes(mode: str) -> int:
    if mode in {"1", "L", "P"}:
        return 1
    return 2 if mode.startswith("I;16") else 4


def _tiff_buffer(image: Image.Image) -> int:
    """The strip or tile that libtiff decodes at a time, in bytes."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (8,))
    samples = _first(tags.get(TiffImagePlugin.SAMPLESPERPIXEL)) or 1
    width, height = _first(tags.get(_TILE_WIDTH)), _first(tags.get(_TILE_LENGTH))
    if not (width and height):
        width = _first(tags.get(TiffImagePlugin.IMAGEWIDTH))
        length = _first(tags.get(TiffImagePlugin.IMAGELENGTH))
        height = min(_first(tags.get(TiffImagePlugin.ROWSPERSTRIP)) or length, length)
    return width * height * max(4, -(-_first(bits) * samples // 8))


def _first(value: object) -> int:
    if isinstance(value, tuple):
        value = value[0] if value else 0
    return int(value) if isinstance(value, (int, float)) else 0

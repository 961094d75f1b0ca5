"""The memory that decoding an image takes, and a budget for all images that are decoded in parallel."""

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from PIL import Image, ImageFile, TiffImagePlugin

LIMIT = 500_000_000
"""Most bytes that decoding one image may take; an image that needs more is rejected. In addition, the
file and the reduced image take up to 100 MB."""

AT_ONCE = 420_000_000
"""Most bytes that all images being decoded in this process take together: 100 megapixels in colour,
and room for reduced images of other threads. A single image may take more."""

FREE = 8_000_000
"""Smaller sizes in bytes are not counted, so that an ordinary photo does not wait for a huge one."""

_WHOLE_FILE_DECODERS = {"WEBP": 16.0, "AVIF": 14.0}
"""Bytes per pixel of decoders that keep copies of the image (measured with Pillow 12.3: WebP 16,
AVIF 9 to 12, and 14 with 10 bits)."""

_SCRIPTED_CODECS = {"ppm", "ppm_plain", "bmp_rle"}
"""Codecs that Pillow implements in Python: about 2 s per megapixel, with copies of the image."""

MOST_SCRIPTED_PIXELS = 8_000_000

_TILE_WIDTH, _TILE_LENGTH = 322, 323


_TRIMMED_FROM = 64_000_000
"""Bytes from which on freed memory is returned to the system immediately: glibc keeps it for the
thread that had it, and four images of 400 MB, one after another, were measured to occupy 900."""


class Budget:
    """A budget of bytes that threads share, first come, first served, so that large requests are
    served, too.

    Args:
        limit: bytes in all.
        free: smaller requests are not counted.
    """

    def __init__(self, limit: int, *, free: int = 0) -> None:
        self._limit, self._free = limit, free
        self._trim = _trimmer()
        self._used = 0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def reserved(self, size: int) -> Iterator[None]:
        """Reserve bytes for the length of a block; waits until they are available. Do not nest.

        Args:
            size: in bytes; more than the limit counts as the limit, less than ``free`` does not wait.
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
    """Return glibc's ``malloc_trim``, else ``None``; other allocators return large blocks themselves."""
    try:
        found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    except (OSError, TypeError):
        return None
    return found


_budget = Budget(AT_ONCE, free=FREE)


def reserved(size: int) -> AbstractContextManager[None]:
    """Reserve ``size`` bytes of this process's budget for images; see :meth:`Budget.reserved`."""
    return _budget.reserved(size)


def _renew() -> None:
    # Reservations of other threads do not exist in a forked process.
    global _budget
    _budget = Budget(AT_ONCE, free=FREE)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def bytes_to_load(image: ImageFile.ImageFile) -> int:
    """Return an upper bound of the bytes that Pillow's ``load`` of an opened (and drafted) file takes.

    Without the coefficients of a progressive JPEG.
    """
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
    """Whether Pillow decodes the file in Python, which is slow."""
    return any(tile[0] in _SCRIPTED_CODECS for tile in image.tile)


def _pixel_bytes(mode: str) -> int:
    if mode in {"1", "L", "P"}:
        return 1
    return 2 if mode.startswith("I;16") else 4


def _tiff_buffer(image: Image.Image) -> int:
    """Return the size in bytes of the strip or tile that libtiff decodes at a time."""
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

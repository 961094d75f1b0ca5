"""What it costs to decode a picture and to predict on it, told by its header."""

from dataclasses import dataclass

from training.images import memory as image_memory
from training.images.images import _drafted, _jpeg_coefficients, _open, _reduction

SMALL_MEMORY, SMALL_WORK = 64_000_000, 256_000_000
"""Bytes that something small holds at a time, and that it decodes in all."""

_NET_BYTES = 24
"""Bytes that a net takes for a pixel of the reduced picture: three floats, and a copy of them."""

_SCRIPTED = 20
"""A format that Pillow decodes in Python takes so many times as long as one that C does."""


@dataclass(frozen=True, slots=True)
class DecodeCost:
    """What a picture takes; all 0 of a file that is none.

    ``pixels`` are those of the file, ``memory`` the bytes that are held at a time, and ``work``
    grows with the time it takes: bytes that are decoded, by code of usual speed.
    """

    pixels: int = 0
    memory: int = 0
    work: int = 0

    @property
    def is_small(self) -> bool:
        """Whether it takes little time and memory."""
        return self.memory <= SMALL_MEMORY and self.work <= SMALL_WORK


def decode_cost(data: bytes, *, fit: int) -> DecodeCost:
    """The cost of ``training.images.images.decode`` with ``fit``, and of a net that gets the result."""
    try:
        with _open(data) as image:
            pixels = image.width * image.height
            factors = _reduction(image.size, fit)
            reduced = (image.width // factors[0]) * (image.height // factors[1])
            coefficients = _jpeg_coefficients(image, data)
            scripted = image_memory.is_scripted(image)
            _drafted(image, factors)
            decoded = image_memory.bytes_to_load(image) + coefficients
    except Exception:  # noqa: BLE001 - what is wrong with it, decoding it will say
        return DecodeCost()
    work = decoded * (_SCRIPTED if scripted else 1)
    return DecodeCost(pixels, max(decoded, reduced * _NET_BYTES), work)

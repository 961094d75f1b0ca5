"""Estimates, from an image's header, of the cost of decoding it and predicting on it."""

from dataclasses import dataclass

from training.images import memory as image_memory
from training.images.images import _drafted, _jpeg_coefficients, _open, _reduction

SMALL_MEMORY, SMALL_WORK = 64_000_000, 256_000_000
"""Most memory in bytes, and most work, of a small image."""

_NET_BYTES = 24
"""Bytes that a net takes per pixel of the reduced image: three floats, and a copy of them."""

_SCRIPTED = 20
"""Factor by which decoding in Python (by Pillow) is slower than in C."""


@dataclass(frozen=True, slots=True)
class DecodeCost:
    """The cost of an image; all 0 for a file that is no image.

    Attributes:
        pixels: of the file.
        memory: most bytes at a time.
        work: in proportion to the time: decoded bytes, multiplied for slow decoders.
    """

    pixels: int = 0
    memory: int = 0
    work: int = 0

    @property
    def is_small(self) -> bool:
        """Whether it takes little time and memory."""
        return self.memory <= SMALL_MEMORY and self.work <= SMALL_WORK


def decode_cost(data: bytes, *, fit: int) -> DecodeCost:
    """Estimate the cost of ``training.images.images.decode`` with ``fit``, and of a net on the result.

    Args:
        data: the file's bytes.
        fit: width and height in pixels of the net's images.
    """
    try:
        with _open(data) as image:
            pixels = image.width * image.height
            factors = _reduction(image.size, fit)
            reduced = (image.width // factors[0]) * (image.height // factors[1])
            coefficients = _jpeg_coefficients(image, data)
            scripted = image_memory.is_scripted(image)
            _drafted(image, factors)
            decoded = image_memory.bytes_to_load(image) + coefficients
    except Exception:  # noqa: BLE001 - decoding it will report what is wrong
        return DecodeCost()
    work = decoded * (_SCRIPTED if scripted else 1)
    return DecodeCost(pixels, max(decoded, reduced * _NET_BYTES), work)

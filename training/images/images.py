"""Decoding image files to pixels, for ingest, training, evaluation and serving.

A file is either decoded as an image viewer shows it (upright, in colour, transparency on white, the
first frame), or rejected with a reason that a person can act on. Partial images are rejected.
"""

import hashlib
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from training.errors import ImageRejected
from training.images import memory as image_memory
from training.images.colours import in_colour
from training.images.jpeg_whole import END_OF_IMAGE, JpegIncomplete, completed, layout
from training.images.png_chunks import SIGNATURE as PNG_SIGNATURE
from training.images.png_chunks import is_damaged, without_notes

__all__ = [
    "MAX_SIDE",
    "ImageFacts",
    "ImageRejected",
    "decode",
    "inspect",
    "reduced_pixels",
    "side_too_long",
    "to_array",
]

DEFAULT_MAX_PIXELS = 100_000_000
"""Images with more pixels are rejected unread (Pillow itself rejects more than 178,956,970)."""

MAX_SIDE = 65_535
"""Most pixels of a side, as in JPEG and GIF; a net cannot process sides of millions of pixels."""

MOST_REDUCED_PIXELS = 4_000_000
"""Most pixels of a reduced long strip (or 64 squares of ``fit``, if that is more): nets convert a
pixel to 12 bytes and copy it, and several images are processed at a time."""

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "DIB", "PPM", "JPEG2000")
"""Accepted formats, by Pillow's names. Formats whose readers start other programs (EPS) or have no
signature (TGA, PCD) are left out, since files are untrusted."""

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*", b"BM", b"\0\0\0\x0cjP")
"""First bytes of these formats, to distinguish broken images from other files."""

_POINTERS = {
    b"version https://git-lfs.github.com/spec/": ("Git LFS", "git lfs pull"),
    b"version https://hawser.github.com/spec/": ("Git LFS", "git lfs pull"),
    b"/annex/objects/": ("git-annex", "git annex get"),
}
"""First bytes of pointers to files that were not downloaded, with the tool and its command
(https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md,
https://git-annex.branchable.com/internals/pointer_file/)."""

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → the transposition that makes it upright (CIPA DC-008, tag 274)."""

_LYING = 5
"""From this orientation on, width and height are exchanged."""

_PHASH_FIT = 32
"""A perceptual hash uses 32 × 32 pixels; computed from an image reduced to at least twice that, it
differs by 2 of 64 bits at most, and indexing photos costs a quarter less."""

_WIDEST_BLOCK = 32
"""Width in pixels of a JPEG's block with the widest subsampling (4:1:1)."""

_BAND_PIXELS = 1_000_000
"""Pixels that are converted at a time: 16-bit ones take 30 bytes each during the conversion."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """The image table's fields of one image.

    Attributes:
        sha256: of the file, 64 hex digits.
        phash: perceptual hash, 64 bits.
        width: in pixels, after orientation.
        height: in pixels, after orientation.
        mode: Pillow's name of the stored mode.
        format: Pillow's name of the file's format.
    """

    sha256: str
    phash: int
    width: int
    height: int
    mode: str
    format: str


def decode(
    data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS, fit: int | None = None
) -> Image.Image:
    """Decode an image file: mode ``RGB``, upright, transparency on white, first frame.

    Args:
        data: the file's bytes.
        max_pixels: images with more pixels are rejected before they are read.
        fit: width and height in pixels of the square that the image will be resized to. If the
            shorter side is more than four times that, the image is reduced by a whole number, to
            at least twice ``fit`` and less than four times: this is much faster (JPEG: inside the
            decoder), and hardly changes the result of the antialiased resize. The longer side of
            a strip is reduced further if too many pixels remain.

    Raises:
        ImageRejected: the file is empty, truncated, too big, or not an image.
    """
    with _opened(data, max_pixels) as image:
        return _pixels(image, data, fit, thorough=False)[0]


def inspect(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageFacts:
    """Compute the image table's fields of one file.

    The whole file is decoded and checked more thoroughly than by ``decode``, so that an image that
    passes is readable later.

    Args:
        data: the file's bytes.
        max_pixels: as for ``decode``.

    Raises:
        ImageRejected: as for ``decode``.
    """
    with _opened(data, max_pixels) as image:
        mode, format_name = image.mode, str(image.format)
        stored = image.size
        picture, orientation = _pixels(image, data, _PHASH_FIT, thorough=True)
    if orientation >= _LYING:
        stored = stored[1], stored[0]
    return ImageFacts(
        sha256=hashlib.sha256(data).hexdigest(),
        phash=_phash(picture),
        width=stored[0],
        height=stored[1],
        mode=mode,
        format=format_name,
    )


def to_array(image: Image.Image) -> np.ndarray:
    """Return the pixels of an ``RGB`` image: uint8 [height, width, 3], 0…255."""
    return np.asarray(image, dtype=np.uint8)


def side_too_long(width: int, height: int) -> str:
    """Return the reason for rejecting an image with a side of more than ``MAX_SIDE`` pixels."""
    return (
        f"a side too long: {width} × {height}, more than {MAX_SIDE:,} pixels; cut it into several "
        "pictures"
    )


def reduced_pixels(width: int, height: int, fit: int) -> int:
    """Estimate how many pixels ``decode`` returns of an image.

    Args:
        width: of the image in pixels.
        height: of the image in pixels.
        fit: width and height in pixels of the square that it will be resized to.
    """
    across, down = _reduction((width, height), fit)
    return -(-width // across) * -(-height // down)


def _opened(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    if not data:
        raise ImageRejected("empty file")
    image = _open(data)
    if image.width * image.height > max_pixels:
        raise ImageRejected(
            f"too many pixels: {image.width} × {image.height}, more than {max_pixels:,} "
            "(max_pixels under [ingestion] in imgclf.toml)"
        )
    if max(image.size) > MAX_SIDE:
        raise ImageRejected(side_too_long(image.width, image.height))
    pixels = image.width * image.height
    if image_memory.is_scripted(image) and pixels > image_memory.MOST_SCRIPTED_PIXELS:
        raise ImageRejected(
            f"{image.width} × {image.height} pixels in a {image.format} variant that takes minutes "
            "to read; save it as PNG or TIFF"
        )
    return image


def _open(data: bytes) -> ImageFile.ImageFile:
    if data.startswith(PNG_SIGNATURE):
        data = without_notes(data)
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise ImageRejected(_unidentified(data)) from None
    except Exception as error:  # Pillow's readers raise anything on broken bytes
        raise _rejection(error) from error


def _rejection(error: Exception) -> ImageRejected:
    """Convert an error of Pillow to a rejection."""
    if isinstance(error, ImageRejected):
        return error
    if isinstance(error, Image.DecompressionBombError):
        return ImageRejected(f"too many pixels: {error}")
    if isinstance(error, JpegIncomplete):
        return ImageRejected(f"truncated or broken image: {error}")
    if isinstance(error, MemoryError):  # a header that promises what no memory holds
        return ImageRejected(
            "decoding it needs more memory than is available; save it as PNG or JPEG"
        )
    return ImageRejected(f"truncated or broken image: {_error_text(error)}")


def _unidentified(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in {b"heic", b"heix", b"hevc", b"mif1", b"msf1"}:
        return "HEIC is not supported; convert it to JPEG, PNG, WebP or AVIF"
    for start, (what, command) in _POINTERS.items():
        if data.startswith(start):
            return (
                f"a pointer of {what}, not the image itself; run `{command}` there, and ingest "
                "again"
            )
    if data.startswith(_SIGNATURES) or data[8:12] == b"WEBP" or data[4:12] == b"ftypavif":
        return "truncated or broken image: its header cannot be read"
    return (
        "not an image in a supported format (JPEG, PNG, WebP, AVIF, GIF, TIFF, BMP, PNM, JPEG 2000)"
    )


def _error_text(error: Exception) -> str:
    return str(error).strip() or type(error).__name__


def _pixels(
    image: ImageFile.ImageFile, data: bytes, fit: int | None, *, thorough: bool
) -> tuple[Image.Image, int]:
    """Decode an opened file; returns the image and its stored orientation.

    Args:
        image: opened, not loaded.
        data: the file's bytes.
        fit: as for ``decode``.
        thorough: whether to check the data also where the pixels look complete.

    Raises:
        ImageRejected: the file is damaged, or decoding takes too much memory.
    """
    factors, (width, height) = _reduction(image.size, fit), image.size
    coefficients = _jpeg_coefficients(image, data)
    drafted = _drafted(image, factors)
    block = max(1, _WIDEST_BLOCK * image.width // width)
    needed = image_memory.bytes_to_load(image) + coefficients
    if needed > image_memory.LIMIT:
        kind = f"{'progressive ' if coefficients else ''}{image.format}"
        raise ImageRejected(
            f"{width} × {height} pixels take {needed / 1e6:,.0f} MB to decode from a {kind}, more "
            f"than {image_memory.LIMIT / 1e6:,.0f}; make it smaller, or save it as "
            f"{'baseline JPEG' if coefficients else 'JPEG'} or PNG"
        )
    with image_memory.reserved(needed):
        try:
            if _is_jpeg(image):
                if thorough or coefficients or _may_be_cut(image, data, block):
                    image = _whole_jpeg(image, data, factors)
            elif image.format == "PNG" and is_damaged(data, 8 * image.width * image.height):
                raise ImageRejected("truncated or broken image: its checksums are wrong")
            image.load()
            picture = _reduced(image, drafted)
            orientation = _orientation(image)
        except Exception as error:  # Pillow's readers raise anything on broken bytes
            raise _rejection(error) from error
        finally:
            image.close()  # frees the pixels before their memory is given to others
    upright = _UPRIGHT.get(orientation)
    return (picture.transpose(upright) if upright is not None else picture), orientation


def _is_jpeg(image: ImageFile.ImageFile) -> bool:
    return image.format in {"JPEG", "MPO"}


def _may_be_cut(image: ImageFile.ImageFile, data: bytes, block: int) -> bool:
    """Whether a JPEG of one scan may be truncated; loads the image.

    Args:
        image: opened.
        data: the file's bytes.
        block: width of the widest block in pixels.
    """
    # libjpeg fills missing data with equal blocks, so the last row would end in them.
    if not data.endswith(END_OF_IMAGE):
        return True
    image.load()
    if image.width <= 2 * block:
        return True
    row = np.asarray(image.crop((0, image.height - 1, image.width, image.height)))[0]
    return bool((row[-block - 1 : -1] == row[-2 * block - 1 : -block - 1]).all())


def _whole_jpeg(
    image: ImageFile.ImageFile, data: bytes, factors: tuple[int, int]
) -> ImageFile.ImageFile:
    """Return the JPEG, opened again with an end marker if it was missing. Raises JpegIncomplete."""
    whole = completed(data)
    if whole is data:
        return image
    again = _open(whole)
    _drafted(again, factors)
    return again


def _reduction(size: tuple[int, int], fit: int | None) -> tuple[int, int]:
    """Return the whole numbers by which width and height are reduced."""
    if fit is None:
        return 1, 1
    shorter, longer = sorted(size)
    factor = shorter // (2 * fit) if shorter > 4 * fit else 1
    left = (shorter // factor) * (longer // factor)
    more = min(-(-left // max(MOST_REDUCED_PIXELS, 64 * fit * fit)), longer // factor // (2 * fit))
    along = factor * max(1, more)
    return (factor, along) if size[0] == shorter else (along, factor)


def _drafted(image: ImageFile.ImageFile, factors: tuple[int, int]) -> tuple[int, int]:
    """Have libjpeg reduce a JPEG as far as it can; returns the remaining factors."""
    factor = min(factors)
    if factor > 1 and _is_jpeg(image):
        width = image.width
        image.draft(None, (image.width // factor, image.height // factor))
        scale = round(width / image.width)
        return factors[0] // scale, factors[1] // scale
    return factors


def _jpeg_coefficients(image: ImageFile.ImageFile, data: bytes) -> int:
    """Return the bytes of coefficients that libjpeg keeps of a JPEG with several scans, else 0."""
    layers = getattr(image, "layer", [])
    if not _is_jpeg(image) or not layers or not layout(data).buffered:
        return 0
    across = max(layer[1] for layer in layers)
    down = max(layer[2] for layer in layers)
    share = sum(layer[1] * layer[2] for layer in layers) / (across * down)
    return int(2 * share * image.width * image.height)


def _reduced(image: ImageFile.ImageFile, factors: tuple[int, int]) -> Image.Image:
    """Convert a loaded image to ``RGB`` and reduce it, band by band to save memory."""
    rows = max(1, _BAND_PIXELS // image.width // factors[1]) * factors[1]
    if rows >= image.height:
        return _shrunk(in_colour(image, image), factors)
    size = -(-image.width // factors[0]), -(-image.height // factors[1])
    picture = Image.new("RGB", size)
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        picture.paste(_shrunk(in_colour(band, image), factors), (0, top // factors[1]))
    return picture


def _shrunk(picture: Image.Image, factors: tuple[int, int]) -> Image.Image:
    return picture.reduce(factors) if factors != (1, 1) else picture


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of a loaded image; 1 if there is none or the EXIF is broken."""
    # Read after loading: a PNG may have its EXIF after the pixels, and Pillow rotates a TIFF when it
    # is loaded, and then removes the tag.
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001 - broken EXIF does not make the image unusable
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1  # others are undefined


def _phash(picture: Image.Image) -> int:
    import imagehash

    bits = imagehash.phash(picture).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")

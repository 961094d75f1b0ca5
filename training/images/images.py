"""From the bytes of a file to pixels: one decoder for ingest, training, evaluation and serving.

A file is either read the way a person would see it in an image viewer (upright, in colour,
transparency on white, the first frame), or refused with a reason a person can act on. Nothing
in between: a picture that is half there is not a picture.
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
"""Images with more pixels are refused unread (Pillow itself refuses more than 178,956,970)."""

MAX_SIDE = 65_535
"""Pixels of a side, the most that JPEG and GIF can store; a net cannot take sides of millions."""

MOST_REDUCED_PIXELS = 4_000_000
"""Of a strip that was reduced to fit (or 64 squares' of ``fit``, if they are more): nets widen a
pixel to 12 bytes and copy that, and several pictures are under way at once."""

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "DIB", "PPM", "JPEG2000")
"""What is read, by Pillow's names. Formats whose readers start other programs (EPS) or have no
signature (TGA, PCD) are left out: these bytes come from anywhere."""

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*", b"BM", b"\0\0\0\x0cjP")
"""First bytes of those formats, to tell what is broken from what never was an image."""

_POINTERS = {
    b"version https://git-lfs.github.com/spec/": ("Git LFS", "git lfs pull"),
    b"version https://hawser.github.com/spec/": ("Git LFS", "git lfs pull"),
    b"/annex/objects/": ("git-annex", "git annex get"),
}
"""What stands in a repository for a file that was not downloaded, and how to get it
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
"""EXIF orientation → what makes it upright (CIPA DC-008, tag 274)."""

_LYING = 5
"""From this orientation on, width and height change places."""

_PHASH_FIT = 32
"""A perceptual hash looks at 32 × 32 pixels; from a picture reduced to no less than twice that
it is the same within 2 bits of 64, and indexing photos costs a quarter less."""

_WIDEST_BLOCK = 32
"""Pixels that a JPEG codes together, of the widest subsampling (4:1:1)."""

_BAND_PIXELS = 1_000_000
"""Converted at once: 16 bits take 30 bytes a pixel on the way."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the image table knows of one image.

    ``width`` and ``height`` are in pixels, after orientation; ``mode`` and ``format`` are
    Pillow's names of what is stored; ``phash`` is the 64-bit perceptual hash.
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
    """The picture in ``data``, as mode ``RGB``, upright, transparency on white, first frame.

    Args:
        data: the bytes of one image file.
        max_pixels: more pixels than this are refused before any is read.
        fit: the side of the square the picture is for. A picture whose shorter side is more
            than four times that is reduced by a whole number, to at least twice ``fit`` and
            less than four times: cheaper by far (JPEG: inside the decoder), and the
            antialiased resize that follows hardly notices. The longer side of a strip is
            reduced further, if that many pixels are left.

    Raises:
        ImageRejected: the file is empty, truncated, too big, or not a picture.
    """
    with _opened(data, max_pixels) as image:
        return _pixels(image, data, fit, thorough=False)[0]


def inspect(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageFacts:
    """Everything the image table holds about one file. The whole file is decoded, and damage is
    looked for more thoroughly than by ``decode``, so an image that passes here is readable later.

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
    """The pixels of an ``RGB`` image: uint8, [height, width, 3], 0…255."""
    return np.asarray(image, dtype=np.uint8)


def side_too_long(width: int, height: int) -> str:
    """Why a picture with a side of more than ``MAX_SIDE`` pixels is refused."""
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
    """What Pillow says of a file, as a reason."""
    if isinstance(error, ImageRejected):
        return error
    if isinstance(error, Image.DecompressionBombError):
        return ImageRejected(f"too many pixels: {error}")
    if isinstance(error, JpegIncomplete):
        return ImageRejected(f"truncated or broken image: {error}")
    if isinstance(error, MemoryError):  # a header that promises what no memory holds
        return ImageRejected("decoding it needs more memory than there is; save it as PNG or JPEG")
    return ImageRejected(f"truncated or broken image: {_error_text(error)}")


def _unidentified(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in {b"heic", b"heix", b"hevc", b"mif1", b"msf1"}:
        return "HEIC is not supported; convert it to JPEG, PNG, WebP or AVIF"
    for start, (what, command) in _POINTERS.items():
        if data.startswith(start):
            return f"a pointer of {what}, not the image itself; run `{command}` there, and ingest again"
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
    """The picture of an opened file, and the orientation in which it was stored.

    Args:
        image: opened, not loaded.
        data: the file.
        fit: as for ``decode``.
        thorough: whether the data are judged also where the pixels look whole.
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
            image.close()  # frees the pixels before others may take their place
    upright = _UPRIGHT.get(orientation)
    return (picture.transpose(upright) if upright is not None else picture), orientation


def _is_jpeg(image: ImageFile.ImageFile) -> bool:
    return image.format in {"JPEG", "MPO"}


def _may_be_cut(image: ImageFile.ImageFile, data: bytes, block: int) -> bool:
    """Whether a JPEG of one scan looks as libjpeg leaves it where data are missing: it fills up
    with equal blocks, so that the last row ends in them. Loads the image.

    Args:
        image: opened.
        data: the file.
        block: width of the widest block in pixels.
    """
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
    """The JPEG, opened again if only its end marker was missing. Raises JpegIncomplete."""
    whole = completed(data)
    if whole is data:
        return image
    again = _open(whole)
    _drafted(again, factors)
    return again


def _reduction(size: tuple[int, int], fit: int | None) -> tuple[int, int]:
    """By which whole numbers width and height are reduced."""
    if fit is None:
        return 1, 1
    shorter, longer = sorted(size)
    factor = shorter // (2 * fit) if shorter > 4 * fit else 1
    left = (shorter // factor) * (longer // factor)
    more = min(-(-left // max(MOST_REDUCED_PIXELS, 64 * fit * fit)), longer // factor // (2 * fit))
    along = factor * max(1, more)
    return (factor, along) if size[0] == shorter else (along, factor)


def _drafted(image: ImageFile.ImageFile, factors: tuple[int, int]) -> tuple[int, int]:
    """Have libjpeg reduce a JPEG as much as it can; what is left to do."""
    factor = min(factors)
    if factor > 1 and _is_jpeg(image):
        width = image.width
        image.draft(None, (image.width // factor, image.height // factor))
        scale = round(width / image.width)
        return factors[0] // scale, factors[1] // scale
    return factors


def _jpeg_coefficients(image: ImageFile.ImageFile, data: bytes) -> int:
    """Bytes of the coefficients that libjpeg holds of a JPEG of several scans."""
    layers = getattr(image, "layer", [])
    if not _is_jpeg(image) or not layers or not layout(data).buffered:
        return 0
    across = max(layer[1] for layer in layers)
    down = max(layer[2] for layer in layers)
    share = sum(layer[1] * layer[2] for layer in layers) / (across * down)
    return int(2 * share * image.width * image.height)


def _reduced(image: ImageFile.ImageFile, factors: tuple[int, int]) -> Image.Image:
    """A loaded picture as ``RGB``, reduced; band by band, so that memory holds it once."""
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
    """EXIF orientation, 1 if there is none or the EXIF block is broken.

    Asked after loading: a PNG may carry its EXIF behind the pixels, and Pillow has turned a
    TIFF by then and says so by dropping the tag.
    """
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001 - EXIF is a note on the picture, not the picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1  # others mean nothing


def _phash(picture: Image.Image) -> int:
    import imagehash

    bits = imagehash.phash(picture).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")

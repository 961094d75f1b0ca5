"""From the bytes of a file to pixels: one decoder for ingest, training, evaluation and serving.

A file is either read the way a person would see it in an image viewer (upright, in colour,
transparency on white, the first frame), or refused with a reason a person can act on. Nothing
in between: a picture that is half there is not a picture.
"""

import hashlib
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

DEFAULT_MAX_PIXELS = 100_000_000
"""Images with more pixels are refused unread (Pillow itself refuses more than 178,956,970)."""

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "DIB", "PPM", "JPEG2000")
"""What is read, by Pillow's names. Formats whose readers start other programs (EPS) or have no
signature (TGA, PCD) are left out: these bytes come from anywhere."""

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*", b"BM", b"\0\0\0\x0cjP")
"""First bytes of those formats, to tell what is broken from what never was an image."""

_ORIENTATION_TAG = 0x0112
_BITS_PER_SAMPLE_TAG, _PHOTOMETRIC_TAG, _WHITE_IS_ZERO = 258, 262, 0
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

_PHASH_FIT = 32
"""A perceptual hash looks at 32 × 32 pixels; from a picture reduced to no less than twice that
it is the same within 2 bits of 64, and indexing photos costs a quarter less."""


class ImageRejected(ValueError):  # noqa: N818 - the word the tables and the pages use
    """A file that is not a picture to train or predict on; ``reason`` says why, for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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
            antialiased resize that follows hardly notices.

    Raises:
        ImageRejected: the file is empty, truncated, too big, or not a picture.
    """
    with _opened(data, max_pixels) as image:
        return _pixels(image, fit)


def inspect(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageFacts:
    """Everything the image table holds about one file. The whole file is decoded, so an image
    that passes here is readable later.

    Raises:
        ImageRejected: as for ``decode``.
    """
    with _opened(data, max_pixels) as image:
        mode, format_name = image.mode, str(image.format)
        stored = image.size
        picture = _pixels(image, _PHASH_FIT)
    # Pillow swaps the sides of a TIFF on opening, of nothing else.
    if (picture.width > picture.height) != (stored[0] > stored[1]):
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


def _opened(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    if not data:
        raise ImageRejected("empty file")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise ImageRejected(_unidentified(data)) from None
    except Image.DecompressionBombError as error:
        raise ImageRejected(f"too many pixels: {error}") from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise anything on broken bytes
        raise ImageRejected(f"truncated or broken image: {_said(error)}") from error
    if image.width * image.height > max_pixels:
        raise ImageRejected(
            f"too many pixels: {image.width} × {image.height}, more than {max_pixels:,} "
            "(max_pixels under [ingestion] in imgclf.toml)"
        )
    return image


def _unidentified(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in {b"heic", b"heix", b"hevc", b"mif1", b"msf1"}:
        return "HEIC is not supported; convert it to JPEG, PNG, WebP or AVIF"
    if data.startswith(_SIGNATURES) or data[8:12] == b"WEBP" or data[4:12] == b"ftypavif":
        return "truncated or broken image: its header cannot be read"
    return (
        "not an image in a supported format (JPEG, PNG, WebP, AVIF, GIF, TIFF, BMP, PNM, JPEG 2000)"
    )


def _said(error: Exception) -> str:
    return str(error).strip() or type(error).__name__


def _pixels(image: ImageFile.ImageFile, fit: int | None) -> Image.Image:
    factor = _reduction(image.size, fit)
    try:
        if factor > 1 and image.format in {"JPEG", "MPO"}:
            width = image.width
            image.draft(None, (image.width // factor, image.height // factor))
            factor //= round(width / image.width)
        image.load()
        picture = _rgb(image)
    except ImageRejected:
        raise
    except Image.DecompressionBombError as error:
        raise ImageRejected(f"too many pixels: {error}") from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise anything on broken bytes
        raise ImageRejected(f"truncated or broken image: {_said(error)}") from error
    if factor > 1:
        picture = picture.reduce(factor)
    upright = _UPRIGHT.get(_orientation(image))
    return picture.transpose(upright) if upright is not None else picture


def _reduction(size: tuple[int, int], fit: int | None) -> int:
    shorter = min(size)
    return shorter // (2 * fit) if fit is not None and shorter > 4 * fit else 1


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 if there is none or the EXIF block is broken.

    Asked after loading: a PNG may carry its EXIF behind the pixels, and Pillow has turned a
    TIFF by then and says so by dropping the tag.
    """
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001 - EXIF is a note on the picture, not the picture
        return 1
    return value if isinstance(value, int) else 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bit(image).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    if image.mode == "CMYK":
        return _from_cmyk(image)
    return image.copy() if image.mode == "RGB" else image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey of 16 bits and more as 8 bits, by the range of the format and not by the picture's
    own, so that equal values look equal in every picture. (Pillow's ``convert`` clips.)
    """
    values = np.asarray(image).astype(np.float64)
    top = 1.0 if image.mode == "F" else 65535.0
    white_is_zero = False
    tags = getattr(image, "tag_v2", None)
    if tags is not None and image.mode.startswith("I;16"):
        top = float(2 ** tags.get(_BITS_PER_SAMPLE_TAG, (16,))[0] - 1)
        white_is_zero = tags.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO
    if not (values.min() >= 0 and values.max() <= top):  # not (…): NaN is refused as well
        raise ImageRejected(
            f"pixels of mode {image.mode} outside 0…{top:g}, so black and white are unknown; "
            "save it with 8 or 16 bits a channel"
        )
    scaled = np.rint(values * (255.0 / top)).astype(np.uint8)
    return Image.fromarray(255 - scaled if white_is_zero else scaled)


def _from_cmyk(image: Image.Image) -> Image.Image:
    """Ink to light, by the embedded colour profile where there is a usable one: without it,
    printed photos come out in neon colours. Viewers do the same.
    """
    profile = image.info.get("icc_profile")
    if profile:
        try:
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
        except (ImageCms.PyCMSError, OSError):
            converted = None  # a broken profile is no profile
        if converted is not None:
            return converted
    return image.convert("RGB")


def _phash(picture: Image.Image) -> int:
    import imagehash

    bits = imagehash.phash(picture).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")

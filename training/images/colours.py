"""Converting pixels of all modes to 8-bit RGB."""

import io

import numpy as np
from PIL import Image, ImageCms

from training.errors import ImageRejected

_BITS_PER_SAMPLE_TAG, _PHOTOMETRIC_TAG, _WHITE_IS_ZERO = 258, 262, 0


def in_colour(image: Image.Image, source: Image.Image) -> Image.Image:
    """Convert an image to ``RGB``, with transparency on white.

    Args:
        image: ``source``, or a horizontal band of it.
        source: the opened file, whose tags are read.

    Raises:
        ImageRejected: its values are outside of the format's range.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bit(image, source).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    if image.mode == "CMYK":
        return _from_cmyk(image)
    return image.copy() if image.mode == "RGB" else image.convert("RGB")


def _eight_bit(image: Image.Image, source: Image.Image) -> Image.Image:
    """Convert grey of 16 or more bits to 8 bits, scaled by the format's range."""
    # Not by the image's own range, so that equal values look equal in all images. (Pillow's
    # `convert` clips.)
    values = np.asarray(image).astype(np.float64)
    top = 1.0 if image.mode == "F" else 65535.0
    white_is_zero = False
    tags = getattr(source, "tag_v2", None)
    if tags is not None and image.mode.startswith("I;16"):
        top = float(2 ** tags.get(_BITS_PER_SAMPLE_TAG, (16,))[0] - 1)
        white_is_zero = tags.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO
    if not (values.min() >= 0 and values.max() <= top):  # not (…): NaN is rejected as well
        raise ImageRejected(
            f"pixels of mode {image.mode} outside 0…{top:g}, so black and white are unknown; "
            "save it with 8 or 16 bits a channel"
        )
    scaled = np.rint(values * (255.0 / top)).astype(np.uint8)
    return Image.fromarray(255 - scaled if white_is_zero else scaled)


def _from_cmyk(image: Image.Image) -> Image.Image:
    """Convert CMYK to RGB with the embedded colour profile if it is usable, as viewers do."""
    # Without it, photos for print come out in neon colours.
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
            converted = None  # a broken profile is ignored
        if converted is not None:
            return converted
    return image.convert("RGB")

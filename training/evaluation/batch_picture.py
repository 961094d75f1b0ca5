"""A picture of a batch of training images with their labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.evaluation import fonts
from training.evaluation.plots import short

_COLUMNS = 8
_TILE, _CAPTION = 112, 20
"""Side of an image, and height of the label below it, in pixels."""

_LONGEST = 18
_GREY = (60, 60, 60)


def draw_batch(path: Path, images: np.ndarray, labels: Sequence[str], title: str) -> None:
    """Draw images in rows of 8, each with its label below it, as a JPEG.

    Args:
        path: of the file to write.
        images: uint8 [n, size, size, 3], as the model gets them.
        labels: of each image.
        title: above the images.
    """
    # With Pillow: matplotlib would take a second of CPU.
    from PIL import Image, ImageDraw

    columns = max(4, min(_COLUMNS, len(images)))
    rows = -(-len(images) // columns)
    size = (columns * _TILE, _CAPTION + rows * (_TILE + _CAPTION))
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    shown = [short(label, _LONGEST) for label in labels]
    named = fonts.file_with("".join([title, *shown]))
    large, small = fonts.sized(named, 12), fonts.sized(named, 10)
    pen.text((size[0] / 2, _CAPTION / 2), title, _GREY, large, anchor="mm")
    for place, (image, label) in enumerate(zip(images, shown, strict=True)):
        left = place % columns * _TILE
        top = _CAPTION + place // columns * (_TILE + _CAPTION)
        tile = Image.fromarray(image).resize((_TILE - 2, _TILE - 2), Image.Resampling.BILINEAR)
        sheet.paste(tile, (left + 1, top + 1))
        middle = (left + _TILE / 2, top + _TILE + _CAPTION / 2 - 1)
        pen.text(middle, label, _GREY, small, anchor="mm")
    sheet.save(path, "JPEG", quality=88)

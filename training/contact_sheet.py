"""A contact sheet: the first look at what a class holds."""

import io
from collections.abc import Iterable

from PIL import Image, ImageOps

from training.images import decode

TILE = 64
COLUMNS = 6
MOST = 24
BACKGROUND = (255, 255, 255)


def contact_sheet(images: Iterable[bytes], *, max_pixels: int) -> bytes:
    """Up to 24 images in rows of 6, each fitted into 64 × 64 px, as one JPEG (about 25 kB).

    Raises:
        training.images.ImageRejected: an image cannot be read.
        ValueError: there is no image.
    """
    tiles = []
    for data in images:
        picture = decode(data, max_pixels=max_pixels, fit=TILE)
        tiles.append(ImageOps.pad(picture, (TILE, TILE), color=BACKGROUND))
        if len(tiles) == MOST:
            break
    if not tiles:
        raise ValueError("a contact sheet needs at least one image")
    rows = -(-len(tiles) // COLUMNS)
    columns = min(COLUMNS, len(tiles))
    sheet = Image.new("RGB", (columns * (TILE + 2), rows * (TILE + 2)), BACKGROUND)
    for number, tile in enumerate(tiles):
        sheet.paste(
            tile, ((number % COLUMNS) * (TILE + 2) + 1, (number // COLUMNS) * (TILE + 2) + 1)
        )
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=75, optimize=True)
    return buffer.getvalue()

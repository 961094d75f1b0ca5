"""Contact sheets: small images of a class in rows."""

import io
from collections.abc import Iterable

from PIL import Image

from training.images.images import ImageRejected, decode

TILE = 64
COLUMNS = 6
MOST = 24
BACKGROUND = (255, 255, 255)


def contact_sheet(
    images: Iterable[tuple[str, bytes | None]], *, max_pixels: int
) -> tuple[bytes | None, dict[str, str]]:
    """Draw up to 24 images in rows of 6, each fitted into 64 × 64 px, as one JPEG (about 25 kB).

    Args:
        images: names and file contents; ``None`` where there is no file.
        max_pixels: images with more are left out.

    Returns:
        The sheet (``None`` if no image can be shown), and the reasons of missing images by name.
    """
    tiles: list[Image.Image] = []
    missing: dict[str, str] = {}
    for name, data in images:
        try:
            if data is None:
                raise ImageRejected("it is not in the store")
            tiles.append(_tile(decode(data, max_pixels=max_pixels, fit=TILE)))
        except ImageRejected as error:
            missing[name] = error.reason
        if len(tiles) == MOST:
            break
    return (_laid_out(tiles) if tiles else None), missing


def _tile(picture: Image.Image) -> Image.Image:
    """Fit an image into the middle of a square; each side gets at least one pixel."""
    scale = TILE / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    tile = Image.new("RGB", (TILE, TILE), BACKGROUND)
    small = picture.resize((width, height), Image.Resampling.BICUBIC)
    tile.paste(small, (round((TILE - width) / 2), round((TILE - height) / 2)))
    return tile


def _laid_out(tiles: list[Image.Image]) -> bytes:
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

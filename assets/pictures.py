"""Pictures in Dagster's metadata: inline up to a size limit, with the key of the full file."""

import base64
import io
from collections.abc import Callable

import dagster as dg

from assets import markdown

INLINE_LIMIT = 48_000
"""Bytes of an inline picture; base64 makes 64 kB of it. Dagster's pages get slow beyond that."""


def picture(data: bytes, *, alt: str, link: str) -> dg.MetadataValue:
    """Return a picture as Markdown metadata that shows it.

    Args:
        data: a PNG or JPEG file; scaled down to a JPEG if it is over ``INLINE_LIMIT`` bytes.
        alt: alternative text.
        link: key or path of the full picture, shown below it.
    """
    shown = data if len(data) <= INLINE_LIMIT else _shrunk(data)
    kind = "png" if shown.startswith(b"\x89PNG") else "jpeg"
    encoded = base64.b64encode(shown).decode()
    inline = f"![{markdown.prose(alt)}](data:image/{kind};base64,{encoded})"
    return dg.MetadataValue.md(f"{inline}\n\n{markdown.code(link)}")


def optional_picture(
    name: str, draw: Callable[[], dg.MetadataValue | None]
) -> dict[str, dg.MetadataValue]:
    """Return an optional picture as metadata ``name``.

    Args:
        name: metadata name.
        draw: makes the picture; an exception is logged as a warning and shown in its place.

    Returns:
        One entry, or none if ``draw`` returns ``None``.
    """
    try:
        shown = draw()
    except Exception as error:  # noqa: BLE001 - the picture is optional
        why = f"{name} cannot be shown; all else is complete: {type(error).__name__}: {error}"
        dg.get_dagster_logger().warning(why)
        return {name: dg.MetadataValue.text(why)}
    return {} if shown is None else {name: shown}


def _shrunk(data: bytes) -> bytes:
    from PIL import Image

    image = Image.open(io.BytesIO(data)).convert("RGB")
    for side in (1000, 800, 640, 480, 320, 200):
        small = image.copy()
        small.thumbnail((side, side))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=70, optimize=True)
        if buffer.tell() <= INLINE_LIMIT:
            break
    return buffer.getvalue()

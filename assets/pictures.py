"""Pictures in Dagster's metadata: small ones inline, big ones as a link to the artefact."""

import base64
import io

import dagster as dg

INLINE_LIMIT = 48_000
"""Bytes of an inline picture: base64 makes 64 kB of it, beyond which Dagster's pages grow slow."""


def picture(data: bytes, *, alt: str, link: str) -> dg.MetadataValue:
    """``data`` (a PNG or JPEG file) as Markdown metadata that shows it.

    A picture over ``INLINE_LIMIT`` is scaled down to fit; ``link`` names the full one.
    """
    shown = data if len(data) <= INLINE_LIMIT else _shrunk(data)
    kind = "png" if shown.startswith(b"\x89PNG") else "jpeg"
    encoded = base64.b64encode(shown).decode()
    return dg.MetadataValue.md(f"![{alt}](data:image/{kind};base64,{encoded})\n\n`{link}`")


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

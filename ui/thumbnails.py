"""Previews of uploaded files, made by the decoder of ingestion.

It is the only code of the pipeline that the predictor imports: another decoder would open what
ingestion refuses, such as formats whose readers start other programs.
"""

import base64
import io
import logging

from training.images.decode_cost import decode_cost
from training.images.images import ImageRejected, decode

THUMBNAIL_PX = 320
_COSTLY = 100_000_000
"""Estimated bytes to decode above which a preview is made after the others."""

log = logging.getLogger("ui")


def is_costly(data: bytes) -> bool:
    """Whether a preview of the file takes long: a small file can have many pixels."""
    return decode_cost(data, fit=THUMBNAIL_PX // 2).work > _COSTLY


def thumbnail(data: bytes) -> str | None:
    """Return a small JPEG of an image file as a data URL; ``None`` if it cannot be read."""
    try:
        small = decode(data, fit=THUMBNAIL_PX // 2)
        small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        out = io.BytesIO()
        small.save(out, "JPEG", quality=82)
    except ImageRejected:
        return None  # the endpoint reports why it cannot be read
    except Exception:  # one file must not break the page
        log.exception("a file of %d bytes has no preview", len(data))
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode('ascii')}"

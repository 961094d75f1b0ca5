"""Checks whether a JPEG has all its pixels, by its data, since the end marker proves nothing.

A truncated copy lacks the marker, but so do complete images of some cameras; and a tool that
"repairs" a truncated file adds a marker. Pillow checks the marker only and does not report missing
data; libjpeg-turbo warns of them, and simplejpeg passes the warning on.
"""

import re
from dataclasses import dataclass

END_OF_IMAGE = b"\xff\xd9"
_EARLY_END = ("premature end of data segment", "Premature end of JPEG")
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_DAMAGED = ("bad Huffman code", "instead of RST")
_MOST_PADDING = 0.05
"""Largest share of unused bytes before a file's end marker, unless they are zeros."""

_MARKER = re.compile(rb"\xff([\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf\xda\xd9])")
_SOS, _END = 0xDA, 0xD9
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of a JPEG's scans.

    Attributes:
        buffered: whether a decoder has to keep all coefficients (several scans).
        missing: text about missing scans of a progressive image; "" if none is missing.
    """

    buffered: bool
    missing: str


class JpegIncomplete(ValueError):
    """Pixels of a JPEG are missing; the message says how that was detected."""


def completed(data: bytes) -> bytes:
    """Check that a JPEG has all its pixels; returns its bytes, with an end marker if it lacked one.

    Data that libjpeg-turbo cannot read at all are returned unchanged: the decoder reports the error.

    Raises:
        JpegIncomplete: a part of the image is missing or damaged.
    """
    warning = _warning(data)
    if _says_early_end(warning) and "JPEG file" in warning:
        data = data.removesuffix(b"\xff") + END_OF_IMAGE
        warning = _warning(data)
    if _says_early_end(warning):
        raise JpegIncomplete("the data end before the end of the picture")
    if any(phrase in warning for phrase in _DAMAGED):
        raise JpegIncomplete(warning)
    if unused := _EXTRANEOUS.search(warning):
        _require_padding(data, int(unused[1]))
    if missing := layout(data).missing:
        raise JpegIncomplete(missing)
    return data


def layout(data: bytes) -> Layout:
    """Read the headers of a JPEG's scans."""
    components: list[int] = []
    progressive = False
    first_scan: int | None = None
    exact: dict[int, set[int]] = {}
    position = 2
    while found := _MARKER.search(data, position):
        marker, start = found[1][0], found.end()
        if marker == _END and first_scan is not None:
            break
        position = start
        body = data[start + 2 : start + int.from_bytes(data[start : start + 2], "big")]
        try:
            if marker == _SOS:
                names, first, last, low = _scan(body)
                first_scan = first_scan or len(names)
                for name in names if low == 0 else ():
                    exact.setdefault(name, set()).update(range(first, last + 1))
            elif marker != _END and not components:
                progressive = marker in _PROGRESSIVE
                components = [body[6 + 3 * i] for i in range(body[5])]
        except (IndexError, ValueError):
            continue  # bytes that look like a marker, inside a thumbnail or a comment
        position = start + 2 + len(body)
    short = [c for c in components if len(exact.get(c, ())) < 64]
    return Layout(
        buffered=progressive or (first_scan or 0) < len(components),
        missing="the last scans of the progressive picture are missing"
        if progressive and short
        else "",
    )


def _scan(body: bytes) -> tuple[list[int], int, int, int]:
    """Return a scan's components, first and last coefficient, and lowest bit."""
    count = body[0]
    names = [body[1 + 2 * index] for index in range(count)]
    first, last, bits = body[1 + 2 * count : 4 + 2 * count]
    return names, first, min(last, 63), bits & 15


def _require_padding(data: bytes, unused: int) -> None:
    """Check that unused bytes before the end marker are padding, not an overwritten rest.

    Args:
        data: the file's bytes.
        unused: number of unused bytes, from libjpeg-turbo's warning.

    Raises:
        JpegIncomplete: the image is incomplete without the zeros, or too many bytes are unused.
    """
    # A power cut leaves zeros, which a decoder takes for data: without them the image has to be
    # complete, too.
    end = data.rfind(END_OF_IMAGE)
    body = data[: end if end >= 0 else len(data)]
    kept = body.rstrip(b"\0")
    if len(body) - len(kept) >= unused:
        if _says_early_end(_warning(kept + END_OF_IMAGE)):
            raise JpegIncomplete(f"the last {len(body) - len(kept)} bytes are zeros")
    elif unused > _MOST_PADDING * len(data):
        raise JpegIncomplete(f"{unused} bytes of its data belong to no pixel")


def _says_early_end(warning: str) -> bool:
    return any(phrase in warning for phrase in _EARLY_END)


def _warning(data: bytes) -> str:
    """Decode at an eighth of the size; returns libjpeg-turbo's first warning, "" if there is none."""
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(
            data,
            colorspace="GRAY",
            fastdct=True,
            fastupsample=True,
            min_height=1,
            min_width=1,
            min_factor=8,
            strict=True,
        )
    except (ValueError, RuntimeError) as error:
        return str(error)
    return ""

"""Whether a JPEG holds all its pixels, judged by its data: the end marker proves nothing.

A copy that was cut off lacks the marker, and so does a whole picture of a camera that wrote none;
a tool that "repaired" a cut file put one behind half a picture. Pillow refuses by the marker alone
and is silent about missing data; libjpeg-turbo warns of it, which simplejpeg tells.
"""

import re
from dataclasses import dataclass

END_OF_IMAGE = b"\xff\xd9"
_EARLY_END = ("premature end of data segment", "Premature end of JPEG")
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_DAMAGED = ("bad Huffman code", "instead of RST")
_MOST_PADDING = 0.05
"""Share of a file that may lie unused before its end marker, if it is not all zeros."""

_MARKER = re.compile(rb"\xff([\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf\xda\xd9])")
_SOS, _END = 0xDA, 0xD9
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}


@dataclass(frozen=True, slots=True)
class Layout:
    """How a JPEG lies in its file.

    ``buffered`` if a decoder has to hold all coefficients (several scans); ``missing`` names
    what the scans of a progressive picture do not bring, "" if nothing.
    """

    buffered: bool
    missing: str


class JpegIncomplete(ValueError):  # noqa: N818 - a state of a file
    """Pixels are missing; the message says how that is known."""


def completed(data: bytes) -> bytes:
    """``data`` with an end marker, if all its pixels are there.

    What libjpeg-turbo cannot read at all is given back as it is: the decoder will say why.

    Raises:
        JpegIncomplete: a part of the picture is missing or damaged.
    """
    warning = _warning(data)
    if _says_early_end(warning) and "JPEG file" in warning:
        data = data.removesuffix(b"\xff") + END_OF_IMAGE
        warning = _warning(data)
    if _says_early_end(warning):
        raise JpegIncomplete("the data end before the picture does")
    if any(said in warning for said in _DAMAGED):
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
            continue  # bytes that look like a marker, within a thumbnail or a note
        position = start + 2 + len(body)
    short = [c for c in components if len(exact.get(c, ())) < 64]
    return Layout(
        buffered=progressive or (first_scan or 0) < len(components),
        missing="the last scans of the progressive picture are missing"
        if progressive and short
        else "",
    )


def _scan(body: bytes) -> tuple[list[int], int, int, int]:
    """Components, first and last coefficient, and the lowest bit that a scan brings."""
    count = body[0]
    names = [body[1 + 2 * index] for index in range(count)]
    first, last, bits = body[1 + 2 * count : 4 + 2 * count]
    return names, first, min(last, 63), bits & 15


def _require_padding(data: bytes, unused: int) -> None:
    """Tell padding before the end marker from a picture whose rest was overwritten.

    A power cut leaves zeros, which a decoder takes for data: without them the picture has to be
    as whole as with them.
    """
    end = data.rfind(END_OF_IMAGE)
    body = data[: end if end >= 0 else len(data)]
    kept = body.rstrip(b"\0")
    if len(body) - len(kept) >= unused:
        if _says_early_end(_warning(kept + END_OF_IMAGE)):
            raise JpegIncomplete(f"the last {len(body) - len(kept)} bytes are zeros")
    elif unused > _MOST_PADDING * len(data):
        raise JpegIncomplete(f"{unused} bytes of its data belong to no pixel")


def _says_early_end(warning: str) -> bool:
    return any(said in warning for said in _EARLY_END)


def _warning(data: bytes) -> str:
    """The first warning of libjpeg-turbo, decoding at an eighth of the size; "" if there is none."""
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

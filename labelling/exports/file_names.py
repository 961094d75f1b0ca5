"""Unique file names that every file system accepts; the original ones where possible."""

import re
import unicodedata
from collections.abc import Collection, Iterable
from itertools import chain

from labelling.sources.containers.litter import litter_of_source

MAX_BYTES = 240
"""Of a name in UTF-8. The usual limit is 255; a tag that makes a name unique needs up to 13."""

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_ENDS = re.compile(r"[. ]+$|^ +|^\.+")
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
"""Characters that Windows forbids in a name, and names that are devices there with any suffix
(https://learn.microsoft.com/windows/win32/fileio/naming-a-file)."""

_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".jpe", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "AVIF": (".avif", ".avifs"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "DIB": (".bmp", ".dib"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
}
"""Suffixes of the formats that ingest accepts, by Pillow's name; the usual one first."""

IMAGE_SUFFIXES = frozenset(suffix for suffixes in _SUFFIXES.values() for suffix in suffixes)


def safe_name(text: str) -> str:
    """``text`` as the name of a file or folder, unchanged where possible.

    Characters that Windows forbids become ``_``, as does a dot at the beginning, which would hide
    the file, and dots and spaces at the end, which Windows drops. A name that readers skip as
    litter gets a ``_``, too.
    """
    name = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", text))
    name = _ENDS.sub(lambda found: "_" * len(found[0]), name)
    if not name or _DEVICES.fullmatch(name) or litter_of_source(name):
        name = f"_{name}"
    if litter_of_source(name):  # by its suffix
        name = f"{name}_"
    return shortened(name, MAX_BYTES)


def shortened(name: str, limit: int) -> str:
    """Cut the stem of ``name`` so that it has at most ``limit`` bytes of UTF-8; the suffix
    stays."""
    stem, suffix = stem_and_suffix(name)
    room = limit - len(suffix.encode())
    if len(stem.encode()) > room:
        stem = stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ")
    return stem + suffix


def stem_and_suffix(name: str) -> tuple[str, str]:
    """Split ``name`` into stem and suffix; a suffix of more than 12 bytes, dot included, is
    none."""
    stem, dot, suffix = name.rpartition(".")
    if not stem or not suffix or len(suffix.encode()) > 11:
        return name, ""
    return stem, dot + suffix


def suffix_for(name: str, image_format: str, read: Collection[str]) -> str:
    """The suffix to add to ``name`` so that a reader recognises an image, or "".

    Args:
        name: of the file.
        image_format: Pillow's name of its format, or "".
        read: the suffixes that the reader looks at, in lower case.
    """
    if stem_and_suffix(name)[1].lower() in read:
        return ""
    return next((suffix for suffix in _SUFFIXES.get(image_format, ()) if suffix in read), "")


class UniqueNames:
    """Names that are unique within their folders, ignoring case and Unicode normalisation as most
    disks of Windows and macOS do."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, folder: str, name: str, tags: Iterable[str], *, is_file: bool = True) -> str:
        """``name``, or its first variant with a tag that is free in ``folder``.

        Args:
            folder: path of the folder, "" for the top.
            name: a safe name.
            tags: suffixes for the name, in the order of preference.
            is_file: whether the file suffix stays at the end.

        Raises:
            ValueError: every tag is taken.
        """
        stem, suffix = stem_and_suffix(name) if is_file else (name, "")
        for tag in chain(("",), (f"-{tag}" for tag in tags)):
            tagged = shortened(stem, MAX_BYTES - len(tag + suffix)) + tag + suffix if tag else name
            key = _folded(f"{folder}/{tagged}")
            if key not in self._taken:
                self._taken.add(key)
                return tagged
        raise ValueError(f"no name is left for {name} in {folder}")


def _folded(path: str) -> str:
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())

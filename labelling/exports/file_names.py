"""Names that every file system takes: original ones where that is possible, and each of its own."""

import re
import unicodedata
from collections.abc import Collection, Iterable
from itertools import chain

from labelling.sources.containers.litter import litter_of_source

MAX_BYTES = 240
"""Of a name in UTF-8. 255 is the usual limit; ours are told apart by up to 13 bytes more."""

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_ENDS = re.compile(r"[. ]+$|^ +|^\.+")
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
"""What Windows forbids in a name, and names that are devices there, whatever their suffix
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
"""Suffixes of what ingest takes, by Pillow's name of the format; the first is the usual one."""

IMAGE_SUFFIXES = frozenset(suffix for suffixes in _SUFFIXES.values() for suffix in suffixes)


def safe_name(text: str) -> str:
    """``text`` as the name of one file or folder, the same wherever that is possible.

    What Windows forbids becomes ``_``, as does a dot at the beginning, which would hide it, and
    dots and spaces at the end, which Windows drops. What readers pass over as litter gets one, too.
    """
    name = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", text))
    name = _ENDS.sub(lambda found: "_" * len(found[0]), name)
    if not name or _DEVICES.fullmatch(name) or litter_of_source(name):
        name = f"_{name}"
    if litter_of_source(name):  # by its suffix
        name = f"{name}_"
    return shortened(name, MAX_BYTES)


def shortened(name: str, limit: int) -> str:
    """``name`` in at most ``limit`` bytes of UTF-8: its stem is cut, its suffix stays."""
    stem, suffix = stem_and_suffix(name)
    room = limit - len(suffix.encode())
    if len(stem.encode()) > room:
        stem = stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ")
    return stem + suffix


def stem_and_suffix(name: str) -> tuple[str, str]:
    """``name`` in two; a suffix of more than 12 bytes is none."""
    stem, dot, suffix = name.rpartition(".")
    if not stem or not suffix or len(suffix.encode()) > 11:
        return name, ""
    return stem, dot + suffix


def suffix_for(name: str, image_format: str, read: Collection[str]) -> str:
    """The suffix that must be added to ``name`` for a reader to see that it is an image, or "".

    Args:
        name: of the file.
        image_format: Pillow's name of what its bytes are, or "".
        read: the suffixes that the reader looks at, in lower case.
    """
    if stem_and_suffix(name)[1].lower() in read:
        return ""
    return next((suffix for suffix in _SUFFIXES.get(image_format, ()) if suffix in read), "")


class UniqueNames:
    """Gives names within folders, none of which is another one in other case or normalisation:
    most disks of Windows and macOS take those for the same."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, folder: str, name: str, tags: Iterable[str], *, is_file: bool = True) -> str:
        """``name``, or the first of its variants with a tag that is still free in ``folder``.

        Args:
            folder: path of the folder, "" for the top.
            name: a safe name.
            tags: what tells it apart, in the order of preference.
            is_file: whether its suffix stays at the end.

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

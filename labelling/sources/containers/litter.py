"""Files in a source or store that are not data: of operating systems, NAS devices and programs.

They are recognised by name alone, so that folders, archives and buckets are read alike. A file that
merely is not an image (a PDF, a list) is not litter.
"""

import re

from object_store.system_files import is_left_by_system, is_photo_library

HIDDEN = "hidden: its name begins with a dot; a hidden folder is read if it is given itself"
SYSTEM = "a leftover of an operating system, a NAS or a program, not data"
SIDECAR = "a file that a photo program or Google Takeout writes beside an image; it is not read"
SHORTCUT = "a shortcut, which holds no image; put the file itself there"
UNFINISHED = "an unfinished download; finish it, or delete it"
EMPTY = "folders without data; one that is meant as a class has no images yet"
LIBRARY = "the library of a photo program, full of previews; export the photos and ingest those"
PACKED = "an archive inside the source, which is not opened; unpack it, or ingest it separately"

_SUFFIXES = {
    **dict.fromkeys(("xmp", "aae", "thm", "pp3", "dop", "vrd", "cos", "nksc"), SIDECAR),
    **dict.fromkeys(("lnk", "url", "webloc", "desktop"), SHORTCUT),
    **dict.fromkeys(("crdownload", "part", "partial", "filepart", "opdownload"), UNFINISHED),
    **dict.fromkeys(("download", "tmp", "gstmp", "aria2", "!ut", "!qb", "bc!"), UNFINISHED),
}
_COPYING = re.compile(
    r"^(\..+\.[a-z]{3,4}\.[a-z0-9]{6}|[.~]syncthing[~.].+|\.goutputstream-.+"
    r"|.+\.(jpe?g|png|gif|bmp|webp|tiff?|hei[cf]|avif|jp2|dng|csv|tsv|jsonl?|txt|parquet|zip|tar|gz"
    r"|tgz|mp4)\.[0-9a-f]{8}"
    r"|.+\._copying_)$"
)
"""Names of incomplete files of rsync, Syncthing, GNOME, ``aws s3`` and Hadoop."""

_TAKEOUT = re.compile(r"^(?P<image>.+\.\w{3,4})(\.s[a-z-]*)?(?P<copy>\(\d+\))?\.json$")
_ARCHIVE = re.compile(
    r"\.(zip|7z|rar|tar|tgz|tbz2?|txz|tzst|tlz|tar\.[a-z0-9]{1,4}|z\d\d|(zip|7z|rar)\.\d{2,3}|r\d\d)$"
)


def litter(segment: str, *, folder: bool = False) -> str | None:
    """Why a file or folder of this name is skipped; ``None`` if it is not."""
    lower = segment.lower()
    if is_left_by_system(segment):
        return SYSTEM
    if folder:
        return LIBRARY if is_photo_library(segment) else None
    if _COPYING.match(lower):
        return UNFINISHED
    stem, _, suffix = lower.rpartition(".")
    return _SUFFIXES.get(suffix) if stem else None


def litter_of_key(key: str, folders: dict[str, str | None]) -> str | None:
    """Why the object of this key is skipped; ``None`` if it is not.

    Args:
        key: segments joined by slashes.
        folders: a cache of results for folders, kept by the caller.
    """
    folder, _, file = key.rpartition("/")
    return (_litter_above(folder, folders) if folder else None) or litter(file)


def _litter_above(folder: str, folders: dict[str, str | None]) -> str | None:
    if folder not in folders:
        upper, _, name = folder.rpartition("/")
        above = _litter_above(upper, folders) if upper else None
        folders[folder] = above or litter(name, folder=True)
    return folders[folder]


def key_of_data(key: str) -> str:
    """The key for data in a folder whose name is that of litter.

    ``lost+found`` may be ingested on purpose, by its own path. Its images get keys with
    ``_lost+found``, so that they are not skipped in the store.
    """
    *folders, file = key.split("/")
    return "/".join([*map(_segment_of_data, folders), file])


def _segment_of_data(name: str) -> str:
    if not litter(name, folder=True):
        return name
    return f"_{name}_" if litter(f"_{name}", folder=True) else f"_{name}"


def litter_of_source(segment: str, *, folder: bool = False) -> str | None:
    """Like :func:`litter`, and hidden files and folders are skipped, too."""
    return litter(segment, folder=folder) or (HIDDEN if segment.startswith(".") else None)


def image_of_sidecar(file: str) -> tuple[str, ...]:
    """The image names that ``file`` may be the metadata of, written by Google Takeout.

    ``a.jpg.json`` and ``a.jpg.supplemental-metadata.json``, truncated anywhere, belong to
    ``a.jpg``; ``a.jpg(1).json`` belongs to ``a(1).jpg``. Other programs use such names for lists,
    so it is metadata only if the image is beside it.
    """
    found = _TAKEOUT.match(file) if file.endswith(".json") else None
    if found is None:
        return ()
    image, copy = found["image"], found["copy"] or ""
    stem, _, suffix = image.rpartition(".")
    return (f"{stem}{copy}.{suffix}",)


def is_archive(name: str) -> bool:
    """Whether the name is that of an archive, which is not opened inside a source."""
    return bool(_ARCHIVE.search(name.lower()))

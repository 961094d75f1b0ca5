"""Open a path as a container: a folder, an archive or a single file.

Archives are read without extracting them to disk; unsupported ones are refused by name.
"""

import os
import re
import stat
import zipfile
from pathlib import Path

from labelling.sources.containers.containers import (
    FileContainer,
    OptionError,
    SourceError,
    unreadable,
)
from labelling.sources.containers.folders import Folder
from labelling.sources.containers.litter import is_archive
from labelling.sources.containers.name_encodings import known_encoding
from labelling.sources.containers.tars import Tar
from labelling.sources.containers.zips import Zip

_TAR = re.compile(r"\.(tar(\.(gz|bz2|xz))?|tgz|tbz2?|txz)$")
_PART = re.compile(r"\.(z\d\d|r\d\d|(zip|7z|rar|tar|tgz|gz)\.\d{2,3}|part\d+\.rar)$")
_REFUSED = {
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "`7z x`"),
    b"Rar!\x1a\x07": ("a RAR archive", "`unar` or `7z x`"),
    b"\x28\xb5\x2f\xfd": ("compressed with Zstandard", "`tar --zstd -xf`, or `unzstd`"),
    b"\x04\x22\x4d\x18": ("compressed with LZ4", "`lz4 -d`"),
    b"LZIP": ("compressed with lzip", "`tar --lzip -xf`"),
    b"\x1f\x9d": ("compressed with compress", "`tar -xZf`"),
    b"MSCF": ("a cabinet", "`7z x`"),
    b"xar!": ("a xar archive", "`7z x`"),
}
_MAGIC_BYTES = 8


def open_container(path: Path, *, encoding: str | None = None) -> FileContainer:
    """Open the container at ``path``, chosen by the name's suffix (a single file is a container of
    one file).

    Args:
        path: a folder or file.
        encoding: of the names in an archive that do not declare theirs.

    Raises:
        OptionError: ``encoding`` is unknown.
        SourceError: there is nothing at ``path``, or it cannot be read.
    """
    codec = known_encoding(encoding) if encoding else None
    if encoding and codec is None:
        raise OptionError(
            f"--encoding {encoding}: no encoding of this name is known; gbk, cp932, big5, cp949, cp866, cp1251 and "
            "cp1252 are some that are"
        )
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist") from None
    except OSError as error:
        raise SourceError(f"{path} {unreadable(error)}") from error
    name = path.name.lower()
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise SourceError(
            f"the name of {shown} is not UTF-8, and its images would be stored under it; rename it"
        ) from None
    if stat.S_ISDIR(mode):
        return Folder(path)
    if not stat.S_ISREG(mode):  # opening a pipe would block
        return Folder(path.parent, only=[path.name])
    _refuse(path, name)
    if name.endswith(".zip"):
        return Zip(path, codec)
    if _TAR.search(name):
        return Tar(path, codec)
    if not path.suffix and zipfile.is_zipfile(path):
        return Zip(path, codec)
    return Folder(path.parent, only=[path.name])


def _refuse(path: Path, name: str) -> None:
    """Refuse archives of unsupported formats, with the remedy.

    Raises:
        SourceError: it is one.
    """
    if _PART.search(name):
        raise SourceError(
            f"{path} is one part of an archive in several files; unpack the whole with `7z x` (the "
            "part that comes first by name) and ingest the folder"
        )
    try:
        with path.open("rb") as file:
            magic = file.read(_MAGIC_BYTES)
    except OSError:
        return  # the reader reports the error
    for begin, (what, program) in _REFUSED.items():
        if magic.startswith(begin):
            raise SourceError(
                f"{path} is {what}, which is not read; unpack it ({program}) and ingest the folder"
            )
    if is_archive(name) and not (name.endswith(".zip") or _TAR.search(name)):
        raise SourceError(
            f"{path} is an archive of a kind that is not read; unpack it and ingest the folder"
        )

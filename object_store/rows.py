"""The objects of a store, one by one: the same rules for a folder and a bucket.

A folder is listed with ``os.scandir``, not with obstore's ``LocalStore``, for two measured reasons:
100,000 files take 0.3 s instead of 1.5 s, and a file whose name is not UTF-8 or contains a tab makes
``LocalStore.list`` raise, so that one such file would hide all others. Here such names are left out,
and :func:`local_rows` reports them.
"""

import errno
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from object_store.system_files import is_left_by_system, is_photo_library

MARKER = ".imgclf-store.json"
"""Key of the marker that distinguishes a store from an unmounted or mistyped folder."""

UNFINISHED = re.compile(r"#\d+$")
"""Names of files that are being written, as ``LocalStore`` makes them; they are never listed."""

MAX_KEY_BYTES = 1024
"""S3's limit for a key: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""

MAX_SEGMENT_BYTES = 240
"""Most bytes of a file name: file systems usually allow 255, and temporary names need a few."""

_GONE = {errno.ENOENT, errno.ELOOP}
"""Error numbers of files deleted meanwhile, and of links to nothing or to themselves."""

NOWHERE = "a broken link; put the file itself there"
ITSELF = "a link to itself"
NOT_REGULAR = "not a regular file (a pipe, socket or device)"

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Flaws = list[tuple[str, str]]
"""Names that cannot be keys, and the reasons."""

Row = tuple[str, int, str, int]
"""Key, size in bytes, etag, last modification in microseconds since the epoch (UTC)."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object of a listing. ``size`` in bytes; ``last_modified`` in UTC."""

    key: str
    size: int
    etag: str
    last_modified: datetime

    @classmethod
    def from_row(cls, row: Row) -> "ObjectInfo":
        """Build from a row."""
        key, size, etag, modified = row
        return cls(key, size, etag, datetime.fromtimestamp(modified / 1e6, UTC))


def local_row(key: str, status: os.stat_result) -> Row:
    """Build the row of one file; its etag is that of ``LocalStore``: inode, mtime and size in hex."""
    modified = status.st_mtime_ns // 1000
    etag = f'"{status.st_ino:x}-{modified:x}-{status.st_size:x}"'
    return key, status.st_size, etag, modified


_LOCAL_ETAG = re.compile(r'"[0-9a-f]+-([0-9a-f]+)-([0-9a-f]+)"')


def written_at(etag: str) -> str:
    """Return size and time of a file's etag without its inode; "" if they do not identify a write.

    A copy of a folder (``cp -a``, ``rsync -a``, a restored backup) keeps both, but not the inode.
    Times of whole seconds do not identify a write: archives keep no finer ones.
    """
    found = _LOCAL_ETAG.fullmatch(etag)
    return f"{found[1]}-{found[2]}" if found and int(found[1], 16) % 1_000_000 else ""


def local_rows(
    root: Path, prefix: str, start_after: str | None, flaws: Flaws | None = None
) -> Iterator[Row]:
    """Yield a row for each finished file under ``root/prefix``, in no order.

    Links are followed, and each folder is visited once. Only regular files are listed (a pipe would
    block its reader). A file that is deleted meanwhile is left out.

    Args:
        root: the store's folder.
        prefix: whole path segments, "" for everything.
        start_after: only keys greater than this one; others cost no ``stat``.
        flaws: entries that are left out because of their name or type are appended to it, and
            folders that cannot be read, with a slash at the end of their names.

    Raises:
        OSError: the folder ``root/prefix`` cannot be read; or a folder in it, without ``flaws``.
    """
    for key, entry in _files(root, prefix, flaws):
        if flaw := _flaw(key):
            _tell(flaws, key, flaw)
            continue
        if start_after is not None and key <= start_after:
            continue
        try:
            status = entry.stat()
        except OSError as error:
            if error.errno not in _GONE:
                raise
            if entry.is_symlink():
                _tell(flaws, key, ITSELF if error.errno == errno.ELOOP else NOWHERE)
            continue
        if stat.S_ISREG(status.st_mode):
            yield local_row(key, status)
        else:
            _tell(flaws, key, NOT_REGULAR)


def _tell(flaws: Flaws | None, key: str, flaw: str) -> None:
    if flaws is not None:
        flaws.append((_printable(key), flaw))


def _printable(key: str) -> str:
    return key.encode("utf-8", "backslashreplace").decode("utf-8")


def sound(rows: Iterator[Row], flaws: Flaws | None = None) -> Iterator[Row]:
    """Yield a bucket's rows whose keys obstore can read; the others are appended to ``flaws``.

    Folder markers of the console (``a/``, empty) are left out, but are no flaws.
    """
    for row in rows:
        key, size = row[:2]
        plain = "//" not in key and "/." not in key and key[:1] not in "./" and key[-1:] != "/"
        flaw = None if plain and key.isprintable() else remote_flaw(key)  # the fast path
        if flaw is None:
            yield row
        elif flaws is not None and not (key.endswith("/") and not size):
            flaws.append((key.encode("unicode_escape").decode(), flaw))


def remote_flaw(key: str) -> str | None:
    """Return why an object of this key in a bucket cannot be read, or ``None``."""
    segments = key.split("/")
    if not all(segments):
        return "an empty segment in its key (a leading, trailing or double slash): rename it"
    if any(segment in (".", "..") for segment in segments):
        return ". or .. as a segment of its key: rename it"
    return "control characters in its key: rename it" if _CONTROL.search(key) else None


def key_flaw(key: str) -> str | None:
    """Return why a string cannot be a key in both a folder and a bucket, or ``None``."""
    segments = key.split("/")
    if not key or not all(segments):
        return "empty, or with an empty segment (a leading, trailing or double slash)"
    if any(segment in (".", "..") for segment in segments):
        return "it contains . or .. as a segment"
    if len(key.encode("utf-8", "surrogateescape")) > MAX_KEY_BYTES:
        return f"longer than {MAX_KEY_BYTES} bytes"
    if any(
        len(segment.encode("utf-8", "surrogateescape")) > MAX_SEGMENT_BYTES for segment in segments
    ):
        return f"the name of a file or folder in it is longer than {MAX_SEGMENT_BYTES} bytes"
    return _flaw(key)


def sweep_unfinished(root: Path, older_than_s: float, *, people: str) -> int:
    """Delete unfinished files (:data:`UNFINISHED`) of interrupted writes.

    Args:
        root: the store's folder.
        older_than_s: minimum age in seconds.
        people: folder under ``root`` where people put files: there, only those are deleted whose
            bytes are the beginning of the finished file.

    Returns:
        How many were deleted.
    """
    removed = 0
    deadline = time.time() - older_than_s
    for key, entry in _files(root, "", []):  # folders that cannot be read are reported elsewhere
        if not UNFINISHED.search(key):
            continue
        path = Path(entry.path)
        try:
            if entry.stat().st_mtime < deadline and not (
                key.startswith(f"{people}/") and not _begins(path, UNFINISHED.sub("", entry.path))
            ):
                path.unlink()
                removed += 1
        except FileNotFoundError:  # its writer has just finished
            continue
    return removed


def _begins(part: Path, whole: str) -> bool:
    """Whether a file's bytes are the beginning of another file, which exists."""
    try:
        with part.open("rb") as begun, Path(whole).open("rb") as finished:
            while piece := begun.read(1 << 20):
                if finished.read(len(piece)) != piece:
                    return False
    except FileNotFoundError:
        return False
    return True


def _flaw(name: str) -> str | None:
    """Return why a file of this name cannot be an object, or ``None``."""
    if "#" in name and UNFINISHED.search(name):
        return (
            "a name that ends in # and a number is that of an unfinished write (a killed ingest's)"
        )
    if name.isprintable():  # the fast path; there are good names that are not
        return None
    if _CONTROL.search(name):
        return "the name contains control characters: rename the file"
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:  # surrogates are os.fsdecode's mark of undecodable bytes
        return "the name is not UTF-8: rename the file"
    return None


def _files(
    root: Path, prefix: str, flaws: Flaws | None = None
) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Yield key and entry of everything but folders under ``root/prefix``; enters folders once."""
    start = root / prefix
    pending = [(str(start), f"{prefix.rstrip('/')}/" if prefix.strip("/") else "")]
    seen: set[tuple[int, int]] = set()
    while pending:
        folder, key_prefix = pending.pop()
        try:
            status = os.stat(folder)
            with os.scandir(folder) as entries:
                if (status.st_dev, status.st_ino) in seen:  # a link to a folder already visited
                    continue
                seen.add((status.st_dev, status.st_ino))
                for entry in entries:
                    if _is_folder(entry):
                        pending.append((entry.path, f"{key_prefix}{entry.name}/"))
                    else:
                        yield key_prefix + entry.name, entry
        except (FileNotFoundError, NotADirectoryError):  # nothing there, or deleted meanwhile
            continue
        except PermissionError as error:
            if folder == str(start):
                raise
            name = os.path.basename(folder)
            if is_left_by_system(name) or is_photo_library(name):
                continue  # lost+found: where raw/ is a disk of its own, it is root's
            if flaws is None:
                raise
            flaws.append(
                (_printable(key_prefix), f"cannot be read ({error.strerror}): give the right to")
            )


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False

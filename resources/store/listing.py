"""Listing a store: the same columns, order and rules from a folder and from a bucket.

A folder is listed with ``os.scandir`` and not with obstore's ``LocalStore``, for two reasons that
were measured and tried: 100,000 files take 0.3 s and not 1.5 s, and one file whose name is not
UTF-8 or contains a tab makes ``LocalStore.list`` raise, so that a single odd photograph would hide
all the others. Such names are left out here and are told by :func:`local_rows`.
"""

import errno
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pyarrow as pa

from labelling.sources.containers.litter import litter
from labelling.sources.containers.walk import ITSELF, NOT_REGULAR

LISTING_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("size", pa.int64()),
        ("etag", pa.string()),
        ("last_modified", pa.timestamp("us", tz="UTC")),
    ]
)
"""Columns of a listing: size in bytes, etag as the store gives it (quoted), time in UTC."""

UNFINISHED = re.compile(r"#\d+$")
"""Names that ``LocalStore`` gives to a file while it is being written; it never lists them."""

MAX_KEY_BYTES = 1024
"""S3's limit of a key: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""

MAX_SEGMENT_BYTES = 240
"""255 is a file system's usual limit, of which LocalStore needs a few for its temporary name."""

_BATCH_ROWS = 5000
_GONE = {errno.ENOENT, errno.ELOOP}
"""Deleted meanwhile, or a link to nothing or to itself."""

NOWHERE = "a link to nothing; put the file itself there"

_UNREAD = b"imgclf.unread"

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Flaws = list[tuple[str, str]]
"""Names that cannot be keys, and why."""

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
        """Build from a row of any function of this module that makes rows."""
        key, size, etag, modified = row
        return cls(key, size, etag, datetime.fromtimestamp(modified / 1e6, UTC))


def local_row(key: str, status: os.stat_result) -> Row:
    """The row of one file; the etag is ``LocalStore``'s own: inode, mtime and size, in hex."""
    modified = status.st_mtime_ns // 1000
    etag = f'"{status.st_ino:x}-{modified:x}-{status.st_size:x}"'
    return key, status.st_size, etag, modified


def local_rows(
    root: Path, prefix: str, start_after: str | None, flaws: Flaws | None = None
) -> Iterator[Row]:
    """Every finished file under ``root/prefix``, in no order.

    Links are followed, each folder is visited once; nothing is read that is no file (a pipe would
    block its reader for ever). A file that disappears meanwhile is left out.

    Args:
        root: the store's folder.
        prefix: whole path segments, "" for everything.
        start_after: only keys greater than this one; older files are not even looked at.
        flaws: gets what no listing shows, because of its name or of what it is, and the folders that
            cannot be read, whose names end in a slash.

    Raises:
        OSError: a folder cannot be read, and there are no ``flaws`` to tell of it.
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
    """The rows of a bucket whose keys obstore can read; the others are added to ``flaws``.

    A folder marker, such as a console makes (``a/``, empty), is no object and no flaw.
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
    """Why an object of this key in a bucket cannot be read, or None."""
    segments = key.split("/")
    if not all(segments):
        return "an empty segment in its key (a leading, trailing or double slash): rename it"
    if any(segment in (".", "..") for segment in segments):
        return ". or .. as a segment of its key: rename it"
    return "control characters in its key: rename it" if _CONTROL.search(key) else None


def unread(listing: pa.Table) -> list[str]:
    """Prefixes of keys of which a listing says nothing, for their folders cannot be read."""
    found: list[str] = json.loads((listing.schema.metadata or {}).get(_UNREAD, b"[]"))
    return found


def with_unread(listing: pa.Table, flaws: Flaws) -> pa.Table:
    """The listing, with the folders among ``flaws`` for :func:`unread`."""
    folders = [name for name, _ in flaws if name.endswith("/")]
    if not folders:
        return listing
    return listing.replace_schema_metadata({_UNREAD: json.dumps(folders)})


def to_table(rows: Iterator[Row]) -> pa.Table:
    """A listing as an Arrow table of :data:`LISTING_SCHEMA`, sorted by key.

    Rows become columns a few thousand at a time: as Python objects, 100,000 of them take 30 MB.
    """
    batches = []
    while some := list(islice(rows, _BATCH_ROWS)):
        columns = [list(column) for column in zip(*some, strict=True)]
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(columns, LISTING_SCHEMA, strict=True)
        ]
        batches.append(pa.record_batch(arrays, schema=LISTING_SCHEMA))
    return pa.Table.from_batches(batches, LISTING_SCHEMA).sort_by("key").combine_chunks()


def key_flaw(key: str) -> str | None:
    """Why a string cannot be a key of the same meaning in a folder and in a bucket, or None."""
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
    for key, entry in _files(root, "", []):  # what cannot be read, others tell of
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
    """Whether a file is the beginning of another one, which is there."""
    try:
        with part.open("rb") as begun, Path(whole).open("rb") as finished:
            while piece := begun.read(1 << 20):
                if finished.read(len(piece)) != piece:
                    return False
    except FileNotFoundError:
        return False
    return True


def _flaw(name: str) -> str | None:
    """Why a file of this name cannot be an object, or None."""
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
    """Every non-folder under ``root/prefix`` with its key; each folder is entered once."""
    start = root / prefix
    pending = [(str(start), f"{prefix.rstrip('/')}/" if prefix.strip("/") else "")]
    seen: set[tuple[int, int]] = set()
    while pending:
        folder, key_prefix = pending.pop()
        try:
            status = os.stat(folder)  # noqa: PTH116 - hot loop over strings
            with os.scandir(folder) as entries:
                if (status.st_dev, status.st_ino) in seen:  # a link back to where we have been
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
            if litter(os.path.basename(folder), folder=True):  # noqa: PTH119
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

"""Atomic writes of files that, where it matters, survive a power cut.

Unfinished files are in ``.staging/`` under the root, so that a killed writer leaves nothing among
the finished files. Their names end in ``#`` and a number, which obstore does not list.
"""

import errno
import fcntl
import os
import shutil
import uuid
from pathlib import Path

STAGING = ".staging"
"""Folder of unfinished files."""

_FULL_FSYNC = getattr(fcntl, "F_FULLFSYNC", None)
"""macOS needs it: fsync alone leaves the data in the disk's own cache."""


def create_file(
    root: Path, key: str, data: bytes | Path, *, durable: bool
) -> os.stat_result | None:
    """Write a file unless it exists; of concurrent writers one succeeds.

    Args:
        root: folder of all files.
        key: path below ``root``.
        data: the bytes, or a file with them (a big one is not read into memory).
        durable: whether to wait until it is on the disk, which takes some milliseconds.

    Returns:
        The status of the file that this call wrote; ``None`` if there was one.

    Raises:
        OSError: it cannot be written (NotADirectoryError: a part of its path is a file).
    """
    target = root / key
    if target.exists():
        return None
    made = _make_folders(target.parent)
    staged = root / STAGING / f"{uuid.uuid4().hex}#{os.getpid()}"
    staged.parent.mkdir(exist_ok=True)
    try:
        _write(staged, data, durable=durable)
        try:
            os.link(staged, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            staged = _beside(staged, target)  # the target is on another disk
            _write(staged, data, durable=durable)
            os.link(staged, target)
        # Of our own name of the file: under ``target`` there may be another one by now.
        status = staged.stat()
    except FileExistsError:
        return None
    finally:
        staged.unlink(missing_ok=True)
    if durable:
        for folder in (target.parent, *made):
            sync_folder(folder)
    return status


def put_in_place(written: Path, target: Path) -> None:
    """Rename ``written`` to ``target`` after its bytes are on the disk."""
    # Renamed earlier, the file could be truncated or zero after a power cut, unnoticed.
    with written.open("rb") as file:
        _sync(file.fileno())
    written.replace(target)
    sync_folder(target.parent)


def _sync(descriptor: int) -> None:
    """Wait until a file's data are on the disk."""
    if _FULL_FSYNC is None:
        os.fsync(descriptor)
        return
    try:
        fcntl.fcntl(descriptor, _FULL_FSYNC)
    except OSError:  # a file system that only knows fsync
        os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until a folder's entries are on the disk, if its file system supports that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # gone meanwhile, or one that may be written and not read
        return
    try:
        _sync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def _make_folders(folder: Path) -> list[Path]:
    """Create ``folder`` with its parents; returns the folders that got a new entry."""
    missing = []
    step = folder
    while not step.exists():
        missing.append(step.parent)
        step = step.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
    return missing


def _beside(staged: Path, target: Path) -> Path:
    staged.unlink(missing_ok=True)
    return target.with_name(f".{staged.name}")


def _write(path: Path, data: bytes | Path, *, durable: bool) -> None:
    with path.open("wb") as file:
        if isinstance(data, Path):
            with data.open("rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)
        else:
            file.write(data)
        if durable:
            file.flush()
            _sync(file.fileno())

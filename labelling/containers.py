"""What an ingest source is packed in: files by name, read one at a time; here from a folder."""

import os
import re
import stat
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_LITTER = {"__macosx", "thumbs.db", "desktop.ini"}
_DRIVE = re.compile(r"^[A-Za-z]:")


class SourceError(ValueError):
    """The source as a whole cannot be read; the message names it and the remedy."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """One file of a source that cannot be taken, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of one file; ``name`` as its container lists it."""

    name: str
    data: bytes


class Container(ABC):
    """Files by name. Names are relative POSIX paths, without ``..``; hidden files and the
    litter of desktops (``__MACOSX``, ``Thumbs.db``) are not there."""

    @abstractmethod
    def listing(self) -> Iterator[str | Rejection]:
        """The name of every file, and what is no file to take."""

    @abstractmethod
    def contents(self, names: Collection[str], max_bytes: int) -> Iterator[Content | Rejection]:
        """The bytes of the files named, each at most ``max_bytes``; bigger ones are rejected
        unread."""


def safe_name(raw: str) -> str:
    """``raw`` without ``./``, if it is a path that stays inside.

    Raises:
        ValueError: it is absolute, leaves the folder, or is empty.
    """
    path = PurePosixPath(raw)
    if path.is_absolute() or _DRIVE.match(raw) or ".." in path.parts:
        raise ValueError("the path leads out of the source; give paths relative to it")
    if not path.parts or "\0" in raw:
        raise ValueError("the path is empty or holds a null character")
    return str(path)


def is_litter(name: str) -> bool:
    """Whether a file is hidden, or left behind by a desktop."""
    return any(part.startswith(".") or part.lower() in _LITTER for part in name.split("/"))


def too_big(name: str, size: int, max_bytes: int) -> Rejection:
    """The rejection of a file of ``size`` bytes where ``max_bytes`` are allowed."""
    return Rejection(
        name,
        f"{size / 1e6:,.1f} MB, more than {max_bytes / 1e6:g} MB "
        "(max_file_mb under [ingestion] in imgclf.toml)",
    )


class Folder(Container):
    """A folder on disk, or only some files of it. Links are followed, each folder once."""

    def __init__(self, root: Path, only: Sequence[str] | None = None) -> None:
        self._root = root
        self._only = only

    def listing(self) -> Iterator[str | Rejection]:
        if self._only is not None:
            yield from (self._checked(name) for name in self._only)
            return
        entered = set()
        for folder, folders, files in os.walk(self._root, followlinks=True, onerror=_raise):
            status = Path(folder).stat()
            if (status.st_dev, status.st_ino) in entered:
                folders.clear()
                continue
            entered.add((status.st_dev, status.st_ino))
            folders.sort()
            for file in sorted(files):
                name = (Path(folder) / file).relative_to(self._root).as_posix()
                if not is_litter(name):
                    yield self._checked(name)
            folders[:] = [name for name in folders if not is_litter(name)]

    def _checked(self, name: str) -> str | Rejection:
        try:
            status = (self._root / name).stat()
        except OSError as error:
            return Rejection(name, f"cannot be read: {error.strerror}")
        return name if stat.S_ISREG(status.st_mode) else Rejection(name, "not a regular file")

    def contents(self, names: Collection[str], max_bytes: int) -> Iterator[Content | Rejection]:
        for name in names:
            try:
                with (self._root / name).open("rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    if size > max_bytes:
                        yield too_big(name, size, max_bytes)
                        continue
                    data = file.read()
            except OSError as error:
                yield Rejection(name, f"cannot be read: {error.strerror}")
                continue
            yield Content(name, data)


def _raise(error: OSError) -> None:
    raise SourceError(f"{error.filename} cannot be read: {error.strerror}") from error

"""The interface of an ingest source: files by name, read one at a time."""

import errno
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from errors.base import ImgclfError

if TYPE_CHECKING:
    from labelling.sources.doubt import Doubt

HEAD_BYTES = 64
MAX_READ_FOR_HEAD = 1 << 28

_DRIVE = re.compile(r"^[A-Za-z]:")


class SourceError(ImgclfError, ValueError):
    """The source as a whole cannot be read; the message names it and the remedy."""


class OptionError(SourceError):
    """An option of the user is wrong, or has no effect; the message names it and the remedy."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A file of a source, or an entry of one of its lists, that cannot be used, and why.

    Attributes:
        name: name of the file, or place of the entry and the file that it names.
        reason: why it cannot be used.
        of_list: whether it is an entry (line, row or record) of a list, and no file.
    """

    name: str
    reason: str
    of_list: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Passed:
    """A file or folder that is skipped because it is not data, and why.

    ``name`` is relative to the source; a folder's name ends in a slash, and its content is not
    listed.
    """

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a file; ``name`` is the one in its container."""

    name: str
    data: bytes


Entry = str | Rejection | Passed
"""An entry of a listing: the name of a usable file, a file that cannot be used, or no data."""


class FileContainer(ABC):
    """Files by name. Names are relative POSIX paths, without ``..``, of valid Unicode."""

    @abstractmethod
    def listing(self) -> Iterator[Entry]:
        """The name of every usable file, what cannot be used, and what is skipped (``litter``)."""

    @abstractmethod
    def contents(self, names: Collection[str], max_bytes: int) -> Iterator[Content | Rejection]:
        """The bytes of the files named, each at most ``max_bytes``; bigger ones are rejected
        unread."""

    def heads(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """The first ``HEAD_BYTES`` of the named files, without those that cannot be read."""
        for content in self.contents(names, MAX_READ_FOR_HEAD):
            if isinstance(content, Content):
                yield content.name, content.data[:HEAD_BYTES]

    @property
    def has_cheap_heads(self) -> bool:
        """Whether the first bytes of some files can be read without reading the whole container."""
        return False

    @property
    def doubts(self) -> Sequence["Doubt"]:
        """Open questions about its names; known after the listing was read."""
        return ()

    @property
    def damage(self) -> Sequence["Doubt"]:
        """The question whether to go on if a part is lost; known after the listing was read."""
        return ()

    @property
    def decodes(self) -> bool:
        """Whether it has names without a declared encoding; known after the listing was read."""
        return False

    @property
    def warnings(self) -> Sequence[str]:
        """How names without a declared encoding were decoded; known after the listing was read."""
        return ()


def safe_name(raw: str) -> str:
    """``raw`` without ``./``, if it is a relative path without ``..``.

    Raises:
        ValueError: it is absolute, leaves the folder, or is empty.
    """
    if _is_plain(raw):  # nearly all are; a path object would take most of the time
        return raw
    path = PurePosixPath(raw)
    if path.is_absolute() or _DRIVE.match(raw) or ".." in path.parts:
        raise ValueError("the path leads outside the source; give paths relative to it")
    if not path.parts or "\0" in raw:
        raise ValueError("the path is empty or holds a null character")
    return str(path)


def _is_plain(raw: str) -> bool:
    return (
        raw[:1] not in {"", "/", "."}
        and raw[-1] != "/"
        and raw[1:2] != ":"
        and "/." not in raw
        and "//" not in raw
        and "\0" not in raw
    )


def too_big(name: str, size: int, max_bytes: int) -> Rejection:
    """The rejection of a file that is too large.

    Args:
        name: of the file in its source.
        size: bytes of the file.
        max_bytes: bytes allowed.
    """
    return Rejection(
        name,
        f"{size / 1e6:,.1f} MB, more than {max_bytes / 1e6:g} MB "
        "(max_file_mb under [ingestion] in imgclf.toml)",
    )


def unreadable(error: OSError) -> str:
    """Why a file or folder cannot be read, with the remedy if there is one."""
    remedy = _REMEDIES.get(error.errno or 0, "")
    return f"cannot be read: {error.strerror or error}{remedy}"


_REMEDIES = {
    errno.EACCES: "; give yourself the right to read it (chmod -R u+rX) and run it again",
    errno.EPERM: "; give yourself the right to read it (chmod -R u+rX) and run it again",
    errno.EIO: "; the disk is damaged, or was removed",
    errno.ESTALE: "; the network drive is not connected: mount it again",
    errno.ENOENT: "; it was removed meanwhile",
    errno.ENAMETOOLONG: "; the whole path is longer than the system allows: move it up",
}

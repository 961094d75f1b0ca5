"""What a folder and a zip have in common as targets of an export."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from imgclf_dagster.export.errors import ExportError


@dataclass(frozen=True, slots=True)
class Image:
    """An image to write.

    Attributes:
        path: its path in the export.
        sha256: hash of its encoded bytes (hex).
        length: number of these bytes.
    """

    path: str
    sha256: str
    length: int


class NameRefused(Exception):
    """The file system refuses the name of one image."""


class Target(Protocol):
    """A place where an export appears when it is complete, and not before."""

    parallel: bool
    """Whether several threads may call :meth:`write` at the same time, in any order."""

    def begin(self, *, identity: str, description: str, need: int) -> None:
        """Make sure that the place can be written, and lock it.

        Args:
            identity: identifies the export.
            description: the export in words, for messages.
            need: size of the images (bytes).

        Raises:
            ExportError: the place is taken, or has no space.
        """

    def has(self, image: Image) -> bool:
        """Whether an earlier run of the same export has written this image completely."""

    def write(self, image: Image, data: bytes) -> None:
        """Write an image.

        Raises:
            NameRefused: the file system refuses its name.
            ExportError: the place cannot be written.
        """

    def write_text(self, path: str, pieces: Iterable[str]) -> None:
        """Write a text file.

        Raises:
            ExportError: the place cannot be written.
        """

    def make_folder(self, path: str) -> None:
        """Create a folder, which may stay empty.

        Raises:
            ExportError: the place cannot be written.
        """

    def finish(self, written: Mapping[str, int]) -> None:
        """Compare the files with what was written, and make the export visible.

        Args:
            written: size of each image (bytes) by its path.

        Raises:
            ExportError: an image is missing, or the place cannot be written.
        """

    def leave(self) -> None:
        """Release the place, whether the export was finished or not."""


def require_outside(path: Path, store: Path | None) -> None:
    """Make sure that ``path`` is not in the store, where images would be ingested again.

    Raises:
        ExportError: it is.
    """
    if store is not None and path.resolve().is_relative_to(store.resolve()):
        raise ExportError(f"{path} lies in the store {store}: name a place outside it in --to")


def size_words(size: float) -> str:
    """Return a size in bytes as text with a unit, such as ``1.2 MB``."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def require_room(path: Path, need: int) -> None:
    """Make sure that the disk of ``path`` has ``need`` bytes free.

    Raises:
        ExportError: it has less.
    """
    there = path
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < need:
        raise ExportError(
            f"{path}: {size_words(need)} are needed and {size_words(free)} are free; free some "
            "space, or name another place in --to"
        )

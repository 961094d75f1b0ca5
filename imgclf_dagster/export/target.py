"""Where an export is written: what a folder and an archive have in common."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from imgclf_dagster.export.errors import ExportError


@dataclass(frozen=True, slots=True)
class Image:
    """An image to be written: its path in the export, and what its bytes are."""

    path: str
    sha256: str
    length: int


class NameRefused(Exception):  # noqa: N818 - a state, as its callers say it
    """The file system does not take the name of one image."""


class Target(Protocol):
    """A place that appears whole or not at all."""

    parallel: bool
    """Whether :meth:`write` may be called by several threads at once, in any order."""

    def begin(self, *, identity: str, said: str, need: int) -> None:
        """Make sure that it can be written.

        Args:
            identity: tells this export from any other one.
            said: which one it is, in words.
            need: bytes of its images.

        Raises:
            ExportError: it is taken, or there is no room.
        """

    def has(self, image: Image) -> bool:
        """Whether an earlier run of the same export wrote this image, whole."""

    def write(self, image: Image, data: bytes) -> None:
        """Write an image. Raises NameRefused, ExportError."""

    def write_text(self, path: str, pieces: Iterable[str]) -> None:
        """Write a file of text. Raises ExportError."""

    def make_folder(self, path: str) -> None:
        """Have a folder, even if nothing lies in it. Raises ExportError."""

    def finish(self, written: Mapping[str, int]) -> None:
        """Compare what is there with what was written, and make it visible.

        Args:
            written: the size of each image in bytes, by its path.

        Raises:
            ExportError: something is missing, or the place cannot be written.
        """

    def leave(self) -> None:
        """Let go of it, whether it was finished or not."""


def require_outside(path: Path, store: Path | None) -> None:
    """Raise ExportError if ``path`` lies in the store: its images would be taken for new ones."""
    if store is not None and path.resolve().is_relative_to(store.resolve()):
        raise ExportError(f"{path} lies in the store {store}: name a place outside it in --to")


def size_words(size: float) -> str:
    """``size`` bytes in words."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def require_room(path: Path, need: int) -> None:
    """Raise ExportError if the disk of ``path`` has less than ``need`` bytes free."""
    there = path
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < need:
        raise ExportError(
            f"{path}: {size_words(need)} are needed and {size_words(free)} are free; free some "
            "space, or name another place in --to"
        )

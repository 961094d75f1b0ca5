"""Export into a folder: written into a hidden sub-folder, and moved up when it is complete."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from imgclf_dagster.export.errors import OF_A_NAME, ExportError, cannot_write
from imgclf_dagster.export.target import Image, NameRefused, require_room
from labelling.sources.containers.litter import litter_of_source
from object_store.durable import sync_folder

WORK = ".imgclf-export"
"""Hidden sub-folder that holds an export until it is complete; programs that read folders skip it.
Not beside the folder, which may be a mount point or have a read-only parent."""

_KEPT = "What was written is kept: the same command continues it"
_NOTHING = "Nothing was written"
_BLOCK = 4096


class FolderTarget:
    """A folder that is new, empty, or holds an unfinished run of the same export."""

    parallel = True

    def __init__(self, place: Path) -> None:
        self._place = place
        self._work = place / WORK
        self._files = self._work / "files"
        self._lock = FileLock(self._work / "lock")
        self._made: set[str] = set()
        self._resumed = False
        self._is_new = not place.exists()

    def begin(self, *, identity: str, description: str, need: int) -> None:
        """See :class:`imgclf_dagster.export.target.Target`.

        Args:
            identity: identifies the export.
            description: the export in words, for messages.
            need: size of the images (bytes).

        Raises:
            ExportError: the place is a file, holds other files, is being written, or has no space.
        """
        if self._place.exists() and not self._place.is_dir():
            raise ExportError(f"{self._place} is a file; name a new folder, or a .zip, in --to")
        self._require_own(identity, description)
        with self._translated_errors():
            self._files.mkdir(parents=True, exist_ok=True)
            self._lock_it()
            self._take_back()
            self._resumed = any(self._files.iterdir())
            self._note({"identity": identity, "export": description})
        require_room(self._place, need - (_size_below(self._files) if self._resumed else 0))

    def _require_own(self, identity: str, description: str) -> None:
        """Make sure that the folder holds nothing but an unfinished run of the same export.

        Raises:
            ExportError: it holds other files, or another export.
        """
        remains = self._read_note()
        if remains and remains.get("identity") != identity:
            raise ExportError(
                f"{self._place} holds the remains of another export ({remains.get('export')}), and "
                f"not of this one ({description}): repeat that one to complete it, or delete {self._work}"
            )
        if not self._place.is_dir():
            return
        ours = {WORK, *(remains or {}).get("moved", ())}
        others = [name for name in _names(self._place) if name not in ours]
        others = [name for name in others if not litter_of_source(name)]
        if others:
            some = ", ".join(others[:3]) + (" …" if len(others) > 3 else "")
            raise ExportError(
                f"{self._place} is not empty ({some}): name a new or an empty folder in --to"
            )

    def _lock_it(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ExportError(
                f"another export is being written to {self._place}: wait for its end, or name "
                "another place in --to"
            ) from None

    def _take_back(self) -> None:
        """Undo the moves of a run that was killed at its end, so that all files are compared again."""
        for name in (self._read_note() or {}).get("moved", ()):
            if (self._place / name).exists() and not (self._files / name).exists():
                (self._place / name).rename(self._files / name)

    def has(self, image: Image) -> bool:
        """See :class:`imgclf_dagster.export.target.Target`."""
        path = self._files / image.path
        if not self._resumed or not path.is_file() or path.stat().st_size != image.length:
            return False
        with path.open("rb") as file:  # after a power cut a file may be zeros of the right length
            return hashlib.file_digest(file, "sha256").hexdigest() == image.sha256

    def write(self, image: Image, data: bytes) -> None:
        """See :class:`imgclf_dagster.export.target.Target`."""
        with self._translated_errors(of_a_name=True), open(self._path(image.path), "wb", 0) as file:
            file.write(data)

    def write_text(self, path: str, pieces: Iterable[str]) -> None:
        """See :class:`imgclf_dagster.export.target.Target`."""
        with (
            self._translated_errors(),
            Path(self._path(path)).open("w", encoding="utf-8", newline="") as file,
        ):
            file.writelines(pieces)

    def make_folder(self, path: str) -> None:
        """See :class:`imgclf_dagster.export.target.Target`."""
        with self._translated_errors():
            self._path(f"{path}/_")

    def finish(self, written: Mapping[str, int]) -> None:
        """See :class:`imgclf_dagster.export.target.Target`."""
        missing = [path for path, size in written.items() if _size(f"{self._files}/{path}") != size]
        if missing:
            raise ExportError(
                f"{len(missing)} of {len(written)} images are not in {self._files} as they were "
                f"written ({missing[0]}): does another program change it? {_KEPT}"
            )
        with self._translated_errors():
            os.sync()  # without it, a power cut could leave a folder that looks complete
            # Folders first, so that lists of images appear after the images.
            names = sorted(_names(self._files), key=lambda name: (self._files / name).is_file())
            self._note({**(self._read_note() or {}), "moved": names})
            for name in names:
                (self._files / name).rename(self._place / name)
            sync_folder(self._place)
            self._lock.release()
            shutil.rmtree(self._work)

    def leave(self) -> None:
        """See :class:`imgclf_dagster.export.target.Target`.

        If no file was written, the created folders are removed.
        """
        if not self._lock.is_locked:
            return
        self._lock.release()
        if "moved" in (self._read_note() or {}):
            return
        with contextlib.suppress(OSError):
            self._files.rmdir()
            shutil.rmtree(self._work)
            if self._is_new:
                self._place.rmdir()

    def _path(self, path: str) -> str:
        """Return the path of a file to write, with its folder created."""
        folder = path.rpartition("/")[0]
        if folder not in self._made:
            (self._files / folder).mkdir(parents=True, exist_ok=True)
            self._made.add(folder)
        return f"{self._files}/{path}"

    def _note(self, note: Mapping[str, object]) -> None:
        part = self._work / "export.json.part"
        part.write_text(json.dumps(note), encoding="utf-8")
        part.replace(self._work / "export.json")

    def _read_note(self) -> dict[str, list[str]] | None:
        try:
            note = json.loads((self._work / "export.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return note if isinstance(note, dict) else None

    @contextmanager
    def _translated_errors(self, *, of_a_name: bool = False) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if of_a_name and error.errno in OF_A_NAME:
                raise NameRefused(
                    f"{self._place} does not take its name: {error.strerror}"
                ) from None
            raise cannot_write(error, self._place, kept=self._kept()) from error

    def _kept(self) -> str:
        """Return a sentence on whether written files are kept."""
        try:
            return _KEPT if any(self._files.iterdir()) else _NOTHING
        except OSError:
            return _NOTHING


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return -1


def _size_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

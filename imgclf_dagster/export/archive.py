"""Export into a zip: written under a temporary name, and renamed when it is complete."""

import contextlib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from imgclf_dagster.export.errors import ExportError, cannot_write
from imgclf_dagster.export.target import Image, require_room
from labelling.report.words import count
from object_store.durable import put_in_place

_KEPT = "No part is kept: run the same command again"
_ENTRY_BYTES = 400
"""Size of an entry's two headers with its name (bytes)."""


class ZipTarget:
    """A new zip, with all entries in one folder.

    Images are stored without compression, as they are compressed already. The same data set gives
    the same bytes. A killed run leaves a hidden partial file, which the next run replaces.
    """

    parallel = False

    def __init__(self, place: Path, *, top: str, moment: datetime) -> None:
        """Prepare to write ``place``.

        Args:
            place: path of the zip.
            top: name of the folder that contains all entries.
            moment: creation time of the data set, used for every entry.
        """
        self._place, self._top = place, top
        self._moment = max(moment.timetuple()[:6], (1980, 1, 1, 0, 0, 0))
        self._part = place.with_name(f".{place.name}.part")
        self._lock_file = place.with_name(f".{place.name}.lock")
        self._lock = FileLock(self._lock_file)
        self._zip: zipfile.ZipFile | None = None

    def begin(self, *, identity: str, description: str, need: int) -> None:
        """See :class:`imgclf_dagster.export.target.Target`.

        Args:
            identity: not used; a zip is never continued.
            description: not used.
            need: size of the images (bytes).

        Raises:
            ExportError: the zip exists, is being written, or there is no space.
        """
        self._require_free()
        with self._translated_errors():
            self._place.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise ExportError(f"another export is writing {self._place}") from None
            self._part.unlink(missing_ok=True)
            require_room(self._place.parent, need)
            self._zip = zipfile.ZipFile(self._part, "x")

    def _require_free(self) -> None:
        if self._place.exists():
            raise ExportError(f"{self._place} exists: delete it, or name another one in --to")

    def has(self, image: Image) -> bool:
        """Return False: a zip is always written from its beginning."""
        return False

    def write(self, image: Image, data: bytes) -> None:
        """See :class:`imgclf_dagster.export.target.Target`."""
        with self._translated_errors():
            self._open().writestr(self._entry(image.path), data)

    def write_text(self, path: str, pieces: Iterable[str]) -> None:
        """See :class:`imgclf_dagster.export.target.Target`."""
        entry = self._entry(path)
        entry.compress_type = zipfile.ZIP_DEFLATED
        with self._translated_errors(), self._open().open(entry, "w", force_zip64=True) as file:
            for piece in pieces:
                file.write(piece.encode())

    def make_folder(self, path: str) -> None:
        """See :class:`imgclf_dagster.export.target.Target`."""
        with self._translated_errors():
            self._open().writestr(self._entry(f"{path}/"), b"")

    def finish(self, written: Mapping[str, int]) -> None:
        """See :class:`imgclf_dagster.export.target.Target`."""
        with self._translated_errors():
            self._open().close()
            with zipfile.ZipFile(self._part) as made:
                there = {entry.filename: entry.file_size for entry in made.infolist()}
            missing = [p for p, size in written.items() if there.get(f"{self._top}/{p}") != size]
            if missing:
                raise ExportError(
                    f"{count(len(missing), 'image is', 'images are')} not in the zip ({missing[0]}). {_KEPT}"
                )
            self._require_free()
            put_in_place(self._part, self._place)

    def leave(self) -> None:
        """See :class:`imgclf_dagster.export.target.Target`."""
        if not self._lock.is_locked:
            return
        with contextlib.suppress(OSError):
            if self._zip is not None:
                self._zip.close()
        self._part.unlink(missing_ok=True)
        self._lock.release()
        self._lock_file.unlink(missing_ok=True)

    def _open(self) -> zipfile.ZipFile:
        if self._zip is None:
            raise RuntimeError("begin() comes first")
        return self._zip

    def _entry(self, path: str) -> zipfile.ZipInfo:
        entry = zipfile.ZipInfo(f"{self._top}/{path}", self._moment)
        is_folder = path.endswith("/")
        entry.external_attr = (0o40755 << 16) | 0x10 if is_folder else 0o100644 << 16
        return entry

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise cannot_write(error, self._place, kept=_KEPT) from error

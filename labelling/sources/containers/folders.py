"""A folder on disk as a container."""

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from labelling.sources.containers.containers import (
    HEAD_BYTES,
    Content,
    Entry,
    FileContainer,
    Rejection,
    too_big,
    unreadable,
)
from labelling.sources.containers.misread import Misread
from labelling.sources.containers.walk import walk


class Folder(FileContainer):
    """A folder on disk, or only some files of it."""

    def __init__(self, root: Path, only: Sequence[str] | None = None) -> None:
        self._root = root
        self._only = only
        self._misread = Misread()

    def listing(self) -> Iterator[Entry]:
        found = walk(self._root) if self._only is None else map(self._checked, self._only)
        for entry in found:
            if isinstance(entry, str):
                self._misread.look_at(entry)
            yield entry

    @property
    def warnings(self) -> Sequence[str]:
        return self._misread.warnings()

    def _checked(self, name: str) -> str | Rejection:
        try:
            status = (self._root / name).stat()
        except OSError as error:
            return Rejection(name, f"cannot be read: {error.strerror}")
        return name if stat.S_ISREG(status.st_mode) else Rejection(name, "not a regular file")

    def heads(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        for name in names:
            try:
                handle = os.open(self._root / name, os.O_RDONLY)
            except OSError:
                continue  # reading the whole file reports the error
            try:
                yield name, os.read(handle, HEAD_BYTES)
            except OSError:
                continue
            finally:
                os.close(handle)

    @property
    def has_cheap_heads(self) -> bool:
        return True

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
                yield Rejection(name, unreadable(error))
                continue
            yield Content(name, data)

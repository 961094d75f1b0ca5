"""Zip and tar archives as containers: read as they are, nothing is ever extracted to disk.

Archives come from anywhere: their names may point outside, their sizes may lie, their members
may be links or devices, and a few kilobytes may unpack to terabytes.
"""

import bz2
import gzip
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, cast

from labelling.containers import (
    Container,
    Content,
    Folder,
    Rejection,
    SourceError,
    is_litter,
    safe_name,
    too_big,
)

MAX_EXPANSION = 200
"""A compressed tar may unpack to this many times its size. Photos hardly compress at all, blank
scans perhaps a hundredfold; a bomb a thousandfold."""

FREE_EXPANSION_BYTES = 1 << 30
"""… and to this many bytes in any case."""


def open_container(path: Path) -> Container:
    """The container at ``path``, by the name's suffix (a lone file is a container of one).

    Raises:
        SourceError: there is nothing at ``path``, or it cannot be read.
    """
    name = path.name.lower()
    if path.is_dir():
        return Folder(path)
    if not path.exists():
        raise SourceError(f"{path} does not exist")
    if name.endswith(".zip"):
        return Zip(path)
    if re.search(r"\.(tar(\.(gz|bz2|xz))?|tgz|tbz2?|txz)$", name):
        return Tar(path)
    return Folder(path.parent, only=[path.name])


class Zip(Container):
    """A zip archive, read member by member."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _members(self, archive: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo | Rejection]:
        for member in archive.infolist():
            # Some Windows programs write \ where the format demands /.
            raw = member.filename.replace("\\", "/")
            if member.is_dir() or raw.endswith("/"):
                continue
            try:
                member.filename = safe_name(raw)
            except ValueError as error:
                yield Rejection(raw, str(error))
                continue
            if is_litter(member.filename):
                continue
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in {0, stat.S_IFREG}:
                yield Rejection(raw, "a link or device in an archive; pack the file itself")
            else:
                yield member

    def _open(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self._path)
        except (zipfile.BadZipFile, OSError) as error:
            raise SourceError(
                f"{self._path} is not a zip archive or is cut off ({error}); copy it again"
            ) from error

    def listing(self) -> Iterator[str | Rejection]:
        with self._open() as archive:
            for member in self._members(archive):
                yield member if isinstance(member, Rejection) else member.filename

    def contents(self, names: Collection[str], max_bytes: int) -> Iterator[Content | Rejection]:
        with self._open() as archive:
            for member in self._members(archive):
                if not isinstance(member, Rejection) and member.filename in names:
                    yield self._read(archive, member, max_bytes)

    def _read(
        self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, max_bytes: int
    ) -> Content | Rejection:
        name = member.filename
        if member.file_size > max_bytes:
            return too_big(name, member.file_size, max_bytes)
        try:
            with archive.open(member) as file:
                data = file.read(max_bytes + 1)  # the directory's size may lie
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
            return Rejection(name, f"broken in the archive: {error}")
        except (RuntimeError, NotImplementedError) as error:
            return Rejection(name, f"cannot be unpacked: {error}")
        return (
            Content(name, data) if len(data) <= max_bytes else too_big(name, len(data), max_bytes)
        )


class Tar(Container):
    """A tar archive, plain or compressed (told by its first bytes), read as a stream."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _stream(self) -> IO[bytes]:
        with self._path.open("rb") as file:
            magic = file.read(6)
        if magic.startswith(b"\x1f\x8b"):
            return cast("IO[bytes]", gzip.open(self._path))
        if magic.startswith(b"BZh"):
            return bz2.open(self._path)
        if magic == b"\xfd7zXZ\0":
            return lzma.open(self._path)
        return self._path.open("rb")

    def _members(self) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
        """Every entry, with its archive, to be read before the next is asked for.

        Raises:
            tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError: it is broken.
        """
        limit = max(MAX_EXPANSION * self._path.stat().st_size, FREE_EXPANSION_BYTES)
        with self._stream() as stream:
            bounded = _Bounded(stream, limit, self._path)
            with tarfile.open(fileobj=cast("IO[bytes]", bounded), mode="r:") as archive:
                while (member := archive.next()) is not None:
                    archive.members = []  # type: ignore[attr-defined] # else it keeps every header
                    yield archive, member
        if bounded.last.strip(b"\0") or not bounded.last:  # tarfile takes a cut for the end
            raise tarfile.ReadError("it is cut off")

    def listing(self) -> Iterator[str | Rejection]:
        taken = 0
        try:
            for _, member in self._members():
                taken += 1
                checked = _checked(member)
                if checked is not None:
                    yield checked
        except _BROKEN_TAR as error:
            if not taken:
                raise SourceError(f"{self._path} is not a tar archive ({error})") from error
            reason = f"the archive is broken after {taken} entries ({error}); copy it again"
            yield Rejection(self._path.name, reason)

    def contents(self, names: Collection[str], max_bytes: int) -> Iterator[Content | Rejection]:
        reading: str | None = None
        try:
            for archive, member in self._members():
                name = _checked(member)
                if not isinstance(name, str) or name not in names:
                    continue
                if member.size > max_bytes:
                    yield too_big(name, member.size, max_bytes)
                    continue
                reading = name
                file = archive.extractfile(member)
                if file is not None:
                    yield Content(name, b"".join(_chunks(file)))
                reading = None
        except _BROKEN_TAR as error:  # of which ``listing`` has told already
            if reading is not None:
                yield Rejection(reading, f"broken in the archive: {error}")


_BROKEN_TAR = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError)
_READ_BYTES = 1 << 20


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_READ_BYTES):
        yield chunk


def _checked(member: tarfile.TarInfo) -> str | Rejection | None:
    """The safe name of an entry, why it is none, or ``None`` if it is nothing to look at."""
    if member.isdir():
        return None
    try:
        name = safe_name(member.name)
    except ValueError as error:
        return Rejection(member.name, str(error))
    if is_litter(name):
        return None
    if not member.isreg():
        return Rejection(name, "a link or device in an archive; pack the file itself")
    return name


class _Bounded:
    """A stream that refuses to unpack without end, or to hand out much at once: tarfile reads
    extended headers into memory, as big as they say they are."""

    def __init__(self, stream: IO[bytes], limit: int, path: Path) -> None:
        self._stream, self._limit, self._path = stream, limit, path
        self.last = b""

    def read(self, size: int) -> bytes:
        if size > 16 * _READ_BYTES:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        self.last = self._stream.read(size)
        return self.last

    def seek(self, position: int) -> int:
        if position > self._limit:
            raise SourceError(
                f"{self._path} unpacks to more than {self._limit / 1e9:,.1f} GB, "
                f"{MAX_EXPANSION} times its size; if it is no bomb, unpack it and ingest the folder"
            )
        return self._stream.seek(position)

    def tell(self) -> int:
        return self._stream.tell()

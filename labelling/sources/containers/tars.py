"""Tar archives as containers, read as a stream.

The archives are untrusted: names may point outside or be in any encoding, members may be links or
devices, and a few kilobytes may expand to terabytes.
"""

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from labelling.sources.containers.containers import (
    Content,
    Entry,
    FileContainer,
    Rejection,
    SourceError,
    safe_name,
    too_big,
)
from labelling.sources.containers.packed import NamesRead, Sieve, read_names, undecodable
from labelling.sources.doubt import Doubt

MAX_EXPANSION = 200
"""A compressed tar may expand to this many times its size. Photos hardly compress, blank scans
perhaps a hundredfold, a decompression bomb a thousandfold."""

FREE_EXPANSION_BYTES = 1 << 30
"""Any compressed tar may expand to this many bytes."""


class Tar(FileContainer):
    """A tar archive, plain or compressed (detected by its first bytes), read as a stream."""

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self._path, self._given = path, encoding
        self._names: NamesRead | None = None
        self._repeated: Counter[str] = Counter()
        self._odd: tuple[str, ...] = ()
        self._damage: tuple[Doubt, ...] = ()

    @property
    def damage(self) -> Sequence[Doubt]:
        return self._damage

    @property
    def doubts(self) -> Sequence[Doubt]:
        return self._names.doubts if self._names else ()

    @property
    def decodes(self) -> bool:
        return self._names is not None and self._names.needed

    @property
    def warnings(self) -> Sequence[str]:
        return (*(self._names.warnings if self._names else ()), *self._odd)

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
        """Every entry with its archive; it must be read before the next one is requested.

        Raises:
            tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError: the archive is broken.
        """
        limit = max(MAX_EXPANSION * self._path.stat().st_size, FREE_EXPANSION_BYTES)
        with self._stream() as stream:
            bounded = _Bounded(stream, limit, self._path)
            with _opened(bounded) as archive:
                while (member := archive.next()) is not None:
                    archive.members = []  # type: ignore[attr-defined] # else it keeps all headers
                    yield archive, member
        if bounded.last.strip(b"\0") or not bounded.last:  # tarfile treats a truncation as the end
            raise tarfile.ReadError("it is cut off")

    def listing(self) -> Iterator[Entry]:
        sieve, taken = Sieve(), 0
        held: list[tuple[bytes, str | None]] = []
        folders: list[bytes | str] = []
        broken = None
        try:
            for _, member in self._members():
                taken += 1
                raw = _raw_name(member)
                if member.isdir():
                    folders.append(raw or member.name)
                elif raw is not None:
                    held.append((raw, _problem(member)))  # decoded together at the end
                else:
                    yield from sieve.sort(member.name, _problem(member))
        except _BROKEN_TAR as error:
            if not taken:
                raise SourceError(f"{self._path} is not a tar archive ({error})") from error
            broken = f"the archive is broken after {taken:,} entries ({error}); copy it again"
        self._names = _read_names(self._path.name, [raw for raw, _ in held], self._given)
        for raw, problem in held:
            name = self._names.decode(raw)
            if name is None:
                yield undecodable(raw, self._names)
            else:
                yield from sieve.sort(name, problem)
        for folder in folders:
            sieve.folder(folder if isinstance(folder, str) else self._names.decode(folder) or "")
        yield from sieve.rest()
        self._repeated, self._odd = sieve.repeated, sieve.warnings
        if broken:
            # The lost part may contain whole classes, or the list of labels.
            question = f"{self._path.name}: {broken}. Ingest only what comes before the damage?"
            self._damage = (Doubt(question, (("--yes", f"the {taken:,} entries are read"),)),)
            yield Rejection(self._path.name, broken)

    def contents(self, names: Collection[str], max_bytes: int) -> Iterator[Content | Rejection]:
        if self._names is None:
            for _ in self.listing():
                pass
        earlier = self._repeated.copy()
        reading: str | None = None
        try:
            for archive, member in self._members():
                name = self._name(member)
                if name not in names or member.isdir() or _problem(member):
                    continue
                if earlier[name]:
                    earlier[name] -= 1
                    continue
                if member.size > max_bytes:
                    yield too_big(name, member.size, max_bytes)
                    continue
                reading = name
                file = archive.extractfile(member)
                if file is not None:
                    yield Content(name, b"".join(_chunks(file)))
                reading = None
        except _BROKEN_TAR as error:  # ``listing`` has reported it
            if reading is not None:
                yield Rejection(reading, f"broken in the archive: {error}")

    def _name(self, member: tarfile.TarInfo) -> str:
        """The name as in ``listing``; "" if it is invalid."""
        raw = _raw_name(member)
        name = member.name if raw is None or not self._names else self._names.decode(raw)
        try:
            return safe_name(name or "")
        except ValueError:
            return ""


_BROKEN_TAR = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError)
_READ_BYTES = 1 << 20


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_READ_BYTES):
        yield chunk


def _opened(stream: "_Bounded") -> tarfile.TarFile:
    return tarfile.open(
        fileobj=cast("IO[bytes]", stream), mode="r:", encoding="utf-8", errors="surrogateescape"
    )


def _raw_name(member: tarfile.TarInfo) -> bytes | None:
    """The bytes of a name that is not ASCII and not declared as UTF-8; else ``None``."""
    raw = member.name.encode("utf-8", "surrogateescape")
    path = member.pax_headers.get("path")
    if raw.isascii() or (path is not None and path.isprintable()):
        return None
    return raw


def _read_names(archive: str, raw: list[bytes], given: str | None) -> NamesRead:
    """Like ``packed.read_names``, but names that are all valid UTF-8 are UTF-8, as today's tar
    programs write them."""
    try:
        b"\n".join(raw).decode("utf-8")
    except UnicodeDecodeError:
        return read_names(archive, raw, given)
    return NamesRead("utf-8", needed=False)


def _problem(member: tarfile.TarInfo) -> str | None:
    """Why an entry is not a readable file; ``None`` if it is one."""
    return None if member.isreg() else "a link or device in an archive; pack the file itself"


class _Bounded:
    """A stream with a limit on the bytes that it yields, and on a single read: tarfile reads
    extended headers into memory at their declared size."""

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

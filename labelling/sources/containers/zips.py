"""Zip archives as containers, read member by member.

The archives are untrusted: names may point outside or be in any encoding, sizes may be wrong,
members may be links, encrypted, or expand from kilobytes to terabytes.
"""

import lzma
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from labelling.sources.containers.containers import (
    HEAD_BYTES,
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

_UTF8 = 0x800
_ENCRYPTED = 0x1
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_UNICODE_PATH = 0x7075
"""Info-ZIP's extra field: https://libzip.org/specifications/extrafld.txt"""

_END = struct.Struct("<4s4H2LH")
_END_SEARCH = (1 << 16) + _END.size
_BROKEN = (
    zipfile.BadZipFile, OSError, NotImplementedError, ValueError, struct.error, OverflowError,
)  # fmt: skip

_CUT = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError)
_UNKNOWN = (RuntimeError, NotImplementedError)
_UNREADABLE = (*_CUT, *_UNKNOWN)
_FEW = 20_000


class Zip(FileContainer):
    """A zip archive."""

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self._path, self._given = path, encoding
        self._names: NamesRead | None = None
        self._members = 0
        self._repeated: Counter[str] = Counter()
        self._odd: tuple[str, ...] = ()

    @property
    def doubts(self) -> Sequence[Doubt]:
        return self._names.doubts if self._names else ()

    @property
    def decodes(self) -> bool:
        return self._names is not None and self._names.needed

    @property
    def warnings(self) -> Sequence[str]:
        return (*(self._names.warnings if self._names else ()), *self._odd)

    def listing(self) -> Iterator[Entry]:
        with self._open() as archive:
            sieve = Sieve()
            for member, name in self._named(archive):
                if isinstance(name, Rejection):
                    yield name
                elif member.is_dir() or name.endswith("/"):
                    sieve.folder(name)
                else:
                    yield from sieve.sort(name, _problem(member))
            yield from sieve.rest()
        self._repeated, self._odd = sieve.repeated, sieve.warnings

    def contents(self, names: Collection[str], max_bytes: int) -> Iterator[Content | Rejection]:
        for archive, member, name in self._wanted(names):
            yield _read(archive, member, name, max_bytes)

    def heads(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        for archive, member, name in self._wanted(names):
            try:
                with archive.open(member) as file:
                    yield name, file.read(HEAD_BYTES)
            except _UNREADABLE:
                continue  # reading the whole file reports the error

    @property
    def has_cheap_heads(self) -> bool:
        return self._members <= _FEW  # opening it again takes as long as listing it

    def _wanted(
        self, names: Collection[str]
    ) -> Iterator[tuple[zipfile.ZipFile, zipfile.ZipInfo, str]]:
        """The named members; of several with the same name, the last."""
        if not names:
            return
        if self._names is None:
            self._repeated = Counter()
            for _ in self.listing():
                pass
        earlier = self._repeated.copy()
        with self._open() as archive:
            for member, raw in self._named(archive):
                if isinstance(raw, Rejection) or _problem(member):
                    continue
                name = _inside(raw)
                if name not in names:
                    continue
                if earlier[name]:
                    earlier[name] -= 1
                else:
                    yield archive, member, name

    def _open(self) -> zipfile.ZipFile:
        if _is_last_part(self._path):
            raise SourceError(
                f"{self._path} is the last part of an archive in several files; unpack the whole "
                "with `7z x` and ingest the folder"
            )
        try:
            return zipfile.ZipFile(self._path)
        except _BROKEN as error:
            raise SourceError(f"{self._path} {_broken(error)}") from error

    def _named(self, archive: zipfile.ZipFile) -> Iterator[tuple[zipfile.ZipInfo, str | Rejection]]:
        """Every member with its decoded name, with / as the separator."""
        members = archive.infolist()
        self._members = len(members)
        if self._names is None:
            odd = [raw for member in members if (raw := _raw_name(member)) is not None]
            self._names = read_names(self._path.name, odd, self._given)
        for member in members:
            raw = _raw_name(member)
            name = _declared_name(member) if raw is None else self._names.decode(raw)
            if name is None:
                yield member, undecodable(raw or b"", self._names)
            else:
                # Some Windows programs write \ instead of /. Replaced after decoding: in Japanese
                # and Chinese encodings, \ is the second byte of some letters.
                yield member, name.replace("\\", "/")


def _inside(name: str) -> str:
    """The name as the sieve yields it; "" if it is invalid."""
    try:
        return safe_name(name)
    except ValueError:
        return ""


def _declared_name(member: zipfile.ZipInfo) -> str:
    """The name of a member that is ASCII, or declares its encoding."""
    return _unicode_path(member) or member.orig_filename


def _raw_name(member: zipfile.ZipInfo) -> bytes | None:
    """The bytes of a name that is not ASCII and declares no encoding; else ``None``."""
    if member.flag_bits & _UTF8 or member.orig_filename.isascii() or _unicode_path(member):
        return None
    return member.orig_filename.encode("cp437")  # as zipfile decoded it


def _unicode_path(member: zipfile.ZipInfo) -> str | None:
    """The name in Info-ZIP's extra field; ``None`` if there is none, or it belongs to an earlier
    name."""
    if member.flag_bits & _UTF8 or not member.extra:
        return None
    extra = member.extra
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        body, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind != _UNICODE_PATH or len(body) < 6 or body[0] != 1:
            continue
        if struct.unpack_from("<L", body, 1)[0] != zlib.crc32(member.orig_filename.encode("cp437")):
            return None  # renamed by a program that does not know the field
        try:
            return body[5:].decode("utf-8")
        except UnicodeDecodeError:
            return None
    return None


def _problem(member: zipfile.ZipInfo) -> str | None:
    """Why a member's bytes cannot be read, according to the directory; ``None`` if they can."""
    if stat.S_IFMT(member.external_attr >> 16) not in {0, stat.S_IFREG}:
        return "a link or device in an archive; pack the file itself"
    if member.flag_bits & _ENCRYPTED:
        return "encrypted; unpack the archive with its password (7z x) and ingest the folder"
    if member.compress_type not in _METHODS:
        method = zipfile.compressor_names.get(member.compress_type, str(member.compress_type))  # type: ignore[attr-defined] # not in the stubs
        return f"compressed by a method that is not read ({method}); unpack the archive (7z x) and ingest the folder"
    return None


def _read(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, max_bytes: int
) -> Content | Rejection:
    if member.file_size > max_bytes:
        return too_big(name, member.file_size, max_bytes)
    try:
        with archive.open(member) as file:
            data = file.read(max_bytes + 1)  # the size in the directory may be wrong
    except _CUT as error:
        return Rejection(name, f"broken in the archive: {error}")
    except _UNKNOWN as error:
        return Rejection(name, f"cannot be unpacked: {error}")
    return Content(name, data) if len(data) <= max_bytes else too_big(name, len(data), max_bytes)


def _broken(error: Exception) -> str:
    """The message for an archive that cannot be opened."""
    if isinstance(error, UnicodeDecodeError):
        return (
            "says that its names are UTF-8, and they are not; unpack it (unar, or 7z x) and ingest "
            "the folder"
        )
    if isinstance(error, NotImplementedError):
        return f"cannot be unpacked here ({error}); unpack it with `7z x` and ingest the folder"
    return f"is not a zip archive or is cut off ({error}); copy it again"


def _is_last_part(path: Path) -> bool:
    """Whether the archive is the last part of a multi-part archive, according to its directory."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _END_SEARCH))
            end = file.read()
    except OSError:
        return False
    at = end.rfind(b"PK\5\6")
    if at < 0 or len(end) - at < _END.size:
        return False
    part = int(_END.unpack_from(end, at)[1])
    return 0 < part < 0xFFFF

"""The walk over a folder given by the user; ingest and predict use the same one."""

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from labelling.sources.containers.containers import (
    Entry,
    Passed,
    Rejection,
    SourceError,
    unreadable,
)
from labelling.sources.containers.litter import (
    EMPTY,
    PACKED,
    SIDECAR,
    image_of_sidecar,
    is_archive,
    litter_of_source,
)
from object_store.rows import ITSELF, MARKER, NOT_REGULAR

SEEN = "a link to a folder that is read where it lies"
STORE = "the store of imgclf itself"
HOME = "the home of imgclf itself"
CACHE = "a cache, as the file CACHEDIR.TAG in it says"
PYTHON = "a Python environment (pyvenv.cfg)"
_HOME_FILES = {"imgclf.toml", "store", "dagster"}
TWICE = "another path to a folder that was read"
NOT_UTF8 = (
    "its name is not UTF-8; rename it, all below a folder at once with "
    "`convmv -f CODE_PAGE -t utf8 -r --notest FOLDER`"
)


def walk(root: Path) -> Iterator[Entry]:
    """List every file below ``root``, in the order of names, files before folders.

    Files are not stat'ed, so that 100,000 take a fraction of a second. Links are followed; each
    folder is entered once, at its own place if that is below ``root``.

    Args:
        root: the folder; its own name may be hidden.

    Yields:
        The files' names, relative to ``root``; what cannot be read; what is skipped.

    Raises:
        SourceError: ``root`` cannot be read, or is a store.
    """
    return _Walk(root).entries()


class _Walk:
    """The state of one walk."""

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)
        self._entered: set[tuple[int, int] | str] = set()
        self._links: deque[tuple[str, str]] = deque()
        self._in_store: dict[str, bool] = {}

    def entries(self) -> Iterator[Entry]:
        try:
            found, _ = _scan(self._root)
        except OSError as error:
            raise SourceError(f"{self._root} {unreadable(error)}") from error
        for own in (STORE, HOME):
            if _kind_of({entry.name for entry in found}) == own:
                raise SourceError(f"{self._root} is {own}; name the folder of the images")
        self._explicit = self._lies_in_store(_real(self._root))
        yield from self._below(self._root, "")
        # Links come last: else a class could get the name of a link to its folder.
        while self._links:
            path, name = self._links.popleft()
            yield from self._below(path, f"{name}/", SEEN)

    def _below(self, top: str, top_name: str, seen: str = TWICE) -> Iterator[Entry]:
        pending = [(top, top_name)]
        while pending:
            folder, prefix = pending.pop()
            if (folder, prefix) != (top, top_name):
                seen = TWICE
            try:
                status = os.stat(folder)
                # Some network drives have no inode numbers.
                identity = (status.st_dev, status.st_ino) if status.st_ino else _real(folder)
                if identity in self._entered:
                    yield Passed(prefix, seen)
                    continue
                self._entered.add(identity)
                found, broken = _scan(folder)
            except OSError as error:
                yield Rejection(prefix, unreadable(error))
                continue
            if broken is not None:
                yield Rejection(prefix or "./", f"read in part only; the rest {unreadable(broken)}")
            siblings = {entry.name for entry in found}
            if prefix and (kind := _kind_of(siblings)):
                yield Passed(prefix, kind)
                continue
            folders: list[tuple[str, str]] = []
            passed = 0
            for entry in self._files(found, siblings, prefix, folders):
                passed += isinstance(entry, Passed)
                yield entry
            if prefix and passed == len(found) and broken is None:
                yield Passed(prefix, EMPTY)
            pending.extend(reversed(folders))

    def _files(
        self,
        found: list["os.DirEntry[str]"],
        siblings: set[str],
        prefix: str,
        folders: list[tuple[str, str]],
    ) -> Iterator[Entry]:
        """The entries of one folder; subfolders to be entered are added to ``folders``."""
        for entry in found:
            name = prefix + entry.name
            if reason := _passed(entry, siblings):
                yield Passed(f"{name}/" if _is_folder(entry) else name, reason)
            elif not _is_utf8(entry.name):
                shown = os.fsencode(name).decode("utf-8", "backslashreplace")
                yield Rejection(f"{shown}/" if _is_folder(entry) else shown, NOT_UTF8)
            elif entry.is_symlink():
                yield from self._link(entry, name)
            elif _is_folder(entry):
                folders.append((entry.path, f"{name}/"))
            elif not _is_file(entry):
                yield Rejection(name, NOT_REGULAR)
            else:
                yield Rejection(name, PACKED) if is_archive(entry.name) else name

    def _link(self, entry: "os.DirEntry[str]", name: str) -> Iterator[Entry]:
        try:
            mode = entry.stat().st_mode
            is_folder = stat.S_ISDIR(mode)
            in_store = not self._explicit and self._leads_to_store(entry.path, is_folder=is_folder)
        except OSError as error:
            if error.errno == errno.ELOOP:
                yield Passed(name, ITSELF)
            elif error.errno == errno.ENOENT:
                yield Rejection(name, "a broken link; put the file itself there")
            else:
                yield Rejection(name, unreadable(error))
            return
        if in_store:
            yield Passed(f"{name}/" if is_folder else name, f"a link into {STORE}")
        elif is_folder:
            self._links.append((entry.path, name))
        elif not stat.S_ISREG(mode):
            yield Rejection(name, NOT_REGULAR)
        else:
            yield Rejection(name, PACKED) if is_archive(name) else name

    def _leads_to_store(self, link: str, *, is_folder: bool) -> bool:
        """Whether a link leads to a store or into one."""
        if is_folder:
            return self._lies_in_store(_real(link))
        # In data sets that consist of links, the targets are in few folders: check each once.
        target = os.path.join(os.path.dirname(link), os.readlink(link))
        if os.path.islink(target):
            return self._lies_in_store(os.path.dirname(_real(link)))
        folder = os.path.dirname(target)
        if folder not in self._in_store:
            self._in_store[folder] = self._lies_in_store(_real(folder))
        return self._in_store[folder]

    def _lies_in_store(self, folder: str) -> bool:
        """Whether a folder, given as a real path, is a store or inside one."""
        above = []
        while folder not in self._in_store:
            above.append(folder)
            parent = os.path.dirname(folder)
            if parent == folder or os.path.lexists(f"{folder}/{MARKER}"):
                self._in_store[folder] = parent != folder
            else:
                folder = parent
        self._in_store |= dict.fromkeys(above, self._in_store[folder])
        return self._in_store[folder]


def _kind_of(names: set[str]) -> str | None:
    """The kind of a folder that holds no data, by its content."""
    if MARKER in names:
        return STORE
    if names >= _HOME_FILES:
        return HOME
    if "CACHEDIR.TAG" in names:  # https://bford.info/cachedir/
        return CACHE
    return PYTHON if "pyvenv.cfg" in names else None


def _scan(folder: str) -> tuple[list["os.DirEntry[str]"], OSError | None]:
    """The entries of a folder by name, and the error that stopped reading, if any."""
    found: list[os.DirEntry[str]] = []
    broken = None
    with os.scandir(folder) as entries:
        try:
            found.extend(entries)
        except OSError as error:
            broken = error
    found.sort(key=lambda entry: entry.name)
    return found, broken


def _passed(entry: "os.DirEntry[str]", siblings: set[str]) -> str | None:
    reason = litter_of_source(entry.name, folder=_is_folder(entry))
    if reason is None and not siblings.isdisjoint(image_of_sidecar(entry.name)):
        return SIDECAR
    return reason


def _is_utf8(segment: str) -> bool:
    if segment.isascii():
        return True
    try:
        segment.encode()
    except UnicodeEncodeError:  # surrogates: os.fsdecode's escapes of undecodable bytes
        return False
    return True


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _is_file(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a file, or has vanished: reading it reports the error."""
    try:
        return entry.is_file(follow_symlinks=False) or not os.path.lexists(entry.path)
    except OSError:
        return True


def _real(path: str) -> str:
    return os.path.realpath(path)

"""Find the file of the source that a list names by a path, a URL, or a name without suffix."""

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from labelling.sources.lists.files.index import (
    FileIndex,
    base_name,
    comparable,
    has_image_suffix,
    without_suffix,
)

_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]+://")
_AROUND = " \t\r\n\"'"


class _Path(NamedTuple):
    """A parsed path from a list. ``rooted``: it begins at the root of another file system, a bucket
    or a web site."""

    parts: tuple[str, ...]
    rooted: bool


class FileFinder:
    """Finds the files that one list names.

    A path is looked up below the list's folder, then below the source's top; first with the exact
    case, then ignoring case, then without suffix. If the whole path is not there, its end is looked
    up, provided the rest can be the former location of the source or of a part of it. A URL is
    never fetched.
    """

    def __init__(self, files: FileIndex, folder: str) -> None:
        self._files = files
        self._folder = folder
        self._known: dict[str, bool] = {}
        self._bases = [tuple(folder.split("/")), ()] if folder else [()]

    def find(self, written: str) -> list[str]:
        """The files that ``written`` may mean: one, none, or several equally good matches."""
        plain = f"{self._folder}/{written}" if self._folder else written
        if plain in self._files:
            return [plain]
        paths = list(_paths(written))
        for path in paths:
            if names := self._whole(path):
                return self._nearest(_images_of(names))
        if self.passed_over(written):  # .thumbnails/1.jpg is not 1.jpg
            return []
        for path in paths:
            if names := self._by_end(path):
                return self._nearest(_images_of(names))
        return []

    def uploaded_as(self, base: str) -> list[str]:
        """The files that a web application would have stored under this name."""
        return self._nearest(self._files.by_upload_name(base))

    def names_a_file(self, written: str) -> bool:
        """Whether ``written`` names a file of the source; results are cached."""
        known = self._known.get(written)
        if known is None:
            known = self._known[written] = bool(written) and bool(self.find(written))
        return known

    def refused(self, name: str) -> bool:
        """Whether a file that was found is rejected elsewhere."""
        return name in self._files.refused

    def passed_over(self, written: str) -> str | None:
        """Why the file that ``written`` names is skipped; ``None`` if it is not."""
        for path in _paths(written):
            # Any end of a path from another place may be the path in this source.
            ends = range(len(path.parts)) if path.rooted else range(1)
            for parts in (path.parts[begin:] for begin in ends):
                for base in self._bases:
                    place = _resolved(base, parts)
                    if place and (reason := self._files.passed_over(place)):
                        return reason
        return None

    def with_another_suffix(self, written: str) -> list[str]:
        """Files with the same name and another suffix, for the message that none was found."""
        return [
            name
            for path in _paths(written)
            if path.parts
            for name in self._files.by_base_without_suffix(without_suffix(path.parts[-1]))
        ]

    def of_the_same_name(self, written: str) -> list[str]:
        """Files with the same name in other folders, for the message that none was found."""
        return [
            name
            for path in _paths(written)
            if path.parts
            for name in self._files.by_base(path.parts[-1])
        ]

    def _whole(self, path: _Path) -> list[str]:
        """The files at this whole path, from the list's folder or the source's top."""
        if path.rooted:
            return []
        places = [place for base in self._bases if (place := _resolved(base, path.parts))]
        for place in places:
            if place in self._files:
                return [place]
        for look_up in (self._files.by_path, self._files.by_path_without_suffix):
            for place in places:
                if names := look_up(place):
                    return names
        return []

    def _by_end(self, path: _Path) -> list[str]:
        """The files that share the longest end of ``path``.

        The shorter of the two paths must be the end of the longer one: ``dog/1.png`` is not
        ``cat/1.png``. For a rooted path the name alone is enough.
        """
        parts = tuple(part for part in path.parts if part != "..")
        if not parts:
            return []
        names = self._files.by_base(parts[-1])
        if not names and not has_image_suffix(parts[-1]):
            names = self._files.by_base_without_suffix(parts[-1])
        below = self._folder.count("/") + 1 if self._folder else 0
        common = {name: _common_end(parts, name) for name in names}
        whole = {
            name: end
            for name, end in common.items()
            if end >= min(len(parts), name.count("/") + 1 - (below if self._is_below(name) else 0))
        }
        if not whole and path.rooted:
            whole = common
        longest = max(whole.values(), default=0)
        return [name for name, end in whole.items() if end == longest]

    def _nearest(self, names: list[str]) -> list[str]:
        """The files below the list's folder, if there are any, else all."""
        below = [name for name in names if self._is_below(name)]
        return below or names

    def _is_below(self, name: str) -> bool:
        return name.startswith(f"{self._folder}/") if self._folder else True


def _images_of(names: list[str]) -> list[str]:
    """The images among several files: ``a`` is ``a.jpg``, not ``a.xml`` beside it."""
    if len(names) < 2:
        return names
    return [name for name in names if has_image_suffix(name)] or names


def _paths(written: str) -> list[_Path]:
    """The paths that ``written`` may mean: as it is, and percent-decoded."""
    text = written.strip(_AROUND)
    if "://" in text and _URL.match(text):
        return list(_of_url(text))
    text = text.replace("\\", "/")
    spellings = [text]
    if "%" in text and (decoded := unquote(text)) != text:
        spellings.append(decoded)
    paths = []
    for spelling in spellings:
        drive = spelling[1:3] == ":/" and spelling[0].isalpha()
        rest = spelling[3:] if drive else spelling
        paths.append(_Path(_parts(rest), drive or rest.startswith(("/", "~"))))
    return paths


def _of_url(text: str) -> Iterator[_Path]:
    try:
        url = urlsplit(text)
    except ValueError:
        return
    path = url.path
    if url.scheme.casefold() not in ("http", "https"):
        # In a bucket's key, # and ? have no special meaning.
        path = text.partition("://")[2].partition("/")[2]
    yield _Path(_parts(path), rooted=True)
    if (decoded := unquote(path)) != path:
        yield _Path(_parts(decoded), rooted=True)


def _parts(path: str) -> tuple[str, ...]:
    return tuple([part for part in path.split("/") if part and part != "."])


def _resolved(base: tuple[str, ...], parts: tuple[str, ...]) -> str | None:
    """``parts`` relative to the folder ``base``; ``None`` if they leave the source."""
    if ".." not in parts:
        return "/".join(base + parts)
    place = list(base)
    for part in parts:
        if part != "..":
            place.append(part)
        elif place:
            place.pop()
        else:
            return None
    return "/".join(place)


def _common_end(parts: tuple[str, ...], name: str) -> int:
    """How many parts from the end a path and a name share; at least the last one."""
    theirs = name.split("/")
    end = 1
    while end < min(len(parts), len(theirs)) and comparable(parts[-1 - end]) == comparable(
        theirs[-1 - end]
    ):
        end += 1
    return end


def folder_of(name: str) -> str:
    """The folder of a file; ``""`` at the source's top."""
    return name[: -len(base_name(name))].rstrip("/")

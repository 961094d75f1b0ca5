"""An index of the source's file names, for the ways in which lists write them."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property

IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".gif", ".tif", ".tiff"),
        *(".bmp", ".dib", ".jp2", ".j2k", ".pbm", ".pgm", ".ppm", ".pnm", ".heic", ".heif"),
    }
)
"""Used to recognise names of images in texts; whether a file is an image depends on its bytes."""


_MANY = 32
"""Files with one name from which on a second index of whole paths is used."""


def comparable(name: str) -> str:
    """``name`` in the form in which names are compared: NFC, without case."""
    return name.casefold() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def base_name(name: str) -> str:
    """The last part of a path."""
    return name.rpartition("/")[2]


def without_suffix(name: str) -> str:
    """``name`` without the suffix of its last part, if it has one."""
    folder, slash, base = name.rpartition("/")
    stem, dot, _ = base.rpartition(".")
    return f"{folder}{slash}{stem}" if dot and stem else name


def has_image_suffix(name: str) -> bool:
    """Whether ``name`` ends with a suffix of images."""
    _, dot, suffix = name.rpartition(".")
    return bool(dot) and f".{suffix.strip().casefold()}" in IMAGE_SUFFIXES


def upload_name(base: str) -> str:
    """The name under which Django, and so Label Studio, stores an upload: ``a_b_1.jpg`` for ``a b
    (1).jpg`` (``django.utils.text.get_valid_filename``)."""
    return re.sub(r"[^-\w.]", "", base.strip().replace(" ", "_"))


class FileIndex:
    """The names of a source's files.

    Names are compared in the form of ``comparable``; results are the source's own names. One
    dictionary groups names that differ only in folder and suffix, and the matching ones are picked
    from the group. For large groups, a second dictionary has whole paths.
    """

    def __init__(
        self,
        names: Iterable[str],
        refused: Mapping[str, str] | None = None,
        passed: Mapping[str, str] | None = None,
    ) -> None:
        """Index the names.

        Args:
            names: of the source's files.
            refused: reason by name, of those that cannot be used.
            passed: reason by name, of skipped files; a skipped folder ends in a slash.
        """
        self._names = names if isinstance(names, (set, frozenset)) else frozenset(names)
        self.refused = refused or {}
        self._passed = passed or {}

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __len__(self) -> int:
        return len(self._names)

    def passed_over(self, path: str) -> str | None:
        """Why the file at ``path`` is skipped; ``None`` if it is not, or does not exist."""
        if not self._passed:
            return None
        parts = path.split("/")
        folders = ("/".join(parts[:end]) + "/" for end in range(1, len(parts)))
        return next((self._passed[at] for at in (path, *folders) if at in self._passed), None)

    def by_path(self, path: str) -> list[str]:
        """The files with this path."""
        alike = self._alike(without_suffix(base_name(path)))
        wanted = comparable(path)
        if len(alike) > _MANY:
            return self._by_path.get(wanted, [])
        return [name for name in alike if comparable(name) == wanted]

    def by_path_without_suffix(self, path: str) -> list[str]:
        """The files with this path and any suffix."""
        alike = self._alike(base_name(path))
        wanted = comparable(path)
        if len(alike) > _MANY:
            return self._by_path_without_suffix.get(wanted, [])
        return [name for name in alike if comparable(without_suffix(name)) == wanted]

    def by_base(self, base: str) -> list[str]:
        """The files with this name, in any folder."""
        wanted = comparable(base)
        alike = self._alike(without_suffix(base))
        return [name for name in alike if comparable(base_name(name)) == wanted]

    def by_base_without_suffix(self, base: str) -> list[str]:
        """The files with this name and any suffix, in any folder."""
        return self._alike(base)

    def _alike(self, stem: str) -> list[str]:
        """The files with this stem, in any folder and with any suffix."""
        found = self._by_stem.get(comparable(stem))
        if found is None:
            return []
        return [found] if isinstance(found, str) else found

    @cached_property
    def _by_stem(self) -> dict[str, str | list[str]]:
        groups: dict[str, str | list[str]] = {}
        # Inlined instead of calling the functions above, for speed with a million names.
        for name in self._names:
            base = name[name.rfind("/") + 1 :]
            dot = base.rfind(".")
            key = comparable(base[:dot] if dot > 0 else base)
            earlier = groups.setdefault(key, name)
            if earlier is name:
                continue
            if isinstance(earlier, str):
                groups[key] = [earlier, name]
            else:
                earlier.append(name)
        for found in groups.values():
            if not isinstance(found, str):
                found.sort()
        return groups

    def texts_in(self, folder: str) -> list[str]:
        """The plain texts (``.txt``) in a folder, without subfolders."""
        return self._texts.get(folder.rstrip("/"), [])

    def json_in(self, folder: str) -> list[str]:
        """The ``.json`` files in a folder, without subfolders."""
        return self._json.get(folder.rstrip("/"), [])

    @cached_property
    def _texts(self) -> dict[str, list[str]]:
        return self._by_folder(".txt")

    @cached_property
    def _json(self) -> dict[str, list[str]]:
        return self._by_folder(".json")

    def _by_folder(self, suffix: str) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for name in self._names:
            if name[-len(suffix) :].casefold() == suffix:
                groups.setdefault(name.rpartition("/")[0], []).append(name)
        return groups

    def by_upload_name(self, base: str) -> list[str]:
        """The files that would have this name after an upload to a web application."""
        return self._by_upload.get(comparable(base), [])

    @cached_property
    def _by_upload(self) -> dict[str, list[str]]:
        return self._grouped(lambda name: upload_name(base_name(name)))

    @cached_property
    def _by_path(self) -> dict[str, list[str]]:
        return self._grouped(lambda name: name)

    @cached_property
    def _by_path_without_suffix(self) -> dict[str, list[str]]:
        return self._grouped(without_suffix)

    def _grouped(self, key: Callable[[str], str]) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for name in sorted(self._names):
            groups.setdefault(comparable(key(name)), []).append(name)
        return groups

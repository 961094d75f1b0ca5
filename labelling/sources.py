"""What a user may ingest, read file by file, with the labels it comes with.

Understood: a folder with a sub-folder for each class, a flat folder, a CSV of ``file,labels``,
a zip or tar of any of these, and a single image.
"""

import csv
import io
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labelling.archives import open_container
from labelling.containers import (
    Container,
    Content,
    Folder,
    Rejection,
    SourceError,
    safe_name,
)

LABEL_SEPARATOR = "|"
_COLUMNS = ("file", "labels")
_MAX_CSV_BYTES = 1 << 28
_SPLIT_FOLDERS = {"train", "training", "val", "valid", "validation", "test", "testing"}
_IMAGE_SUFFIXES = {
    *(".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp", ".jp2"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".heic"),
}
"""Only to tell a folder of images from one of folders; what is an image, its bytes tell."""


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One file of a source. ``name`` is relative to the source; ``labels`` is ``None`` for a
    file that comes without any."""

    name: str
    data: bytes
    labels: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Source:
    """A source whose table of contents has been read, and of whose files none has.

    ``names`` maps the name of each file in its container to its name in the source.
    """

    stem: str
    container: Container
    names: Mapping[str, str]
    labels: Mapping[str, tuple[str, ...]]
    rejections: Sequence[Rejection]

    @property
    def count(self) -> int:
        """How many items ``items`` will give."""
        return len(self.names) + len(self.rejections)

    def items(self, *, max_file_bytes: int) -> Iterator[SourceItem | Rejection]:
        """Every file once, and everything that was refused with its reason."""
        yield from self.rejections
        for content in self.container.contents(self.names, max_file_bytes):
            name = self.names.get(content.name, content.name)
            if isinstance(content, Rejection):
                yield Rejection(name, content.reason)
            else:
                yield SourceItem(name, content.data, self.labels.get(name))


def open_source(path: Path) -> Source:
    """Read the table of contents of what lies at ``path``.

    Labels are those of a CSV at the top (``file,labels``, the file relative to the CSV,
    several labels as ``a|b``) if there is one, else the names of the top folders. A lone
    folder around everything is seen through, and so are ``train``, ``val`` and ``test``.

    Raises:
        SourceError: there is nothing there, it cannot be read, or a CSV that was named is
            not a list of labels.
    """
    path = path.expanduser().resolve()
    if path.suffix.lower() == ".csv" and path.is_file():
        return _from_csv(path)
    container = open_container(path)
    is_archive = not isinstance(container, Folder)
    stem = source_stem(path)
    names, rejections = {}, []
    for entry in container.listing():
        if isinstance(entry, Rejection):
            rejections.append(entry)
        else:
            names[entry] = unicodedata.normalize("NFC", entry)
    names = _unwrapped(names, stem if is_archive else None)
    tables = {entry: name for entry, name in names.items() if _is_top_csv(name)}
    listed = _read_csvs(container, tables)
    rejections.extend(listed.rejections)
    names = {entry: name for entry, name in names.items() if entry not in tables}
    if not listed.any_table:
        return Source(stem, container, names, _folder_labels(names.values()), rejections)
    rejections.extend(_missing(listed, set(names.values())))
    return Source(stem, container, names, listed.labels, rejections)


def source_stem(path: Path) -> str:
    """The name of a source, under which its images are stored: without suffixes of archives;
    of a CSV, its folder's, for that is what its files are relative to."""
    path = path.resolve()
    if path.suffix.lower() == ".csv":
        path = path.parent
    stem = path.name
    for suffix in (".gz", ".bz2", ".xz", ".tar", ".zip", ".tgz", ".tbz2", ".tbz", ".txz"):
        if not path.is_dir() and stem.lower().endswith(suffix):
            stem = stem[: -len(suffix)]
    return stem or "source"


def _from_csv(path: Path) -> Source:
    listed = _Listed()
    container = Folder(path.parent, only=[path.name])
    for content in container.contents([path.name], _MAX_CSV_BYTES):
        if isinstance(content, Rejection):
            raise SourceError(f"{path}: {content.reason}")
        listed.add(path.name, content.data)
    if not listed.any_table:
        raise SourceError(f"{path}: {listed.rejections[0].reason}")
    files = Folder(path.parent, only=list(listed.labels))
    names, rejections = {}, listed.rejections
    for entry in files.listing():
        if isinstance(entry, Rejection):
            rejections.append(Rejection(f"{listed.lines[entry.name]} {entry.name}", entry.reason))
        else:
            names[entry] = entry
    return Source(source_stem(path), files, names, listed.labels, rejections)


# --- what the folders say ---------------------------------------------------------------


def _unwrapped(names: dict[str, str], archive_stem: str | None) -> dict[str, str]:
    """Without the folder around everything, if there is one and it is not a class.

    A lone folder with images right in it is a class, except in an archive of the same name.
    """
    while True:
        tops = {name.partition("/")[0] for name in names.values()}
        inner = {entry: name.partition("/")[2] for entry, name in names.items()}
        if len(tops) != 1 or not all(inner.values()):
            return names
        flat = any("/" not in name and _looks_like_image(name) for name in inner.values())
        has_csv = any(_is_top_csv(name) for name in inner.values())
        nested = any("/" in name for name in inner.values())
        if not (has_csv or (nested and not flat) or tops == {archive_stem}):
            return names
        names = inner


def _looks_like_image(name: str) -> bool:
    return Path(name).suffix.lower() in _IMAGE_SUFFIXES


def _is_top_csv(name: str) -> bool:
    return "/" not in name and name.lower().endswith(".csv")


def _folder_labels(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    in_folders = {name: name.split("/")[:-1] for name in names if "/" in name}
    splits = {folders[0].lower() for folders in in_folders.values()} <= _SPLIT_FOLDERS
    level = 1 if splits and all(len(folders) > 1 for folders in in_folders.values()) else 0
    return {name: (folders[level].strip(),) for name, folders in in_folders.items()}


# --- what a CSV says --------------------------------------------------------------------


@dataclass
class _Listed:
    """The labels that CSVs give, by file; ``lines`` says where each is listed."""

    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lines: dict[str, str] = field(default_factory=dict)
    rejections: list[Rejection] = field(default_factory=list)
    any_table: bool = False

    def add(self, name: str, data: bytes) -> None:
        """Read one CSV; what is wrong with it or with a line becomes a rejection."""
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self.rejections.append(Rejection(name, f"not UTF-8 text ({error.reason})"))
            return
        rows = self._rows(name, text)
        header = [column.strip().lower() for column in next(rows, ("", []))[1]]
        if not set(_COLUMNS) <= set(header):
            reason = 'not a list of labels: the first line must name the columns "file,labels"'
            self.rejections.append(Rejection(name, reason))
            return
        self.any_table = True
        file_at, labels_at = (header.index(column) for column in _COLUMNS)
        for place, row in rows:
            if not row:
                continue
            if len(row) == len(header):
                problem = self._take(place, row, file_at, labels_at)
            else:
                wanted = f"the header has {len(header)}; several labels are written a|b"
                problem = f"{len(row)} columns, where {wanted}"
            if problem:
                self.rejections.append(Rejection(place, problem))

    def _rows(self, name: str, text: str) -> Iterator[tuple[str, list[str]]]:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                place = f"{name}:{reader.line_num}"
                self.rejections.append(Rejection(place, f"broken line: {error}"))
                continue
            if row is None:
                return
            yield f"{name}:{reader.line_num}", row

    def _take(self, place: str, row: list[str], file_at: int, labels_at: int) -> str | None:
        try:
            file = unicodedata.normalize("NFC", safe_name(row[file_at].strip()))
        except ValueError as error:
            return f"{row[file_at]!r}: {error}"
        labels = tuple(label.strip() for label in row[labels_at].split(LABEL_SEPARATOR))
        if not all(labels):
            return f"{file}: an empty label in {row[labels_at]!r}; several are written a|b"
        if self.labels.get(file, labels) != labels:
            earlier = LABEL_SEPARATOR.join(self.labels[file])
            return (
                f"{file}: labelled {earlier} at {self.lines[file]} already; several are written a|b"
            )
        self.labels[file] = labels
        self.lines.setdefault(file, place)
        return None


def _read_csvs(container: Container, tables: Mapping[str, str]) -> _Listed:
    listed = _Listed()
    if tables:
        for content in container.contents(tables, _MAX_CSV_BYTES):
            if isinstance(content, Content):
                listed.add(tables[content.name], content.data)
            else:
                listed.rejections.append(content)
    return listed


def _missing(listed: _Listed, names: set[str]) -> Iterator[Rejection]:
    for file, place in listed.lines.items():
        if file not in names:
            yield Rejection(f"{place} {file}", "no such file")

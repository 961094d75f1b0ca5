"""Records in JSON with a field that names the image and one that names the label.

An array of objects, JSON Lines, objects by the name of an image, and the forms in which pandas
writes a table (``DataFrame.to_json``: ``records``, ``columns``, ``index``, ``split``, ``list``). They
are read as tables are: the same names of columns, the same questions.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from sys import intern
from typing import Any

from labelling.sources.containers.containers import Rejection
from labelling.sources.lists.columns.columns import choose_columns, open_doubts
from labelling.sources.lists.columns.given_columns import Columns
from labelling.sources.lists.files.finder import FileFinder, folder_of
from labelling.sources.lists.files.index import has_image_suffix
from labelling.sources.lists.list_format import ListReading, ListRefusedError, Surroundings
from labelling.sources.lists.plain_json.document import JsonDocument, Record
from labelling.sources.lists.plain_json.label_texts import class_names_in
from labelling.sources.lists.review.review import PEOPLE
from labelling.sources.lists.statements import names_image, split_of
from labelling.sources.lists.tables.statements import read_or_ask
from labelling.sources.lists.text.dialect import Kept, Row
from labelling.sources.lists.text.table import Table
from labelling.sources.names.columns import FILE_COLUMNS, LABEL_COLUMNS, plain
from labelling.sources.reading import ReadingOptions

_NAMES = ("label", "name", "tag", "class", "category", "value", "displayName", "tagName")
"""Keys of a label in an object: ``"tags": [{"name": "cat"}]``."""

_FILE = "file"
_SPLIT = "split"
_NESTED = 2
_MOST_FIELDS = 5_000
_SAMPLE = 100

Fields = Mapping[str, Any]


class JsonRecords:
    """``[{"image": "a.jpg", "label": "cat"}]``."""

    name = "JSON records"

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the records as the rows of a table.

        Args:
            document: the list, decoded record by record.
            options: what the user decided.
            source: the files around the list; their names tell which field names images.

        Returns:
            What the records say, or the doubts to be decided first; ``None`` if no field names
            images.

        Raises:
            ListRefusedError: the labels lie in nested objects of unknown form, or the list cannot
                be used as a whole.
        """
        if document.form == "object":
            found = list(enumerate(_from_object(document.value), 1))
            records = [(number, _flat(item)) for number, item in found]
            broken: list[Rejection] = []
        else:
            if not any(_has_text(record) for record in document.sample):
                return None
            records, broken = _numbered(document)
        value = document.value
        names = class_names_in(value) if isinstance(value, dict) else {}
        return _read(document.name, records, broken, options, source, names)


def _numbered(document: JsonDocument) -> tuple[list[tuple[int, Fields]], list[Rejection]]:
    """The records with their numbers (line numbers in JSON Lines), and the rejected ones."""
    records: list[tuple[int, Fields]] = []
    broken: list[Rejection] = []
    for number, item in enumerate(document.records(), 1):
        if isinstance(item, Record):
            line = item.place.rpartition(":")[2] if document.form == "lines" else ""
            records.append((int(line) if line.isdecimal() else number, _flat(item.value)))
        else:
            broken.append(item)
    return records, broken


def _read(
    name: str,
    records: list[tuple[int, Fields]],
    broken: Sequence[Rejection],
    options: ReadingOptions,
    source: Surroundings,
    names: Mapping[str, str],
) -> ListReading | None:
    first = records[:_SAMPLE]
    table = _table(name, records)
    names_a_file = _lookup(FileFinder(source.files, folder_of(name)))
    if table is None or not _names_images(table, names_a_file):
        return None
    columns = choose_columns(table, names_a_file, options.columns, options.task)
    if columns is None:
        return None
    called = columns.label is not None and _is_label(table.header[columns.label])
    if not (called or columns.classes or options.columns) and (deep := _nested_labels(first)):
        raise ListRefusedError(
            f"{name}: the field {deep} of its records holds objects, and which part of them is the "
            'label is not known; write {"file": …, "label": …}, or a table of file,label'
        )
    doubts = open_doubts(table, columns, options)
    found = read_or_ask(
        table, columns, doubts, layout="JSON records", task=options.task, source=source
    )
    if found.otherwise:
        return replace(found, otherwise=_with_notes(found.otherwise, table, columns, broken, names))
    return found if found.doubts else _with_notes(found, table, columns, broken, names)


def _with_notes(
    found: ListReading,
    table: Table,
    columns: Columns,
    broken: Sequence[Rejection],
    names: Mapping[str, str],
) -> ListReading:
    """``found`` with the class names of the same object; null means that nothing is stated, not
    that none of the labels applies."""
    labels = columns.labels
    null = {
        table.place(row) for row in table.body if labels and not any(row.cells[at] for at in labels)
    }
    given = {label for item in found.statements for label in item.labels or ()}
    names = names if given and given <= names.keys() else {}
    statements = [
        replace(
            item,
            labels=None
            if item.place in null or item.labels is None
            else tuple(names.get(label, label) for label in item.labels),
        )
        for item in found.statements
        if all(item.labels or ())
    ]
    empty = [
        Rejection(f"{item.place} {item.file}", "an empty label", of_list=True)
        for item in found.statements
        if not all(item.labels or ())
    ]
    understood = f"{found.understood}{', names of classes in the same file' if names else ''}"
    warnings = [text for text in found.warnings if not (names and "labels are numbers" in text)]
    rejections = (*broken, *found.rejections, *empty)
    return ListReading(understood, statements, rejections, warnings)


def _nested_labels(records: Sequence[tuple[int, Fields]]) -> str | None:
    """The field named label that holds objects; ``None`` if there is none."""
    keys = dict.fromkeys(key for _, record in records[:_SAMPLE] for key in record)
    return next(
        (
            key
            for key in keys
            if any(map(_is_label, key.split(".")))
            and any(_is_deep(record.get(key)) for _, record in records[:_SAMPLE])
        ),
        None,
    )


def _is_label(key: str) -> bool:
    """Whether a field, or the last part of its path, is named like labels."""
    return bool({plain(key), plain(key.rpartition(".")[2])} & LABEL_COLUMNS)


def _is_deep(value: object) -> bool:
    """Whether a value is an object, or a list with objects or lists."""
    return isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(item, dict | list) for item in value)
    )


def _names_images(table: Table, names_a_file: Callable[[str], bool]) -> bool:
    """Whether a column names images in most of the records; else the JSON is about something
    else."""
    sample = table.sample()[:_SAMPLE]
    return any(
        2 * sum(names_image(row[at]) or names_a_file(row[at]) for row in sample) > len(sample)
        for at in range(table.width)
    )


def _lookup(finder: FileFinder) -> Callable[[str], bool]:
    """Return a function that checks whether a text names an image of the source."""

    @lru_cache(maxsize=1 << 16)
    def names_a_file(cell: str) -> bool:
        return bool(cell) and any(map(has_image_suffix, finder.find(cell)))

    return names_a_file


# --- from JSON to a table ---------------------------------------------------------------------


def _table(name: str, records: list[tuple[int, Fields]]) -> Table | None:
    """The records as a table; ``records`` is emptied to save memory."""
    deep = {key for _, record in records for key, value in record.items() if _is_deep(value)}
    header = [
        key
        for key in dict.fromkeys(key for _, record in records for key in record)
        if key not in deep
    ]
    if not header or len(header) > _MOST_FIELDS:
        return None  # no table: its size would be records times fields
    lists = {key for _, record in records for key, value in record.items() if _is_list(value)}
    rows = []
    kept = Kept()
    records.reverse()
    while records:
        number, record = records.pop()
        cells = [_cell(record.get(key), as_list=key in lists) for key in header]
        rows.append(Row(number, kept.once(cells)))
    return Table(name, tuple(header), len(header), rows)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _cell(value: object, *, as_list: bool) -> str:
    """A value as a table cell; lists, and all values of their column, as JSON."""
    if value is None or value == "":
        return ""
    if as_list:
        return json.dumps(value if isinstance(value, list) else [value], ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _flat(record: Fields, depth: int = _NESTED) -> Fields:
    """Flatten objects in a record to fields (``label.name``), and replace label objects by their
    names.

    A record that only maps an image to its label (``{"a.jpg": "cat"}``) gets field names.
    """
    if depth == _NESTED and len(record) == 1:
        (key, value), *_ = record.items()
        if names_image(key):
            record = {_FILE: key, "label": value}
    found: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict) and value and depth:
            inner = _flat(value, depth - 1)
            found.update((f"{key}.{part}", item) for part, item in inner.items())
        else:
            # Each line of JSON Lines has its own copy of the field names.
            found[intern(key)] = [*map(_named, value)] if isinstance(value, list) else value
    return found


def _named(item: object) -> object:
    if isinstance(item, dict) and not PEOPLE.intersection(map(plain, item)):
        named = [item[key] for key in _NAMES if isinstance(item.get(key), str)]
        return named[0] if len(named) == 1 else item
    return item


def _has_text(record: Fields) -> bool:
    return any(isinstance(value, str | dict) for value in record.values())


def _from_object(value: object) -> Iterator[Fields]:
    """The records of an object, in any of the forms."""
    if not isinstance(value, dict) or not value:
        return
    parts = [(split_of(key), part) for key, part in value.items()]
    if all(split and isinstance(part, list) for split, part in parts):
        for split, part in parts:
            yield from ({**item, _SPLIT: split} for item in part if isinstance(item, dict))
    elif _are_columns(value):
        yield from _from_columns(value)
    elif isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        header = [str(key) for key in value["columns"]]
        rows = (row for row in value["data"] if isinstance(row, list))
        yield from (dict(zip(header, row, strict=False)) for row in rows)
    elif all(isinstance(part, dict) for part in value.values()):
        yield from ({_FILE: key, **part} for key, part in value.items())
    else:
        lists = [part for part in value.values() if _is_list(part) and part]
        records = [part for part in lists if all(isinstance(item, dict) for item in part)]
        # A single object is a record only if a field is named label: many images have a JSON with
        # metadata beside them.
        one = [value] if LABEL_COLUMNS.intersection(map(plain, value)) else []
        yield from records[0] if len(records) == 1 else one


def _are_columns(value: Fields) -> bool:
    """``{"image": {"0": "a.jpg"}, "label": {"0": "cat"}}``, or the same with lists."""
    if len(value) < 2 or not FILE_COLUMNS.intersection(map(plain, value)):
        return False
    parts = list(value.values())
    if all(isinstance(part, dict) for part in parts):
        return all(part.keys() == parts[0].keys() for part in parts)
    return all(_is_list(part) and len(part) == len(parts[0]) for part in parts)


def _from_columns(value: Fields) -> Iterator[Fields]:
    columns = [list(part.values()) if isinstance(part, dict) else part for part in value.values()]
    for row in zip(*columns, strict=True):
        yield dict(zip(value, row, strict=True))

"""VGG Image Annotator's CSV export: the attributes of files and regions are JSON in cells."""

import csv
import io
import json
from dataclasses import replace
from typing import Any

from labelling.sources.lists.labels.not_labels import SAYS_WHERE
from labelling.sources.lists.list_format import (
    ListFile,
    ListReading,
    ListRefusedError,
    Surroundings,
)
from labelling.sources.lists.shapes.image_tags import read_attributes
from labelling.sources.lists.text.encoding import decode_list
from labelling.sources.reading import ReadingOptions

_FILE, _ATTRIBUTES, _SHAPE = "filename", "file_attributes", "region_shape_attributes"
_NEEDED = {_FILE, _ATTRIBUTES, _SHAPE}
_NOTHING = ("", "{}")


class ViaTable:
    """``filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,…``."""

    name = "VGG Image Annotator's CSV"

    def read(
        self, file: ListFile, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the file attributes in the table.

        Args:
            file: the list: its name and its bytes.
            options: what the user decided.
            source: the files around the list; not used.

        Returns:
            What the attributes say, or the doubts to be decided first; ``None`` if the columns are
            missing.

        Raises:
            ListRefusedError: there are regions, or a cell is not JSON.
        """
        head = file.data[: 1 << 12].replace(b"\0", b"")
        if not all(column.encode() in head for column in _NEEDED):
            return None
        decoded = decode_list(file.name, file.data, options.encoding)
        if decoded.doubt:
            return ListReading(self.name, (), doubts=[decoded.doubt])
        for delimiter in ",;\t":  # a semicolon, if a spreadsheet program saved it
            # VIA itself writes a # before its header.
            text = io.StringIO(decoded.text.removeprefix("#"), newline="")
            rows = csv.DictReader(text, delimiter=delimiter)
            if set(rows.fieldnames or ()) >= _NEEDED:
                entries = _entries(file.name, rows)
                found = read_attributes(file.name, entries, options)
                warnings = [decoded.warning] if decoded.warning else []
                return found and replace(found, warnings=[*warnings, *found.warnings])
        return None


def _entries(name: str, rows: "csv.DictReader[str]") -> dict[str, dict[str, Any]]:
    """The entries of the rows, by line.

    Raises:
        ListRefusedError: there are regions, or a cell that is not JSON.
    """
    entries: dict[str, dict[str, Any]] = {}
    try:
        for row in rows:
            if (row[_SHAPE] or "").strip() not in _NOTHING:
                raise ListRefusedError(f"{name}: VGG Image Annotator's regions, {SAYS_WHERE}")
            attributes = json.loads(row[_ATTRIBUTES] or "{}")
            if not isinstance(attributes, dict):
                raise ValueError("no object")
            place = f"line {rows.line_num}"
            entries[place] = {_FILE: row[_FILE], _ATTRIBUTES: attributes}
    except (csv.Error, ValueError) as error:
        raise ListRefusedError(
            f"{name}: line {rows.line_num} is broken ({error}); export it again"
        ) from None
    return entries

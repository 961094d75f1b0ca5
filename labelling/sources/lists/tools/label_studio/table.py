"""Label Studio's CSV and TSV exports (https://labelstud.io/guide/export.html#CSV).

As ``label_studio_sdk.converter.exports.csv2`` writes them: UTF-8, columns in alphabetical order,
everything but numbers in quotation marks.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace

from labelling.sources.containers.containers import Rejection
from labelling.sources.lists.list_format import (
    ListFile,
    ListReading,
    Surroundings,
)
from labelling.sources.lists.plain_json.document import Record
from labelling.sources.lists.text.encoding import decode_list
from labelling.sources.lists.tools.label_studio.rows import FIXED, is_row, read_rows
from labelling.sources.reading import ReadingOptions


class LabelStudioTable:
    """``annotation_id,annotator,choice,created_at,id,image,lead_time,updated_at``."""

    name = "Label Studio's CSV export"

    def read(
        self, file: ListFile, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the Choices in the rows.

        Args:
            file: the list: its name and its bytes.
            options: what the user decided.
            source: the files around the list.

        Returns:
            What was chosen, or the doubts to be decided first; ``None`` if it is not in this
            format.

        Raises:
            ListRefusedError: the export has no Choices of whole images, or cannot be used as a
                whole.
        """
        head = file.data[: 1 << 16].replace(b"\0", b"")  # UTF-16, by a spreadsheet program
        if not all(column.encode() in head for column in FIXED):
            return None
        decoded = decode_list(file.name, file.data, options.encoding)
        if decoded.doubt:
            return ListReading(self.name, (), doubts=[decoded.doubt])
        text = decoded.text
        # A semicolon, if a spreadsheet program saved it.
        for delimiter in ",\t;":
            header = next(csv.reader([text.partition("\n")[0]], delimiter=delimiter), [])
            if is_row(dict.fromkeys(header)):
                rows = _rows(file.name, text, delimiter)
                found = read_rows(file.name, rows, options, source, in_order=False)
                warnings = [decoded.warning] if decoded.warning else []
                return replace(found, warnings=[*warnings, *found.warnings])
        return None


def _rows(name: str, text: str, delimiter: str) -> Iterator[Record | Rejection]:
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restkey="")
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            yield Rejection(f"{name}:{reader.line_num}", f"broken line: {error}")
            continue
        if row is None:
            return
        place = f"{name}:{reader.line_num}"
        if "" in row or None in row.values():
            wanted = f"the header has {len(reader.fieldnames or ())} columns"
            yield Rejection(place, f"{wanted}, and this line more or fewer")
        else:
            yield Record(place, row)

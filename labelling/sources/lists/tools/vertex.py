"""Data sets of Google's Vertex AI and AutoML Vision: JSON Lines, and CSV without a header.

https://cloud.google.com/vertex-ai/docs/image-data/classification/prepare-data (import and export,
a single label as ``classificationAnnotation``, several as ``classificationAnnotations``),
https://cloud.google.com/vision/automl/docs/prepare (CSV: ``ML_USE,GCS_FILE_PATH,LABEL,…`` with
``TRAIN``, ``VALIDATION``, ``TEST`` or ``UNASSIGNED``).
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from labelling.sources.containers.containers import Rejection
from labelling.sources.lists.labels.not_labels import SAYS_WHERE
from labelling.sources.lists.list_format import (
    ListFile,
    ListReading,
    ListRefusedError,
    Surroundings,
)
from labelling.sources.lists.plain_json.document import JsonDocument
from labelling.sources.lists.statements import Statements, split_of
from labelling.sources.lists.text.encoding import decode_list
from labelling.sources.reading import ReadingOptions, Split

_IMAGE = "imageGcsUri"
_SINGLE, _SEVERAL = "classificationAnnotation", "classificationAnnotations"
_ML_USE = "aiplatform.googleapis.com/ml_use"
_UNASSIGNED = ("unassigned", "")
_SAMPLE = 50
_NUMBER = re.compile(r"-?\d*\.?\d+(e-?\d+)?", re.IGNORECASE)


class VertexLines:
    """``{"imageGcsUri": "gs://…", "classificationAnnotation": {"displayName": "daisy"}}``."""

    name = "Vertex AI's JSON Lines"

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the classification annotations of the lines.

        Args:
            document: the list, decoded record by record.
            options: what the user decided.
            source: the files around the list; not used.

        Returns:
            What the annotations say; ``None`` if it is not in this format.

        Raises:
            ListRefusedError: there are only annotations of another kind, such as boxes.
        """
        if not document.mostly(lambda record: isinstance(record.get(_IMAGE), str)):
            return None
        statements = Statements(document.name, options)
        others: set[str] = set()
        for record in statements.usable(document.records()):
            others.update(key for key in record.value if _is_other_annotation(key))
            labels = _display_names(record.value)
            use = record.value.get("dataItemResourceLabels")
            split = split_of(use.get(_ML_USE)) if isinstance(use, dict) else None
            statements.add(record.place, record.value.get(_IMAGE), labels, split)
        if others and not any(statement.labels for statement in statements.taken):
            raise ListRefusedError(
                f"{document.name} is a data set of Vertex AI with {', '.join(sorted(others))}, "
                f"{SAYS_WHERE}"
            )
        left = [f"only classes are read; {', '.join(sorted(others))} is left out"]
        return statements.reading("Vertex AI data set (JSON Lines)", left if others else ())


def _is_other_annotation(key: str) -> bool:
    return key.lower().endswith(("annotation", "annotations", "maskgcsuri")) and key not in (
        _SINGLE,
        _SEVERAL,
    )


def _display_names(record: Mapping[str, Any]) -> list[object] | None:
    """The labels; ``None`` if the image has not been labelled."""
    single, several = record.get(_SINGLE), record.get(_SEVERAL)
    given = several if isinstance(several, list) else single if single is None else [single]
    if given is None:
        return None
    return [item.get("displayName") if isinstance(item, dict) else item for item in given]


class VertexTable:
    """``training,gs://bucket/a.jpg,daisy``; the first column and the labels may be absent."""

    name = "Vertex AI's CSV"

    def read(
        self, file: ListFile, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the table.

        Args:
            file: the list: its name and its bytes.
            options: what the user decided.
            source: the files around the list; not used.

        Returns:
            What the rows say, or the doubt of its encoding; ``None`` if it is not in this format,
            or columns are given.

        Raises:
            ListRefusedError: the rows have bounding boxes.
        """
        if b"gs://" not in file.data[: 1 << 12].replace(b"\0", b""):
            return None
        decoded = decode_list(file.name, file.data, options.encoding)
        text = decoded.text
        rows = [row for row in islice(_rows(file.name, text), _SAMPLE) if isinstance(row, tuple)]
        if not rows or options.columns or not all(map(_is_ours, (cells for _, cells in rows))):
            return None
        if any(_is_box(cells) for _, cells in rows):
            raise ListRefusedError(
                f"{file.name} is a CSV of Vertex AI with bounding boxes, {SAYS_WHERE}"
            )
        if decoded.doubt:
            return ListReading(self.name, (), doubts=[decoded.doubt])
        return _read_rows(file.name, text, options, [decoded.warning] if decoded.warning else [])


def _read_rows(
    name: str, text: str, options: ReadingOptions, warnings: Sequence[str]
) -> ListReading:
    statements = Statements(name, options)
    for row in _rows(name, text):
        if isinstance(row, Rejection):
            statements.reject(row.name, row.reason)
            continue
        place, cells = row
        if not _is_ours(cells):
            statements.reject(place, "names no image of Cloud Storage (gs://…)")
            continue
        use, file, labels = _parts(cells)
        statements.add(place, file, labels or None, use)
    return statements.reading("Vertex AI data set (CSV: use, gs://…, labels)", warnings)


def _rows(name: str, text: str) -> Iterator[tuple[str, list[str]] | Rejection]:
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Rejection(f"{name}:{reader.line_num}", f"broken line: {error}")
            continue
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield f"{name}:{reader.line_num}", [cell.strip() for cell in cells]


def _is_ours(cells: Sequence[str]) -> bool:
    """Whether a row begins with ``gs://…``, or with a use and then that."""
    if cells[0].startswith("gs://"):
        return True
    is_use = split_of(cells[0]) is not None or cells[0].lower() in _UNASSIGNED
    return is_use and len(cells) > 1 and cells[1].startswith("gs://")


def _parts(cells: Sequence[str]) -> tuple[Split | None, str, list[str]]:
    first = 0 if cells[0].startswith("gs://") else 1
    use = split_of(cells[0]) if first else None
    return use, cells[first], [cell for cell in cells[first + 1 :] if cell]


def _is_box(cells: Sequence[str]) -> bool:
    """Whether a row is a label and corner positions: ``TRAIN,gs://…,car,0.1,0.1,,,0.3,0.3,,``."""
    numbers = [cell for cell in _parts(cells)[2][1:] if _NUMBER.fullmatch(cell)]
    return len(numbers) >= 4

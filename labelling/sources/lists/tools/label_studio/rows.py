"""One row per annotation: Label Studio's JSON-MIN, CSV and TSV.

As ``label_studio_sdk.converter`` writes them: the fields of the task's data, its ``id``, a column
for each control tag with the one choice as text, or ``{"choices": [...]}`` in JSON, and then
``annotator``, ``annotation_id``, ``created_at``, ``updated_at`` and ``lead_time``.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from labelling.sources.containers.containers import Rejection
from labelling.sources.lists.list_format import ListReading, Surroundings, one_label_column
from labelling.sources.lists.plain_json.document import Record
from labelling.sources.lists.tools.label_studio.answers import (
    Answer,
    Controls,
    TaskAnswers,
    choices_of,
    read_answers,
    shows_image,
)
from labelling.sources.reading import ReadingOptions

FIXED = ("annotator", "annotation_id", "created_at", "updated_at", "lead_time")
"""Columns of every row, by which these exports are recognised."""

_NOT_LABELS = {*FIXED, "id", "agreement", "history"}
_SAMPLE = 500
_USUAL = ("label", "labels", "choice", "choices", "class", "category")


def is_row(record: Mapping[str, Any]) -> bool:
    """Whether a record, or a header, has the columns of these exports."""
    return all(column in record for column in FIXED)


def read_rows(
    name: str,
    rows: Iterable[Record | Rejection],
    options: ReadingOptions,
    source: Surroundings,
    *,
    in_order: bool,
) -> ListReading:
    """Read the rows.

    Args:
        name: of the file, for messages.
        rows: all rows.
        options: ``columns`` names those of the image and the labels.
        source: the files around the file.
        in_order: whether the columns are in the order of the export (JSON-MIN): controls between
            ``id`` and ``annotator``. Those of tables are in alphabetical order.

    Raises:
        ListRefusedError: see ``read_answers``.
    """
    rejections: list[Rejection] = []
    taken: list[Record] = []
    for row in rows:
        if isinstance(row, Record) and is_row(row.value):
            taken.append(row)
        elif isinstance(row, Record):
            rejections.append(Rejection(row.place, f"lacks the columns {', '.join(FIXED)}"))
        else:
            rejections.append(row)
    columns = _label_columns(name, taken, options, in_order=in_order)
    controls = Controls()
    tasks = _tasks(name, taken, columns, controls)
    reading = read_answers(name, tasks, controls, options, source)
    return ListReading(
        reading.understood,
        reading.statements,
        (*rejections, *reading.rejections),
        reading.warnings,
        reading.doubts,
    )


def _label_columns(
    name: str, rows: Sequence[Record], options: ReadingOptions, *, in_order: bool
) -> Sequence[str]:
    """Return the columns that may belong to a control tag; if there are several, the user is asked."""
    seen = dict.fromkeys(column for row in rows for column in row.value)
    if wanted := one_label_column(name, options):
        return [column for column in seen if column == wanted]
    columns = [column for column in seen if column not in _NOT_LABELS]
    if in_order and rows:
        order = max((list(row.value) for row in rows), key=len)
        start = order.index("id") + 1 if "id" in order else 0
        behind = set(order[start : order.index(FIXED[0])])
        columns = [column for column in columns if column in behind or column not in order]
    sample = rows[:_SAMPLE]
    columns = [
        column
        for column in columns
        if not any(shows_image(row.value.get(column)) for row in sample)
    ]
    repeating = [column for column in columns if len(sample) < 4 or _repeats(sample, column)]
    usual = [column for column in repeating if column.lower() in _USUAL]
    return usual if len(usual) == 1 else repeating or columns


def _repeats(rows: Sequence[Record], column: str) -> bool:
    """Whether a value occurs twice, as labels do and numbers of images do not."""
    values = [repr(row.value[column]) for row in rows if row.value.get(column) not in (None, "")]
    return not values or len(set(values)) < len(values)


def _tasks(
    name: str, rows: Sequence[Record], columns: Sequence[str], controls: Controls
) -> list[TaskAnswers]:
    by_task: dict[str, list[Record]] = defaultdict(list)
    for row in rows:
        number = row.value.get("id")
        by_task[row.place if number in (None, "") else f"{name} task {number}"].append(row)
    return [
        TaskAnswers(
            place=place,
            data=group[0].value,
            answers=[
                _answer(row.value, columns, controls)
                for row in group
                if row.value.get("annotation_id") not in (None, "")  # not labelled
            ],
        )
        for place, group in by_task.items()
    ]


def _answer(row: Mapping[str, Any], columns: Sequence[str], controls: Controls) -> Answer:
    choices: dict[str, tuple[str, ...]] = {}
    for column in columns:
        value = _parsed(row.get(column))
        for item in value if isinstance(value, list) else [value]:
            kind, labels = _result(item)
            if kind:
                controls.note(column, kind)
            if kind == "choices":
                choices[column] = choices.get(column, ()) + labels
    return Answer(
        annotator=str(row.get("annotator")),
        at=str(row.get("updated_at") or row.get("created_at") or ""),
        choices=choices,
    )


def _parsed(cell: object) -> object:
    """Return the value of a table cell: parsed JSON, unless it is a single choice."""
    if isinstance(cell, str) and cell[:1] in ("{", "["):
        try:
            return json.loads(cell)
        except (ValueError, RecursionError):
            return cell
    return cell


def _result(value: object) -> tuple[str, tuple[str, ...]]:
    """Return the type of a result, as the exports abbreviate it, and its labels if it is Choices."""
    if isinstance(value, str):
        return ("choices", (value.strip(),)) if value.strip() else ("", ())
    if not isinstance(value, dict):
        return ("", ()) if value is None else ("number", ())
    choices = value.get("choices")
    if isinstance(choices, list) and "x" not in value and "points" not in value:
        return choices_of(choices)
    kinds = [key for key, part in value.items() if isinstance(part, list)]
    return (kinds[0] if kinds else "region").lower(), ()

"""Label Studio's JSON export (https://labelstud.io/guide/export.html#JSON and #JSON-MIN).

``label_studio_sdk.converter`` writes both; its code says what a field means where the page does
not. Export > JSON holds all annotations of a task; JSON-MIN a record for each annotation.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from labelling.sources.containers.containers import Rejection
from labelling.sources.lists.list_format import ListReading, Surroundings
from labelling.sources.lists.plain_json.document import JsonDocument, Record
from labelling.sources.lists.tools.label_studio.answers import (
    Answer,
    Controls,
    TaskAnswers,
    choices_of,
    read_answers,
)
from labelling.sources.lists.tools.label_studio.rows import is_row, read_rows
from labelling.sources.reading import ReadingOptions

_GIVEN = ("annotations", "completions")
"""Where the annotations of a task are; ``completions`` up to version 1.0."""


class LabelStudio:
    """``[{"data": {"image": …}, "annotations": [{"result": […]}]}]``, and JSON-MIN."""

    name = "Label Studio's JSON export"

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the Choices of the tasks, or of the records of JSON-MIN.

        Args:
            document: the list, decoded record by record.
            options: what the user decided.
            source: the files around the list.

        Returns:
            What was chosen, or the doubts to be decided first; ``None`` if it is not in this
            format.

        Raises:
            ListRefusedError: the export has no Choices of whole images, or cannot be used as a
                whole.
        """
        if document.mostly(_is_task):
            return _read_tasks(document.name, document.records(), options, source)
        if tasks := _listed_tasks(document):
            return _read_tasks(document.name, tasks, options, source)
        if document.mostly(is_row):
            return read_rows(document.name, document.records(), options, source, in_order=True)
        return None


def _is_task(record: Mapping[str, Any]) -> bool:
    given = [record.get(key) for key in (*_GIVEN, "predictions")]
    return isinstance(record.get("data"), dict) and any(isinstance(item, list) for item in given)


def _listed_tasks(document: JsonDocument) -> list[Record]:
    """Return the tasks in a response of the API (``GET /api/tasks?fields=all``): ``{"tasks": […]}``."""
    tasks = _dicts(document.value.get("tasks")) if isinstance(document.value, dict) else []
    if not all(map(_is_task, tasks)):
        return []
    return [Record(f"{document.name} record {at}", task) for at, task in enumerate(tasks, 1)]


def _read_tasks(
    name: str,
    records: Iterable[Record | Rejection],
    options: ReadingOptions,
    source: Surroundings,
) -> ListReading:
    tasks: list[TaskAnswers] = []
    rejections: list[Rejection] = []
    controls = Controls()
    for record in records:
        if isinstance(record, Rejection):
            rejections.append(record)
        elif not isinstance(record.value.get("data"), dict):
            rejections.append(Rejection(record.place, "is no task: it has no data"))
        else:
            tasks.append(_task(name, record, controls))
    reading = read_answers(name, tasks, controls, options, source)
    found = (*rejections, *reading.rejections)
    return ListReading(
        reading.understood, reading.statements, found, reading.warnings, reading.doubts
    )


def _task(name: str, record: Record, controls: Controls) -> TaskAnswers:
    value = record.value
    number = value.get("id")
    given = [item for key in _GIVEN for item in _dicts(value.get(key))]
    answered = [item for item in given if not (item.get("was_cancelled") or item.get("skipped"))]
    return TaskAnswers(
        place=f"{name} task {number}" if isinstance(number, int) else record.place,
        data=value["data"],
        answers=[_answer(item, controls) for item in answered],
        skipped=len(answered) < len(given),
        predicted=bool(value.get("predictions")),
    )


def _answer(annotation: Mapping[str, Any], controls: Controls) -> Answer:
    choices: dict[str, tuple[str, ...]] = {}
    others = False
    for region in _dicts(annotation.get("result")):
        control, kind = str(region.get("from_name", "")), str(region.get("type", "")).lower()
        value = region.get("value")
        value = value if isinstance(value, dict) else {}
        if kind == "choices" and ("x" in value or "points" in value):
            kind = "choices of rectangles"  # perRegion: of a part of the picture
        if not control or not kind or kind == "relation":
            continue
        labels: tuple[str, ...] = ()
        if kind == "choices":
            chosen = value.get("choices")
            kind, labels = choices_of(chosen if isinstance(chosen, list) else [])
        controls.note(control, kind)
        if kind == "choices":
            choices[control] = choices.get(control, ()) + labels
        else:
            others = True
    if others and not choices:
        choices[""] = ()  # not an empty annotation: it has results, but no Choices
    return Answer(
        annotator=_annotator(annotation.get("completed_by")),
        at=str(annotation.get("updated_at") or annotation.get("created_at") or ""),
        choices=choices,
        ground_truth=annotation.get("ground_truth") is True,
    )


def _annotator(value: object) -> str:
    return str(value.get("id")) if isinstance(value, dict) else str(value)


def _dicts(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

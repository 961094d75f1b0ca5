"""Labelbox's exports: radio and checklist answers about whole images.

The old export is an array of records with ``Labeled Data``, ``External ID`` and ``Label``
(``labelbox.Project.export_labels``); the new one, v2, has records with ``data_row`` and
``projects``, one per line or in an array (``labelbox.Project.export``; labelbox-python's
``tests/data/export_v2``). ``objects`` are detection, and a ``text_answer`` is not a label.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from labelling.labels.consensus import vote
from labelling.sources.doubt import Doubt
from labelling.sources.lists.labels.not_labels import SAYS_WHERE
from labelling.sources.lists.list_format import (
    ListReading,
    ListRefusedError,
    Surroundings,
    WrongColumnsError,
    one_label_column,
)
from labelling.sources.lists.plain_json.document import JsonDocument
from labelling.sources.lists.statements import Statements, count_of, shown_counts, split_of
from labelling.sources.lists.tools.labelbox_answers import Answers, answers_of, dicts
from labelling.sources.reading import ReadingOptions, Split

_DISAGREE = "annotators disagree; settle it in Labelbox (a benchmark, or a review) and export again"
_TO_REDO = "REWORK"
_TO_REVIEW = "IN_REVIEW"


@dataclass(slots=True)
class _Image:
    """The answers about one image, and the place of the first one."""

    place: str
    or_file: str | None
    split: Split | None = None
    answers: list[Answers] = field(default_factory=list)


@dataclass(slots=True)
class _Export:
    """All images, and counts of other content."""

    images: dict[str, _Image] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def questions(self) -> dict[str, Counter[str]]:
        """How often each label was given, by question."""
        found: dict[str, Counter[str]] = {}
        for image in self.images.values():
            for answer in image.answers:
                for question, labels in answer.choices.items():
                    found.setdefault(question, Counter()).update(labels)
        return found


class Labelbox:
    """``[{"Labeled Data": …, "Label": {"classifications": […]}}]``, and lines of
    ``{"data_row": …, "projects": {…}}``."""

    name = "Labelbox's export"

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the radio and checklist answers about whole images.

        Args:
            document: the list, decoded record by record.
            options: what the user decided.
            source: the files around the list; not used.

        Returns:
            What was answered, or the doubt which question's answers are the labels; ``None`` if it
            is not in this format.

        Raises:
            ListRefusedError: there are no such answers, or ``--columns`` names no question.
        """
        if not document.sample or not document.mostly(_is_ours):
            return None
        statements = Statements(document.name, options)
        export = _Export()
        for record in statements.usable(document.records()):
            if file := _file(record.value):
                _take(export, file, record.place, record.value)
            else:
                statements.reject(record.place, "names no image")
        doubts: list[Doubt] = []
        question = _question(document.name, export, options, doubts)
        for file, image in export.images.items():
            _say(statements, file, image, question, options)
        text = f"{self.name}, answers to {question!r}" if question else self.name
        return statements.reading(text, _warnings(export), doubts)


def _is_ours(record: Mapping[str, Any]) -> bool:
    old = "Labeled Data" in record and "Label" in record
    return old or (
        isinstance(record.get("data_row"), dict) and isinstance(record.get("projects"), dict)
    )


def _file(record: Mapping[str, Any]) -> str | None:
    """The external name of the image; else its address."""
    row = record.get("data_row")
    given: Iterable[object]
    if isinstance(row, dict):
        given = (row.get("external_id"), row.get("global_key"), row.get("row_data"))
    else:
        given = (record.get("External ID"), record.get("Labeled Data"))
    return next((one for one in given if isinstance(one, str) and one.strip()), None)


def _take(export: _Export, file: str, place: str, record: Mapping[str, Any]) -> None:
    row = record.get("data_row")
    address = row.get("row_data") if isinstance(row, dict) else record.get("Labeled Data")
    image = export.images.setdefault(
        file, _Image(place, address if isinstance(address, str) else None)
    )
    image.split = image.split or _split(record)
    for label in _labels(record, export.notes):
        answers = answers_of(label)
        export.others.update(answers.others)
        image.answers.append(answers)


def _split(record: Mapping[str, Any]) -> Split | None:
    """The split in Labelbox's metadata."""
    for item in dicts(record.get("metadata_fields")):
        if split_of(str(item.get("schema_name"))) or item.get("schema_name") == "split":
            return split_of(item.get("value"))
    return None


def _labels(record: Mapping[str, Any], notes: Counter[str]) -> Iterator[Mapping[str, Any]]:
    """The labels of each annotator, without skipped and rejected ones."""
    if isinstance(record.get("data_row"), dict):
        for project in dicts([*record["projects"].values()]):
            details = project.get("project_details")
            status = details.get("workflow_status") if isinstance(details, dict) else None
            labels = dicts(project.get("labels"))
            notes[_TO_REVIEW] += bool(labels) and status == _TO_REVIEW
            if status == _TO_REDO:
                notes[_TO_REDO] += bool(labels)
                continue
            yield from labels
        return
    scores = [item.get("score") for item in dicts(record.get("Reviews"))]
    if record.get("Skipped") is True or record.get("Label") in ("Skip", None, {}):
        notes["skipped"] += 1
    elif sum(score for score in scores if isinstance(score, int | float)) < 0:
        notes[_TO_REDO] += 1
    else:
        yield record


def _question(
    name: str, export: _Export, options: ReadingOptions, doubts: list[Doubt]
) -> str | None:
    """The question whose answers are the labels; ``None`` if nothing is labelled, or the user has
    to be asked."""
    questions = export.questions()
    if not questions and export.others["drawn"]:
        raise ListRefusedError(f"{name} is a Labelbox export of objects, {SAYS_WHERE}")
    if not questions and export.others:
        raise ListRefusedError(
            f"{name} is a Labelbox export without radio or checklist answers about whole images "
            f"(it holds {', '.join(sorted(export.others))}), so it gives no image a label"
        )
    if wanted := one_label_column(name, options):
        numbers = dict(zip(map(str, range(1, len(questions) + 1)), questions, strict=True))
        if (chosen := wanted if wanted in questions else numbers.get(wanted)) is None:
            raise WrongColumnsError(
                f"{name}: no question is called {wanted!r}; there are {', '.join(questions)} (1 to "
                f"{len(questions)})"
            )
        return chosen
    if len(questions) > 1:
        answers = [
            (f"--columns image,{number}", f"{question}: {shown_counts(counts)}")
            for number, (question, counts) in enumerate(questions.items(), 1)
        ]
        doubts.append(Doubt(f"{name}: which question's answers are the labels?", tuple(answers)))
        return None
    return next(iter(questions), None)


def _say(
    statements: Statements, file: str, image: _Image, question: str | None, options: ReadingOptions
) -> None:
    """Add one statement for all answers about an image."""
    given = [one for one in image.answers if question in one.choices]
    given = [one for one in given if one.benchmark] or given
    choices = [one.choices[question] for one in given if question is not None]
    labels: Sequence[str] | None = choices[0] if choices else None
    if len(choices) > 1:
        most, contradicted = vote([frozenset(one) for one in choices], options.task)
        if contradicted:
            counts = Counter(" + ".join(sorted(one)) or "nothing" for one in choices)
            statements.reject(f"{image.place} {file}: {shown_counts(counts)}", _DISAGREE)
            return
        labels = sorted(most)
    statements.add(image.place, file, labels, image.split, image.or_file)


def _warnings(export: _Export) -> list[str]:
    notes, lines = export.notes, []
    if notes["skipped"]:
        lines.append(f"skipped, so not labelled: {count_of(notes['skipped'], 'record')}")
    if notes[_TO_REDO]:
        lines.append(
            f"rejected by reviewers, so not labelled: {count_of(notes[_TO_REDO], 'record')}"
        )
    if notes[_TO_REVIEW]:
        text = "still to be reviewed, and taken as the others are"
        lines.append(f"{text}: {count_of(notes[_TO_REVIEW], 'record')}")
    if export.others and export.questions():
        kinds = ", ".join(sorted(export.others))
        lines.append(f"only radio and checklist answers are read; the rest ({kinds}) is left out")
    return lines

"""The annotations of a Label Studio export, in any of its formats.

Skipped tasks and predictions are ignored. Ground truth takes precedence; else the newest annotation
of each annotator counts, and several annotators are united as in ``labelling.labels.consensus``.
"""

import re
from base64 import b64decode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, urlsplit

from labelling.labels.consensus import vote
from labelling.sources.doubt import Doubt
from labelling.sources.lists.files.index import FileIndex
from labelling.sources.lists.labels.not_labels import SAYS_WHERE
from labelling.sources.lists.list_format import (
    ListReading,
    ListRefusedError,
    Surroundings,
    WrongColumnsError,
    one_label_column,
)
from labelling.sources.lists.statements import (
    Statements,
    count_of,
    names_image,
    shown_counts,
    split_of,
)
from labelling.sources.reading import ReadingOptions

_SERVED = re.compile(r"/data/upload/|/data/local-files/|[?&]fileuri=")
_USUAL_FIELDS = ("image", "img", "image_url", "picture", "photo", "url", "file", "filename", "path")
_UPLOAD = re.compile(r"(?:^|/)(upload/(?:\d+/)?[0-9a-f]{8}-([^/]+))$")
_SAMPLE = 200
_SPLIT = "split"
"""The data field with the split, as imgclf export and others write it."""

_DRAWN = re.compile(r"rectangle|polygon|brush|ellipse|keypoint|bitmask|vector|hypertext|cuboid")


@dataclass(frozen=True, slots=True)
class Answer:
    """An annotation.

    Attributes:
        annotator: id of the annotator.
        at: time of the last change (ISO 8601).
        choices: labels by control tag (``from_name``).
        ground_truth: whether it is marked as ground truth.
    """

    annotator: str
    at: str
    choices: Mapping[str, tuple[str, ...]]
    ground_truth: bool = False


@dataclass(frozen=True, slots=True)
class TaskAnswers:
    """A task.

    Attributes:
        place: its place in the file, for messages.
        data: its data.
        answers: its annotations that were not skipped.
        skipped: whether somebody skipped it.
        predicted: whether it has predictions.
    """

    place: str
    data: Mapping[str, Any]
    answers: Sequence[Answer]
    skipped: bool = False
    predicted: bool = False


@dataclass
class Controls:
    """Counts of an export's regions.

    Attributes:
        choices: by control, of Choices.
        others: by type and control, of other types.
    """

    choices: Counter[str] = field(default_factory=Counter)
    others: dict[str, Counter[str]] = field(default_factory=dict)

    def note(self, control: str, kind: str) -> None:
        if kind == "choices":
            self.choices[control] += 1
        else:
            self.others.setdefault(kind, Counter())[control] += 1

    def drawn(self) -> list[str]:
        return [kind for kind in self.others if _DRAWN.search(kind)]


def read_answers(
    name: str,
    tasks: Sequence[TaskAnswers],
    controls: Controls,
    options: ReadingOptions,
    source: Surroundings,
) -> ListReading:
    """Return the statements of an export.

    Args:
        name: of the file, for messages.
        tasks: all tasks.
        controls: what was found in their results.
        options: ``columns`` names the field with the image, and the control with the labels.
        source: the files around the export, to recognise the field with the image.

    Raises:
        ListRefusedError: the export holds boxes, a taxonomy or no images at all.
    """
    _refuse_other_kinds(name, controls)
    doubts: list[Doubt] = []
    image = _image_field(name, tasks, controls, options, source.files, doubts)
    control = _control(name, tasks, controls, image, options, doubts)
    statements = Statements(name, options)
    majority = 0
    has_splits = all(split_of(task.data.get(_SPLIT)) for task in tasks)
    for task in tasks:
        labels, contradicted, voices = _majority(task, control, options)
        file, or_file = image_name(task.data.get(image))
        if contradicted:
            statements.reject(f"{task.place} {file}: {voices}", _DISAGREE)
            continue
        majority += "," in voices
        split = split_of(task.data.get(_SPLIT)) if has_splits else None
        statements.add(task.place, file, labels, split, or_file)
    warnings = _warnings(tasks, controls, majority)
    understood = f"Label Studio export, labels of {control!r}" if control else "Label Studio export"
    return statements.reading(f"{understood}, images of {image!r}", warnings, doubts)


_DISAGREE = (
    "annotators disagree; settle it in Label Studio (mark one annotation as ground truth) and "
    "export again"
)


def image_name(value: object) -> tuple[object, str | None]:
    """Return the image of a task, and an alternative name of its file.

    Label Studio prefixes the name of an uploaded file with 8 digits
    (``/data/upload/1/ab12cd34-cat.jpg``), and serves local files as
    ``/data/local-files/?d=photos/cat.jpg`` (https://labelstud.io/guide/storage.html).
    """
    text = value if isinstance(value, str) else ""
    if upload := _UPLOAD.search(text):
        return upload[1], upload[2]
    try:
        url = urlsplit(text)
        query = parse_qs(url.query)
        if "/local-files" in url.path and query.get("d"):
            return query["d"][0], None
        if query.get("fileuri"):
            return b64decode(query["fileuri"][0], validate=True).decode(), None
    except ValueError:  # such as a broken IPv6 address, or no base64
        pass
    return value, None


def choices_of(answers: Sequence[object]) -> tuple[str, tuple[str, ...]]:
    """Return the type of a result of Choices, and its labels; nested Choices have no labels here."""
    if any(isinstance(choice, list) for choice in answers):  # allowNested: paths
        return "taxonomy", ()
    return "choices", tuple(map(str, answers))


def _refuse_other_kinds(name: str, controls: Controls) -> None:
    if controls.choices:
        return
    if "taxonomy" in controls.others:
        shown = ", ".join(map(repr, controls.others["taxonomy"]))
        raise ListRefusedError(
            f"{name} is a Label Studio export whose labels are of a Taxonomy, or of "
            f"nested Choices ({shown}): a hierarchy, and a model here has classes of one level. "
            "Label with plain Choices, or write the wanted level into a table of file,label"
        )
    if drawn := controls.drawn():
        raise ListRefusedError(
            f"{name} is a Label Studio export of {', '.join(sorted(drawn))}, {SAYS_WHERE}"
        )
    if controls.others:
        raise ListRefusedError(
            f"{name} is a Label Studio export without Choices (it holds "
            f"{', '.join(sorted(controls.others))}), so it gives no image a label"
        )


# --- which field shows the image, which control gives the labels -------------------------


def _image_field(
    name: str,
    tasks: Sequence[TaskAnswers],
    controls: Controls,
    options: ReadingOptions,
    files: FileIndex,
    doubts: list[Doubt],
) -> str:
    sample = [task.data for task in islice(tasks, _SAMPLE)]
    if options.columns:
        wanted = options.columns[0]
        if not any(wanted in data for data in sample):
            have = ", ".join(dict.fromkeys(key for data in sample for key in data))
            raise WrongColumnsError(f"{name}: the tasks have no field {wanted!r}; they have {have}")
        return wanted
    found = Counter(key for data in sample for key, value in data.items() if shows_image(value))
    fields = [key for key, count in found.items() if 2 * count >= len(sample)]
    if not fields:
        fields = [
            key
            for key in _USUAL_FIELDS
            if 2 * sum(isinstance(data.get(key), str) for data in sample) > len(sample)
        ][:1]
    if not fields:
        have = ", ".join(dict.fromkeys(key for data in sample for key in data)) or "no field"
        raise ListRefusedError(
            f"{name} is a Label Studio export whose tasks show no picture ({have}); if one of the "
            "fields names it: --columns FIELD,CONTROL"
        )
    fields.sort(key=lambda key: (key not in _USUAL_FIELDS, key))
    if len({_file_names(sample, key) for key in fields}) > 1:
        there = [key for key in fields if any(map(files.by_base, _file_names(sample, key)))]
        if len(there) == 1:
            return there[0]
        control = next(iter(controls.choices), "CONTROL")
        answers = tuple(
            (f"--columns {key},{control}", f"images such as {_file_names(sample, key)[0]}")
            for key in fields
        )
        doubts.append(Doubt(f"{name}: which field of the tasks names the image?", answers))
    return fields[0]


def shows_image(value: object) -> bool:
    """Whether a value of a task is the path or URL of an image."""
    return names_image(value) or (isinstance(value, str) and bool(_SERVED.search(value)))


def _file_names(sample: Sequence[Mapping[str, Any]], key: str) -> tuple[str, ...]:
    values = (image_name(data.get(key))[0] for data in sample)
    return tuple(PurePosixPath(str(value).partition("?")[0]).name for value in values)


def _control(
    name: str,
    tasks: Sequence[TaskAnswers],
    controls: Controls,
    image: str,
    options: ReadingOptions,
    doubts: list[Doubt],
) -> str | None:
    """Return the control tag that counts; ``None`` if nothing is labelled, or the user must choose."""
    names = sorted(controls.choices)
    if (wanted := one_label_column(name, options)) and names:
        if wanted not in names:
            raise WrongColumnsError(
                f"{name}: no Choices are named {wanted!r}; there are {', '.join(names)}"
            )
        return wanted
    if len(names) < 2:
        return names[0] if names else None
    answers = []
    for control in names:
        choices = (answer.choices.get(control, ()) for task in tasks for answer in task.answers)
        counts = Counter(label for labels in choices for label in labels)
        answers.append((f"--columns {image},{control}", f"classes: {shown_counts(counts)}"))
    doubts.append(Doubt(f"{name}: which Choices are the labels?", tuple(answers)))
    return None


# --- what counts of several annotations --------------------------------------------------


def _majority(
    task: TaskAnswers, control: str | None, options: ReadingOptions
) -> tuple[tuple[str, ...] | None, bool, str]:
    """Return the labels, whether the vote is tied, and the counts of the annotators' labels."""
    given = [answer for answer in task.answers if control in answer.choices or not answer.choices]
    if control is None or not given:
        return None, False, ""
    given = [answer for answer in given if answer.ground_truth] or given
    newest: dict[str, Answer] = {}
    for answer in sorted(given, key=lambda answer: answer.at):
        newest[answer.annotator] = answer
    choices = [answer.choices.get(control, ()) for answer in newest.values()]
    if len(choices) == 1:
        return choices[0], False, ""
    labels, contradicted = vote([frozenset(one) for one in choices], options.task)
    counts = Counter(" + ".join(sorted(one)) or "nothing" for one in choices)
    return tuple(sorted(labels)), contradicted, shown_counts(counts)


def _warnings(tasks: Sequence[TaskAnswers], controls: Controls, majority: int) -> list[str]:
    skipped = sum(task.skipped and not task.answers for task in tasks)
    guessed = sum(task.predicted and not task.answers for task in tasks)
    notes = []
    if majority:
        disagree = "annotators disagree, and the majority counts"
        notes.append(f"{disagree}: {count_of(majority, 'task')}")
    if skipped:
        notes.append(f"skipped, so not labelled: {count_of(skipped, 'task')}")
    if guessed:
        notes.append(f"predictions alone, which are no labels: {count_of(guessed, 'task')}")
    if controls.choices and controls.others:
        kinds = ", ".join(sorted(controls.others))
        notes.append(f"only Choices are read; other annotations ({kinds}) are left out")
    return notes

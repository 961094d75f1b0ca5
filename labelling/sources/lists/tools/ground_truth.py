"""A manifest of SageMaker Ground Truth, or of Rekognition Custom Labels: JSON Lines.

Fields: https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html (classification: the
label is ``class-name`` of the metadata; multi-label: a list of numbers, named by ``class-map``),
https://docs.aws.amazon.com/rekognition/latest/customlabels-dg/md-create-manifest-file-classification.html
(an attribute ``NAME_LABEL`` for each label of an image), and, without metadata,
https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html (``{"source-ref": …,
"class": "0"}``).
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from labelling.sources.containers.containers import Rejection
from labelling.sources.doubt import Doubt
from labelling.sources.lists.list_format import (
    ListReading,
    ListRefusedError,
    Surroundings,
    WrongColumnsError,
    one_label_column,
)
from labelling.sources.lists.plain_json.document import JsonDocument, Record
from labelling.sources.lists.statements import (
    Statements,
    as_label,
    count_of,
    shown,
    shown_counts,
)
from labelling.sources.reading import ReadingOptions

_IMAGE = "source-ref"
_METADATA = "-metadata"
_VERIFIES = "label-verification"
_UNSURE = 0.5
_UNDECIDED = "Ground Truth manifest"

Labels = tuple[str, ...]


@dataclass(slots=True)
class _Line:
    """One image: ``labels`` by the attribute that gives them."""

    place: str
    file: object
    labels: dict[str, Labels]


@dataclass
class _Manifest:
    """The content of a manifest."""

    lines: list[_Line] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    other_jobs: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    automatic: int = 0
    unsure: int = 0

    @property
    def attributes(self) -> list[str]:
        return sorted({name for line in self.lines for name in line.labels})


class GroundTruth:
    """``{"source-ref": "s3://…", "sport": 0, "sport-metadata": {"class-name": "football"}}``."""

    name = "Ground Truth's manifest"

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the label attributes of the lines.

        Args:
            document: the list, decoded record by record.
            options: what the user decided.
            source: the files around the list; not used.

        Returns:
            What the attributes say, or the doubt which one holds the labels; ``None`` if it is no
            manifest.

        Raises:
            ListRefusedError: the manifest gives no image a class, or ``--columns`` names no
                attribute of it.
        """
        if document.mostly(lambda record: isinstance(record.get(_IMAGE), str)):
            return _read_lines(document, options)
        if document.mostly(_is_of_a_worker):
            warning = "answers of single workers of Ground Truth; its manifest gives the labels"
            return ListReading("Ground Truth's working file", (), warnings=[warning])
        return None


def _is_of_a_worker(record: Mapping[str, Any]) -> bool:
    """Whether a record is from the job's folder ``annotations``: worker responses,
    consolidation."""
    answers = record.get("answers")
    first = answers[0] if isinstance(answers, list) and answers else None
    return "datasetObjectId" in record or (isinstance(first, dict) and "workerId" in first)


def _read_lines(document: JsonDocument, options: ReadingOptions) -> ListReading:
    manifest = _Manifest()
    bare: list[_Line] = []
    for record in document.records():
        if isinstance(record, Rejection):
            manifest.rejections.append(record)
        elif not isinstance(record.value.get(_IMAGE), str):
            manifest.rejections.append(Rejection(record.place, f"has no {_IMAGE}"))
        else:
            manifest.lines.append(_line(record, manifest))
            bare.append(_Line(record.place, record.value[_IMAGE], _scalars(record.value)))
    if not manifest.attributes and not manifest.other_jobs:
        manifest.lines = bare
    return _read(document.name, manifest, options)


def _line(record: Record, manifest: _Manifest) -> _Line:
    line = _Line(record.place, record.value[_IMAGE], {})
    for key, metadata in record.value.items():
        if not key.endswith(_METADATA) or not isinstance(metadata, dict):
            continue
        attribute = key.removesuffix(_METADATA)
        kind = str(metadata.get("type", "")).rpartition("/")[2]
        if "failure-reason" in metadata:
            manifest.failed += 1
            continue
        labels = None if kind == _VERIFIES else _labels(record.value.get(attribute), metadata, kind)
        if isinstance(labels, Rejection):
            place = f"{record.place} {attribute}: {labels.name}"
            manifest.rejections.append(Rejection(place, labels.reason))
        elif labels is None:
            manifest.other_jobs[kind or "unknown"] += 1
        else:
            line.labels[attribute] = labels
            manifest.automatic += metadata.get("human-annotated") == "no"
            manifest.unsure += _is_unsure(record.value.get(attribute), metadata)
    return line


def _labels(value: object, metadata: Mapping[str, Any], kind: str) -> Labels | Rejection | None:
    """The labels, their rejection, or ``None`` if this is not a classification."""
    if "class-name" in metadata:
        name = as_label(metadata["class-name"])
        return (name,) if name else Rejection("", "class-name is empty")
    names = metadata.get("class-map")
    if not isinstance(names, dict) or not isinstance(value, list):
        return None
    if "detection" in kind or any(isinstance(item, dict) for item in value):
        return None
    found = [as_label(names.get(str(item))) for item in value]
    if None in found:
        return Rejection(shown(value[found.index(None)]), "class-map names no class of this number")
    return tuple(label for label in found if label)


def _scalars(record: Mapping[str, Any]) -> dict[str, Labels]:
    """The labels of a manifest without metadata: a number or a name."""
    named = {key: as_label(value) for key, value in record.items()}
    skipped = (_IMAGE, "id")
    return {key: (label,) for key, label in named.items() if label and key not in skipped}


def _is_unsure(value: object, metadata: Mapping[str, Any]) -> bool:
    """Whether a label has a confidence above 0 and below one half; a single worker gives 0."""
    scores = metadata.get("confidence-map")
    values = [metadata.get("confidence")]
    if isinstance(scores, dict):
        values = [scores.get(str(item)) for item in value] if isinstance(value, list) else []
    return any(isinstance(value, int | float) and 0 < value < _UNSURE for value in values)


def _read(name: str, manifest: _Manifest, options: ReadingOptions) -> ListReading:
    attributes = manifest.attributes
    if not attributes and manifest.other_jobs:
        raise ListRefusedError(
            f"{name} is a manifest of Ground Truth for {', '.join(sorted(manifest.other_jobs))}, "
            "which gives no image a class"
        )
    doubts: list[Doubt] = []
    chosen = _chosen(name, manifest, options, doubts)
    statements = Statements(name, options)
    for rejection in manifest.rejections:
        statements.reject(rejection.name, rejection.reason)
    for line in manifest.lines:
        given = [line.labels[key] for key in chosen if key in line.labels]
        labels = [label for one in given for label in one] if given else None
        statements.add(line.place, line.file, labels)
    understood = f"Ground Truth manifest, labels of {', '.join(chosen)}" if chosen else _UNDECIDED
    return statements.reading(understood, _warnings(manifest, chosen), doubts)


def _chosen(
    name: str, manifest: _Manifest, options: ReadingOptions, doubts: list[Doubt]
) -> Sequence[str]:
    """The attributes whose labels count."""
    attributes = manifest.attributes
    if (wanted := one_label_column(name, options)) and attributes:
        if wanted not in attributes:
            raise WrongColumnsError(
                f"{name}: no label attribute is named {wanted!r}; there are {', '.join(attributes)}"
            )
        return [wanted]
    if len(attributes) < 2 or _is_one_family(manifest) or not _contradict(manifest):
        return attributes
    answers = []
    for attribute in attributes:
        counts = Counter(
            label for line in manifest.lines for label in line.labels.get(attribute, ())
        )
        answers.append(
            (f"--columns {_IMAGE},{attribute}", f"classes: {shown_counts(counts)}"),
        )
    doubts.append(Doubt(f"{name}: which label attribute is the label?", tuple(answers)))
    return []


def _is_one_family(manifest: _Manifest) -> bool:
    """Whether each attribute has one label, and ends with it (Rekognition Custom Labels)."""
    return all(
        len(labels) == 1 and _letters(attribute).endswith(_letters(labels[0]))
        for line in manifest.lines
        for attribute, labels in line.labels.items()
    )


def _contradict(manifest: _Manifest) -> bool:
    """Whether two attributes give an image different labels, so that they answer two questions;
    else they are chained jobs."""
    return any(len(set(line.labels.values())) > 1 for line in manifest.lines)


def _letters(text: str) -> str:
    return re.sub(r"\W|_", "", text).lower()


def _warnings(manifest: _Manifest, chosen: Sequence[str]) -> list[str]:
    notes = []
    if len(chosen) > 1 and not _is_one_family(manifest):
        notes.append(f"the label attributes {', '.join(chosen)} agree, and are merged")
    if manifest.failed:
        notes.append(f"failed in the job, so not labelled: {count_of(manifest.failed, 'image')}")
    if manifest.automatic:
        machines = "labelled by automated data labeling, not by people"
        notes.append(f"{machines}: {count_of(manifest.automatic, 'image')}")
    if manifest.unsure:
        unsure = f"a label of a confidence below {_UNSURE:g}, taken as the others are"
        notes.append(f"{unsure}: {count_of(manifest.unsure, 'image')}")
    if chosen and manifest.other_jobs:
        kinds = ", ".join(sorted(manifest.other_jobs))
        notes.append(f"only classes are read; {kinds} is left out")
    return notes

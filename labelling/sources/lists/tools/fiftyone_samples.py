"""FiftyOne's own data set (``fiftyone.types.FiftyOneDataset``): ``samples.json`` beside ``data/``.

https://docs.voxel51.com/user_guide/export_datasets.html#fiftyonedataset: MongoDB's documents of all
samples. ``_cls`` is the type of a field of labels: ``Classification`` has one ``label``,
``Classifications`` a list of them, ``Detections``, ``Polylines`` and others have positions.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from labelling.sources.containers.containers import Rejection
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
from labelling.sources.lists.statements import Statements, as_label, shown_counts, split_of
from labelling.sources.reading import ReadingOptions, Split

_WHOLE = ("Classification", "Classifications")
_WHERE = (
    *("Detection", "Detections", "Polyline", "Polylines", "Keypoint", "Keypoints"),
    *("Segmentation", "Heatmap", "TemporalDetection", "TemporalDetections"),
)
_MOST_ANSWERS = 6

Sample = Mapping[str, Any]


class FiftyOneSamples:
    """``{"samples": [{"filepath": "data/a.jpg", "ground_truth": {"_cls": "Classification", …}}]}``."""

    name = "FiftyOne's samples.json"

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the one field that holds classifications.

        Args:
            document: the list, decoded record by record.
            options: what the user decided.
            source: the files around the list; not used.

        Returns:
            What the field says, or the doubt which field holds the labels; ``None`` if these are no
            samples of FiftyOne.

        Raises:
            ListRefusedError: there are no classifications but labels of parts of images, or
                ``--columns`` names no field of classifications.
        """
        samples = _samples(document)
        if samples is None:
            return None
        fields = _fields(samples, _WHOLE)
        name = _chosen(document.name, fields, samples, options)
        if name is None and not fields:
            _refuse_places(document.name, samples)
        if name is None and fields:
            return ListReading(self.name, (), doubts=[_which(document.name, fields, samples)])
        statements = Statements(document.name, options)
        for number, sample in enumerate(samples, 1):
            place = f"{document.name} sample {number}"
            labels = _labels(sample.get(name)) if name else None
            statements.add(place, sample.get("filepath"), labels, _split(sample))
        text = f"labels of {name}" if name else "no labels"
        return statements.reading(f"{self.name}, {text}")


def _samples(document: JsonDocument) -> Sequence[Sample] | None:
    """The samples, if the document is FiftyOne's; also with one sample per line."""
    if document.form == "object":
        found = document.value.get("samples") if isinstance(document.value, dict) else None
        records = found if isinstance(found, list) else []
    else:
        if not document.mostly(_is_sample):
            return None
        records = [each.value for each in document.records() if not isinstance(each, Rejection)]
    samples = [each for each in records if isinstance(each, dict)]
    return samples if samples and 2 * sum(map(_is_sample, samples)) > len(samples) else None


def _is_sample(record: Sample) -> bool:
    """Whether a record has a path, and fields that only FiftyOne writes."""
    if not isinstance(record.get("filepath"), str):
        return False
    return "_media_type" in record or any(
        isinstance(part, dict) and isinstance(part.get("_cls"), str) for part in record.values()
    )


def _fields(samples: Iterable[Sample], kinds: Sequence[str]) -> list[str]:
    """The fields that hold labels of these kinds in any sample."""
    return list(
        dict.fromkeys(
            key
            for sample in samples
            for key, value in sample.items()
            if isinstance(value, dict) and value.get("_cls") in kinds
        )
    )


def _chosen(
    name: str, fields: Sequence[str], samples: Sequence[Sample], options: ReadingOptions
) -> str | None:
    """The field with the labels; ``None`` if there is none, or the user has to be asked."""
    if wanted := one_label_column(name, options):
        if wanted in fields:
            return wanted
        raise WrongColumnsError(
            f"--columns: {name} has no classifications in {wanted}; it has them in "
            f"{', '.join(fields) or 'no field'}"
        )
    return fields[0] if len(fields) == 1 and not _is_predicted(fields[0], samples) else None


def _is_predicted(field: str, samples: Iterable[Sample]) -> bool:
    """Whether a field may be a model's predictions: its labels have a confidence, or it is named
    so."""
    values = (each.get(field) for each in samples)
    return "predict" in field.casefold() or any(
        isinstance(item.get("confidence"), int | float) for each in values for item in _items(each)
    )


def _which(name: str, fields: Sequence[str], samples: Sequence[Sample]) -> Doubt:
    if len(fields) == 1:
        question = (
            f"The field {fields[0]} of {name} may hold predictions of a model. Are these labels?"
        )
    else:
        question = f"Which field of {name} holds the labels?"
    answers = []
    for field in fields[:_MOST_ANSWERS]:
        counts = Counter(
            label
            for sample in samples
            for label in map(as_label, _labels(sample.get(field)) or ())
            if label
        )
        answers.append((f"--columns filepath,{field}", shown_counts(counts)))
    return Doubt(question, (*answers, ("--labels-from none", "no labels")))


def _refuse_places(name: str, samples: Iterable[Sample]) -> None:
    if fields := _fields(samples, _WHERE):
        raise ListRefusedError(
            f"{name} is a data set of FiftyOne with {', '.join(fields)}, {SAYS_WHERE}"
        )


def _items(value: object) -> list[Mapping[str, Any]]:
    """The classifications of a field."""
    if not isinstance(value, dict):
        return []
    if value.get("_cls") == "Classification":
        return [value]
    many = value.get("classifications")
    return [item for item in many if isinstance(item, dict)] if isinstance(many, list) else []


def _labels(value: object) -> list[object] | None:
    """The labels in a field; ``None`` if it states nothing."""
    if not isinstance(value, dict) or value.get("_cls") not in _WHOLE:
        return None
    labels = [item.get("label") for item in _items(value)]
    return None if labels == [None] else labels


def _split(sample: Sample) -> Split | None:
    """The split that a sample's tags name; ``None`` if they name none or several."""
    tags = sample.get("tags")
    found = {split_of(tag) for tag in tags} - {None} if isinstance(tags, list) else set()
    return found.pop() if len(found) == 1 else None

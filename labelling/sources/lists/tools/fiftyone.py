"""FiftyOne's image classification data set: ``labels.json`` beside the folder ``data``.

https://docs.voxel51.com/user_guide/export_datasets.html#fiftyoneimageclassificationdataset: names
of images without suffix, and for each a label or a number in ``classes``, a list of these, an object
with ``label`` (and ``confidence``, ``attributes``), or null.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from labelling.sources.lists.labels.not_labels import SAYS_WHERE
from labelling.sources.lists.list_format import ListReading, ListRefusedError, Surroundings
from labelling.sources.lists.plain_json.document import JsonDocument
from labelling.sources.lists.statements import Statements, as_label, count_of, shown
from labelling.sources.reading import ReadingOptions


class FiftyOne:
    """``{"classes": ["cat", "dog"], "labels": {"000001": 0, "000002": 1}}``."""

    name = "FiftyOne's labels.json"

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the labels of the images.

        Args:
            document: the list, decoded record by record.
            options: what the user decided.
            source: the files around the list; not used.

        Returns:
            What the labels say; ``None`` if it is not in this format.

        Raises:
            ListRefusedError: there are detections.
        """
        value = document.value
        if not isinstance(value, dict) or not isinstance(value.get("labels"), dict):
            return None
        classes = value.get("classes")
        if not isinstance(classes, list | None):
            return None
        if classes is None and set(value) - {"labels", "info"}:
            return None
        _refuse_boxes(document.name, value["labels"])
        statements = Statements(document.name, options)
        for file, target in value["labels"].items():
            given = target if isinstance(target, list) else None if target is None else [target]
            labels = [_label(item, classes) for item in given or ()]
            if None in labels:
                wrong = shown(given[labels.index(None)]) if given else ""
                reason = f"no class; there are {count_of(len(classes or ()), 'class', 'es')}"
                statements.reject(f"{document.name} {file}: {wrong}", reason)
                continue
            statements.add(document.name, file, None if given is None else labels)
        return statements.reading("FiftyOne's labels.json")


def _refuse_boxes(name: str, labels: Mapping[str, Any]) -> None:
    for target in labels.values():
        for item in target if isinstance(target, list) else [target]:
            if isinstance(item, dict) and {"bounding_box", "points", "support"} & set(item):
                raise ListRefusedError(
                    f"{name} is a data set of FiftyOne with detections, {SAYS_WHERE}"
                )


def _label(target: object, classes: Sequence[object] | None) -> str | None:
    """The name of a class given by its number, its name, or an object that holds either."""
    if isinstance(target, dict):
        target = target.get("label")
    if classes is None or isinstance(target, str):
        return as_label(target)
    if isinstance(target, int) and not isinstance(target, bool) and 0 <= target < len(classes):
        return as_label(classes[target])
    return None

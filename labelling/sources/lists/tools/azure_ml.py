"""What Azure Machine Learning exports of a labelling project, and reads for AutoML: JSON Lines.

https://learn.microsoft.com/azure/machine-learning/reference-automl-images-schema (``image_url``,
``label``: a name, a list of names, or a list of boxes) and how-to-manage-labeling-projects, section
"Export the labels" (also CSV, and COCO, which ``coco`` reads).
"""

from collections.abc import Mapping
from typing import Any

from labelling.sources.lists.labels.not_labels import SAYS_WHERE
from labelling.sources.lists.list_format import ListReading, ListRefusedError, Surroundings
from labelling.sources.lists.plain_json.document import JsonDocument
from labelling.sources.lists.statements import Statements
from labelling.sources.reading import ReadingOptions

_IMAGE, _LABEL = "image_url", "label"


class AzureMlLines:
    """``{"image_url": "AmlDatastore://photos/a.jpg", "label": "can", "label_confidence": 1.0}``."""

    name = "Azure ML's JSON Lines"

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the lines.

        Args:
            document: the list, decoded record by record.
            options: what the user decided.
            source: the files around the list; not used.

        Returns:
            What the lines say; ``None`` if it is not in this format, or columns are given.

        Raises:
            ListRefusedError: the labels are of boxes or polygons.
        """
        if options.columns or not document.mostly(_is_ours):
            return None
        statements = Statements(document.name, options)
        for record in statements.usable(document.records()):
            label = record.value.get(_LABEL)
            if _is_drawn(label):
                raise ListRefusedError(
                    f"{document.name} is an export of Azure ML with boxes or polygons (first at "
                    f"{record.place}), {SAYS_WHERE}"
                )
            given = label if isinstance(label, list) else None if label in (None, "") else [label]
            statements.add(record.place, record.value.get(_IMAGE), given)
        return statements.reading("Azure ML labels (JSON Lines)")


def _is_ours(record: Mapping[str, Any]) -> bool:
    url = record.get(_IMAGE)
    if not isinstance(url, str):
        return False
    cloud = url.lower().startswith(("amldatastore://", "azureml://"))
    return cloud or (_LABEL in record and bool({"image_details", "label_confidence"} & set(record)))


def _is_drawn(label: object) -> bool:
    parts = label if isinstance(label, list) else [label]
    return any(isinstance(part, dict) for part in parts)

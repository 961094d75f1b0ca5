"""Lists in JSON: decoded once, and read by the first format that knows them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from labelling.sources.lists.list_format import ListFile, ListReading, Surroundings
from labelling.sources.lists.plain_json.beside_image import JsonBesideImage
from labelling.sources.lists.plain_json.document import JsonDocument, open_json
from labelling.sources.lists.plain_json.maps import JsonMaps
from labelling.sources.lists.plain_json.records import JsonRecords
from labelling.sources.lists.shapes.detection_json import DetectionJson
from labelling.sources.lists.shapes.image_tags import (
    DarwinTags,
    SuperAnnotateTags,
    SuperviselyTags,
    ViaAttributes,
)
from labelling.sources.lists.tools.azure_ml import AzureMlLines
from labelling.sources.lists.tools.coco import Coco
from labelling.sources.lists.tools.custom_vision import CustomVision
from labelling.sources.lists.tools.fiftyone import FiftyOne
from labelling.sources.lists.tools.fiftyone_samples import FiftyOneSamples
from labelling.sources.lists.tools.ground_truth import GroundTruth
from labelling.sources.lists.tools.label_studio.json_export import LabelStudio
from labelling.sources.lists.tools.labelbox import Labelbox
from labelling.sources.lists.tools.labelme import LabelMeFlags
from labelling.sources.lists.tools.prodigy import Prodigy
from labelling.sources.lists.tools.vertex import VertexLines
from labelling.sources.reading import ReadingOptions


class JsonFormat(Protocol):
    """A format of lists that is JSON; see ``ListFormat``."""

    name: str

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the list.

        Args:
            document: the list, decoded record by record.
            options: what the user decided.
            source: the files around the list.

        Returns:
            What the list says; ``None`` if it is not in this format.

        Raises:
            ListRefusedError: as ``ListFormat.read``.
        """
        ...


class JsonLists:
    """Every list in JSON, JSON Lines, or a manifest of JSON Lines."""

    name = "JSON"

    def read(
        self, file: ListFile, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Decode the list and read it by the first of ``JSON_FORMATS`` that knows it.

        Args:
            file: the list: its name and its bytes.
            options: what the user decided.
            source: the files around the list.

        Returns:
            What the list says; ``None`` if it is not JSON, or in none of the formats.

        Raises:
            ListRefusedError: it is JSON that cannot be decoded, or its format refuses it.
        """
        document = open_json(file, options.encoding)
        if document is None:
            return None
        for form in JSON_FORMATS:
            if (reading := form.read(document, options, source)) is not None:
                return replace(reading, takes_columns=isinstance(form, _WITH_COLUMNS))
        return None


JSON_FORMATS: Sequence[JsonFormat] = (
    LabelStudio(),
    GroundTruth(),
    VertexLines(),
    AzureMlLines(),
    CustomVision(),
    Coco(),
    FiftyOne(),
    FiftyOneSamples(),
    Prodigy(),
    Labelbox(),
    LabelMeFlags(),
    ViaAttributes(),
    DarwinTags(),
    SuperviselyTags(),
    SuperAnnotateTags(),
    DetectionJson(),
    JsonMaps(),
    JsonRecords(),
    JsonBesideImage(),
)
"""In the order in which they are tried: the generic ones last."""

_WITH_COLUMNS = (LabelStudio, GroundTruth, FiftyOneSamples, Labelbox, ViaAttributes, JsonRecords)
"""Formats to which ``--columns`` applies."""

"""Annotations of parts of pictures in JSON, named as what they are.

LabelMe (https://github.com/wkentaro/labelme), VGG Image Annotator
(https://www.robots.ox.ac.uk/~vgg/software/via/), Apple's Create ML
(https://developer.apple.com/documentation/createml/building-an-object-detector-data-source), and
whatever else keeps boxes, points or polygons beside the names of images.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from labelling.sources.lists.labels.not_labels import SAYS_WHERE
from labelling.sources.lists.list_format import ListReading, ListRefusedError, Surroundings
from labelling.sources.lists.plain_json.document import JsonDocument
from labelling.sources.lists.statements import names_image
from labelling.sources.reading import ReadingOptions

_DRAWN = {
    *("bbox", "bboxes", "boundingbox", "boundingboxes", "boundingpoly", "box2d", "polygon"),
    *("polygons", "segmentation", "keypoints", "shape_attributes", "xmin", "x_min", "topx"),
    *("coordinates", "polyline"),
}
_DEPTH = 6


class DetectionJson:
    """Refuses annotations of parts of images, naming their format."""

    name = "detection annotations in JSON"

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Refuse annotations of parts of images in JSON.

        Args:
            document: the list, decoded record by record.
            options: what the user decided; not used.
            source: the files around the list; not used.

        Returns:
            ``None`` if the first records hold no such annotations.

        Raises:
            ListRefusedError: the file holds boxes, outlines or similar; the message names the
                format.
        """
        sample = document.sample[:5]
        if not sample:
            return None
        kind = _kind(sample[0]) or _generic(sample)
        if kind is None:
            return None
        raise ListRefusedError(f"{document.name}: {kind}, {SAYS_WHERE}")


def _kind(record: Mapping[str, Any]) -> str | None:
    if isinstance(record.get("shapes"), list) and "imagePath" in record:
        return "LabelMe's shapes"
    via = record.get("_via_img_metadata", record)
    first = next(iter(via.values()), None) if isinstance(via, dict) else None
    drawn = [item.get("regions") for item in via.values() if isinstance(item, dict)]
    if isinstance(first, dict) and "filename" in first and any(drawn):
        return "regions of the VGG Image Annotator"
    return None


def _generic(sample: Iterable[Mapping[str, Any]]) -> str | None:
    """The key that holds boxes or outlines, if the records name images."""
    for record in sample:
        strings = [value for value in _walk(record, _DEPTH) if isinstance(value, str)]
        if any(map(names_image, strings)) and (key := _drawn_key(record, _DEPTH)):
            return f"boxes or outlines (in {key!r})"
    return None


def _walk(value: object, depth: int) -> Iterable[object]:
    if depth and isinstance(value, dict | list):
        for part in [*value.keys(), *value.values()] if isinstance(value, dict) else value[:50]:
            yield from _walk(part, depth - 1)
    else:
        yield value


def _drawn_key(value: object, depth: int) -> str | None:
    if not depth:
        return None
    if isinstance(value, dict):
        for key, part in value.items():
            if key.lower() in _DRAWN and part not in (None, [], {}, ""):
                return key
            if found := _drawn_key(part, depth - 1):
                return found
    if isinstance(value, list):
        return next(filter(None, (_drawn_key(part, depth - 1) for part in value[:50])), None)
    return None

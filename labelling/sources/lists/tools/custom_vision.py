"""Lists of images from Azure Custom Vision's API or SDK.

https://learn.microsoft.com/rest/api/customvision/get-tagged-images/get-tagged-images gives
``[{"id": …, "originalImageUri": …, "tags": [{"tagName": …}], "regions": […]}]``; the SDK's
``as_dict`` the same with underscores. The portal has no export of images. Downloaded images are
named by ``id``, because the addresses do not end in a name.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from labelling.sources.lists.labels.not_labels import SAYS_WHERE
from labelling.sources.lists.list_format import ListReading, ListRefusedError, Surroundings
from labelling.sources.lists.plain_json.document import JsonDocument
from labelling.sources.lists.statements import Statements, count_of
from labelling.sources.reading import ReadingOptions

_ADDRESSES = ("originalImageUri", "original_image_uri", "imageUri", "image_uri")
_TAG_NAMES = ("tagName", "tag_name")
_NEGATIVE = "Negative"
"""Custom Vision's tag of images to which no other tag applies."""


class CustomVision:
    """``[{"id": "…", "originalImageUri": "https://…", "tags": [{"tagName": "apple"}]}]``."""

    name = "Custom Vision's list of images"

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the tags of the images.

        Args:
            document: the list, decoded record by record.
            options: what the user decided.
            source: the files around the list; not used.

        Returns:
            What the tags say; ``None`` if it is not in this format.

        Raises:
            ListRefusedError: there are regions: the project is for object detection.
        """
        if not document.mostly(_is_ours):
            return None
        statements = Statements(document.name, options)
        negatives = 0
        for record in statements.usable(document.records()):
            if record.value.get("regions"):
                raise ListRefusedError(
                    f"{document.name} is of a Custom Vision project for object detection (regions "
                    f"first at {record.place}), {SAYS_WHERE}"
                )
            labels: list[object] | None = _tags(record.value)
            if labels == [_NEGATIVE] and options.task == "multi_label":
                labels, negatives = [], negatives + 1
            address = _first(record.value, _ADDRESSES)
            statements.add(record.place, record.value.get("id"), labels, or_file=_end_of(address))
        note = f"the tag {_NEGATIVE} means none of the labels: {count_of(negatives, 'image')}"
        return statements.reading("Custom Vision's images and tags", [note] if negatives else ())


def _is_ours(record: Mapping[str, Any]) -> bool:
    return isinstance(record.get("id"), str) and isinstance(_first(record, _ADDRESSES), str)


def _tags(record: Mapping[str, Any]) -> list[object] | None:
    """The names of an image's tags; ``None`` if it has none."""
    tags = record.get("tags")
    if not isinstance(tags, list) or not tags:
        return None
    return [_first(tag, _TAG_NAMES) if isinstance(tag, dict) else tag for tag in tags]


def _first(record: Mapping[str, Any], keys: Iterable[str]) -> object:
    return next((record[key] for key in keys if record.get(key) is not None), None)


def _end_of(address: object) -> str | None:
    """The last part of the path of an address, under which a browser saves the file."""
    try:
        return urlsplit(str(address)).path.rpartition("/")[2] or None
    except ValueError:
        return None

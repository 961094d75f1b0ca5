"""COCO's JSON (https://cocodataset.org/#format-data), if its categories are of whole images.

Azure ML labelling (folder ``Labeling/export/coco``) and Microsoft's script for leaving Custom
Vision write annotations of a category and an image, without a box
(https://learn.microsoft.com/azure/ai-services/computer-vision/how-to/migrate-from-custom-vision).
Boxes, outlines and captions are refused.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from labelling.sources.lists.files.index import base_name, without_suffix
from labelling.sources.lists.list_format import ListReading, ListRefusedError, Surroundings
from labelling.sources.lists.plain_json.document import JsonDocument
from labelling.sources.lists.statements import Statements, as_label, split_of
from labelling.sources.reading import ReadingOptions, Split

_PARTS = {
    "bbox": "boxes",
    "segmentation": "outlines",
    "keypoints": "keypoints",
    "caption": "captions",
    "segments_info": "panoptic segments",
}
_OF_AZURE = ("AmlDatastore://", ".blob.core.")
_OWN_EXPORT = "imgclf data set "
_ADDRESSES = ("coco_url", "absolute_url", "path", "flickr_url")


class Coco:
    """``{"images": [{"id": 1, "file_name": …}], "annotations": [{"image_id": 1, "category_id": 1}],
    "categories": [{"id": 1, "name": "apple"}]}``."""

    name = "COCO's JSON"

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the categories of whole images.

        Args:
            document: the list, decoded record by record.
            options: what the user decided.
            source: the files around the list; their names tell the folder of the images.

        Returns:
            What the annotations say; ``None`` if it is not COCO's JSON.

        Raises:
            ListRefusedError: the annotations are of parts of images, or nothing says that they are
                of whole images.
        """
        value = document.value
        if not isinstance(value, dict) or not _is_ours(value):
            return None
        annotations = _dicts(value.get("annotations"))
        _refuse_parts(document.name, annotations, _dicts(value["images"]))
        names = {_key(item.get("id")): item.get("name") for item in _dicts(value.get("categories"))}
        given: dict[Any, list[object]] = defaultdict(list)
        for item in annotations:
            number = item.get("category_id")
            name = names.get(_key(number))
            given[_key(item.get("image_id"))].append(number if name is None else name)
        # In an export of this program (imgclf export), an image without annotations has none of the
        # labels; in others it may not be labelled yet.
        is_own = str(_info(value).get("description")).startswith(_OWN_EXPORT)
        if not (is_own or _is_of_azure(value) or options.name_list(document.name)):
            raise ListRefusedError(
                f"{document.name} is COCO's JSON, whose annotations are of objects (detection); "
                "nothing says that each category is the class of a whole picture; if it is: "
                f"--labels-from {document.name}"
            )
        statements = Statements(document.name, options)
        folder, split = _split_of_name(document.name)
        unnamed = not any(map(as_label, names.values()))
        for number, image in enumerate(_dicts(value["images"]), 1):
            place = f"{document.name} image {image.get('id', number)}"
            address = next((image[key] for key in _ADDRESSES if image.get(key)), None)
            file = image.get("file_name") or address
            labels = given.pop(_key(image.get("id")), [] if is_own else None)
            other = address if isinstance(address, str) and address != file else None
            if folder and isinstance(file, str) and source.files.by_path(f"{folder}/{file}"):
                file = f"{folder}/{file}"  # another split's folder may have the same file name
            statements.add(place, file, labels, split_of(image.get("split")) or split, other)
        for number in given:
            statements.reject(f"{document.name} image {number}", "has annotations and no entry")
        warnings = (
            ["categories have no names; their numbers are the labels"] if unnamed and given else []
        )
        return statements.reading("COCO's JSON, categories of whole images", warnings)


def _split_of_name(name: str) -> tuple[str, Split | None]:
    """The image folder and the split in the name of a file, as in COCO's own:
    ``annotations/instances_train2017.json`` belongs to the folder ``train2017``."""
    last = without_suffix(base_name(name)).rpartition("_")[2]
    return last, split_of(last.rstrip("0123456789"))


def _info(value: Mapping[str, Any]) -> Mapping[str, Any]:
    info = value.get("info")
    return info if isinstance(info, dict) else {}


def _is_of_azure(value: Mapping[str, Any]) -> bool:
    """Whether Azure ML, or Microsoft's script for leaving Custom Vision, wrote it: their
    annotations without a box are of whole images."""
    first = _dicts(value["images"])[0]
    address = str(first.get("coco_url"))
    return "absolute_url" in first or any(sign in address for sign in _OF_AZURE)


def _is_ours(value: Mapping[str, Any]) -> bool:
    images = _dicts(value.get("images"))
    lists = [value.get(key) for key in ("annotations", "categories")]
    return bool(images) and "id" in images[0] and any(isinstance(item, list) for item in lists)


def _refuse_parts(
    name: str, annotations: Sequence[Mapping[str, Any]], images: Sequence[Mapping[str, Any]]
) -> None:
    found = Counter(key for item in annotations for key in _PARTS if item.get(key))
    if not found:
        return
    parts = ", ".join(f"{_PARTS[key]} ({count:,})" for key, count in found.most_common())
    raise ListRefusedError(
        f"{name} is COCO's JSON with {parts} for {len(images):,} images: detection, segmentation "
        "or captions, and no class of a whole picture"
    )


def _key(number: object) -> Any:
    """``number`` as a hashable key."""
    return number if isinstance(number, int | str) else repr(number)


def _dicts(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

"""``coco``: images by split, and ``annotations/instances_<split>.json`` with image-level labels.

COCO defines no format for image classification. This is the format that Azure AI Vision and Azure
ML call COCO: ``categories``, ``images``, and for each label of each image an annotation with
``image_id`` and ``category_id`` and without ``bbox``. A box around the whole image would claim to
be the annotation of an object. pycocotools (and torchvision's CocoDetection) reads it.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

from labelling.exports.contents import SPLITS, Contents, Layout, TextFile
from labelling.exports.file_names import IMAGE_SUFFIXES
from labelling.exports.placing import side_by_side


class CocoFormat:
    """One COCO file for each split, its ``file_name`` relative to the split's folder."""

    name = "coco"

    def layout(self, contents: Contents) -> Layout:
        """See :class:`labelling.exports.contents.ExportFormat`."""
        note = (
            "the labels are annotations without bbox, for the whole image: loaders for object "
            "detection find no boxes in them"
        )
        folders = {split: split for split in SPLITS}
        return Layout(side_by_side(contents, folders, IMAGE_SUFFIXES), notes=[note])

    def files(self, contents: Contents, layout: Layout) -> Iterator[TextFile]:
        """See :class:`labelling.exports.contents.ExportFormat`."""
        for split in contents.splits:
            yield TextFile(annotation_file(split), _coco(contents, layout, split))

    def reading(self, contents: Contents, layout: Layout) -> str:
        """See :class:`labelling.exports.contents.ExportFormat`."""
        lines = [
            f'{split} = torchvision.datasets.CocoDetection("{contents.place}/{split}", '
            f'"{contents.place}/{annotation_file(split)}")'
            for split in contents.splits
        ]
        return "\n".join(lines)

    def front_matter(self, contents: Contents) -> str:
        """Empty: there is no front matter."""
        return ""


def annotation_file(split: str) -> str:
    """The path of a split's COCO file."""
    return f"annotations/instances_{split}.json"


def _coco(contents: Contents, layout: Layout, split: str) -> Iterator[str]:
    """The file in pieces: for a million images it has some hundred megabytes."""
    numbers = {label: number for number, label in enumerate(contents.labels, start=1)}
    info = {
        "description": f"imgclf data set {contents.version}, split {split}: image-level labels",
        "version": contents.version,
        "date_created": contents.created_at,
        "task": contents.task,
    }
    categories = [{"id": number, "name": label} for label, number in numbers.items()]
    images = contents.of(split)
    yield f'{{"info": {_json(info)},\n"licenses": [],\n"categories": {_json(categories)},\n'
    yield '"images": ['
    yield from _joined(
        {
            "id": number,
            "file_name": layout.paths[image.sha256].partition("/")[2],
            "width": image.width,
            "height": image.height,
            "sha256": image.sha256,
        }
        for number, image in enumerate(images, start=1)
    )
    yield '],\n"annotations": ['
    ids = count(1)
    yield from _joined(
        {"id": next(ids), "image_id": number, "category_id": numbers[label]}
        for number, image in enumerate(images, start=1)
        for label in image.labels
    )
    yield "]}\n"


def _joined(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    for number, row in enumerate(rows):
        yield f"{',' if number else ''}\n{_json(row)}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

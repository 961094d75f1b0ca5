"""Annotations of parts of pictures in text and XML, named as what they are.

Pascal VOC (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/devkit_doc.pdf), CVAT
(https://docs.cvat.ai/docs/manual/advanced/xml_format/), YOLO
(https://docs.ultralytics.com/datasets/detect/), tables of boxes (TensorFlow, RetinaNet), Open
Images (https://storage.googleapis.com/openimages/web/download_v7.html).
"""

import csv
import re
from collections.abc import Sequence
from itertools import islice

from labelling.sources.lists.files.finder import folder_of
from labelling.sources.lists.labels.not_labels import SAYS_WHERE
from labelling.sources.lists.list_format import (
    ListFile,
    ListReading,
    ListRefusedError,
    Surroundings,
)
from labelling.sources.lists.statements import names_image
from labelling.sources.lists.tools.voc_lists import class_lists
from labelling.sources.reading import ReadingOptions

_HEAD = 1 << 14
_YOLO = re.compile(r"\d+(\s+-?\d*\.?\d+(e-?\d+)?){4,}\s*", re.IGNORECASE)
_VOC = re.compile(r"<annotation[\s>].*<(object|filename|folder|segmented)>", re.DOTALL)
_CVAT = re.compile(r"<annotations[\s>].*<(image|track|meta)[\s>]", re.DOTALL)
_BOXES = ({"xmin", "ymax"}, {"x_min", "y_max"}, {"x1", "y2"}, {"bbox"}, {"bbox_x", "bbox_y"})
_OPEN_IMAGES = {"imageid", "labelname", "confidence"}


class DetectionFiles:
    """Refuses annotations of parts of images, naming their format."""

    name = "detection annotations"

    def read(
        self, file: ListFile, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Refuse annotations of parts of images.

        Args:
            file: the list: its name and its bytes.
            options: what the user decided; not used.
            source: the files around the list, where Pascal VOC's lists of classes are looked for
                there.

        Returns:
            ``None`` if the file holds no such annotations.

        Raises:
            ListRefusedError: the file holds boxes, outlines or similar; the message names the
                format.
        """
        head = file.data[:_HEAD]
        whole = len(head) == len(file.data)
        text = head.decode("utf-8-sig", errors="replace").strip("\0 \t\r\n")
        lines = text.splitlines()
        lines = lines if whole else lines[:-1]  # the last one may be cut
        kind = _xml_kind(text) or _text_kind(lines)
        if kind is None:
            return None
        if _VOC.search(text) and (beside := _lists_beside(file.name, source)):
            kind += f". Its lists give the classes of pictures: --labels-from {beside}"
        raise ListRefusedError(f"{file.name}: {kind}")


def _xml_kind(text: str) -> str | None:
    if not text.startswith("<"):
        return None
    if _VOC.search(text):
        return f"an image's annotations in Pascal VOC's form, {SAYS_WHERE}"
    if _CVAT.search(text):
        return f"CVAT's annotations, {SAYS_WHERE}. CVAT's export ImageNet gives tags as folders"
    return None


def _lists_beside(name: str, source: Surroundings) -> str | None:
    """The first of Pascal VOC's lists of classes beside the folder of its annotations."""
    above = folder_of(folder_of(name).rstrip("/"))
    main = f"{above.rstrip('/')}/ImageSets/Main".lstrip("/")
    return next(iter(class_lists(source.files, main)), None)


def _text_kind(lines: Sequence[str]) -> str | None:
    lines = [line for line in lines if line.strip()]
    if lines and all(map(_YOLO.fullmatch, lines)):
        return f"YOLO's boxes (a class and its place in each line), {SAYS_WHERE}"
    rows = _rows(lines, max(",\t;", key=lines[0].count)) if lines else []
    columns = {column.strip().lower() for row in rows[:1] for column in row}
    if any(boxes <= columns for boxes in _BOXES):
        return f"a table of boxes (columns {', '.join(rows[0])}), {SAYS_WHERE}"
    if columns >= _OPEN_IMAGES:
        return (
            "Open Images' labels: several for an image, some of which are absent (Confidence 0). "
            "Write the wanted ones into a table of file,label"
        )
    if rows and all(_is_box(row) for row in rows[:20]):
        return f"a table of boxes (image, x1, y1, x2, y2, class), {SAYS_WHERE}"
    return None


def _rows(lines: Sequence[str], delimiter: str) -> Sequence[list[str]]:
    try:
        return list(islice(csv.reader(lines, delimiter=delimiter), 50))
    except csv.Error:
        return []


def _is_box(row: Sequence[str]) -> bool:
    """Whether a row is a box (``a.jpg,10,20,110,120,cat``), or an image without boxes (five empty
    cells)."""
    if len(row) != 6 or not names_image(row[0]):
        return False
    return all(re.fullmatch(r"-?\d+(\.\d+)?", cell.strip()) for cell in row[1:5]) or not any(
        row[1:]
    )

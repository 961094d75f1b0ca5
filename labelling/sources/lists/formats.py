"""The formats of lists, in the order in which they are tried."""

from dataclasses import replace

from labelling.sources.lists.json_lists import JsonLists
from labelling.sources.lists.labels.no_label import without_words
from labelling.sources.lists.list_format import (
    ListFile,
    ListFormat,
    ListReading,
    Surroundings,
)
from labelling.sources.lists.plain_json.beside_image import ClassBesideImage
from labelling.sources.lists.pointers import Pointers
from labelling.sources.lists.shapes.detection import DetectionFiles
from labelling.sources.lists.shapes.via_table import ViaTable
from labelling.sources.lists.tables.delimited import Delimited
from labelling.sources.lists.tables.numbered_images import NumberedImages
from labelling.sources.lists.tables.parquet import Parquet
from labelling.sources.lists.tools.cvat import Cvat
from labelling.sources.lists.tools.label_studio.table import LabelStudioTable
from labelling.sources.lists.tools.vertex import VertexTable
from labelling.sources.lists.tools.voc_lists import VocLists
from labelling.sources.reading import ReadingOptions

FORMATS: tuple[ListFormat, ...] = (
    Pointers(),
    ClassBesideImage(),
    ViaTable(),
    LabelStudioTable(),
    VertexTable(),
    VocLists(),
    Cvat(),
    DetectionFiles(),
    NumberedImages(),
    JsonLists(),
    Parquet(),
    Delimited(),
)
"""The first whose ``read`` does not return ``None`` reads the list."""

WITH_COLUMNS = (LabelStudioTable, ViaTable, Parquet, Delimited)
"""Formats to which ``--columns`` applies; for JSON, ``JsonLists`` decides."""


def read_list(file: ListFile, options: ReadingOptions, source: Surroundings) -> ListReading | None:
    """Read a list in the first format that knows it; ``None`` if none does.

    Args:
        file: the list: its name and its bytes.
        options: what the user decided.
        source: the files around the list.

    Raises:
        ListRefusedError: it holds no labels of images, or is broken.
    """
    for form in FORMATS:
        if (reading := form.read(file, options, source)) is not None:
            takes = reading.takes_columns or isinstance(form, WITH_COLUMNS)
            return without_words(replace(reading, takes_columns=takes), source)
    return None

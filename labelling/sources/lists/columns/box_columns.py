"""Columns with positions and sizes of objects, which are not labels of images."""

from collections.abc import Sequence

from labelling.sources.lists.columns.box_words import are_of_a_box, sides_of
from labelling.sources.lists.columns.values import is_numeric
from labelling.sources.lists.labels.not_labels import SAYS_WHERE
from labelling.sources.lists.list_format import ListRefusedError
from labelling.sources.lists.text.table import Table
from labelling.sources.names.words import words


def places_of_objects(table: Table, values: Sequence[Sequence[str]]) -> frozenset[int]:
    """Find the columns with the part of an image that is labelled, and with the image's size.

    Args:
        table: the table.
        values: the cells of each column.

    Raises:
        ListRefusedError: it is a table of boxes.
    """
    if not table.header:
        return frozenset()
    sides = {at: side for at, side in sides_of(table.header).items() if is_numeric(values[at])}
    if not are_of_a_box(sides):
        return frozenset()
    titles = [table.header[at] for at in sorted(sides)]
    if any("roi" in words(title) for title in titles):
        return frozenset(sides)  # a region of interest in the image, as for traffic signs (GTSRB)
    raise ListRefusedError(
        f"{table.name}: a table of boxes (columns {', '.join(titles)}), {SAYS_WHERE}"
    )

"""Several columns with labels of one image: ``tag1``, ``tag2``, ``tag3``."""

import re
from collections.abc import Sequence

from labelling.labels.foreign_text import visible
from labelling.labels.schema import Task
from labelling.sources.doubt import Doubt
from labelling.sources.lists.columns.other_columns import is_called_label
from labelling.sources.lists.columns.titles import ColumnTitles
from labelling.sources.lists.columns.values import is_yes_or_no, shown_classes
from labelling.sources.lists.labels.cells import EMPTY
from labelling.sources.lists.text.table import Table
from labelling.sources.names.columns import LABEL_COLUMNS, WEAK_LABEL_COLUMNS, plain

_NUMBER = re.compile(r"\d+$")
_VOTES = 0.1
"""The share of rows with a repeated label from which on columns are votes of several people."""

_MOST_ANSWERS = 6


def numbered(header: Sequence[str], columns: Sequence[int]) -> tuple[int, ...]:
    """The columns whose titles are a word for labels and a number.

    Args:
        header: the titles of all columns.
        columns: those that may hold labels.

    Returns:
        Two columns or more, in their order; ``()`` if there are none, or several kinds of them.
    """
    groups: dict[str, list[int]] = {}
    for at in columns:
        if header and (stem := _stem(header[at])) in LABEL_COLUMNS | WEAK_LABEL_COLUMNS:
            groups.setdefault(stem, []).append(at)
    found = [group for group in groups.values() if len(group) > 1]
    return tuple(found[0]) if len(found) == 1 else ()


def _stem(title: str) -> str:
    """A title without its number: ``tags`` of ``tags/0`` and ``tags``."""
    return _NUMBER.sub("", plain(title))


def asked_of_several(
    table: Table, titles: ColumnTitles, file: int, group: Sequence[int], task: Task
) -> Doubt | None:
    """The question what numbered columns of labels mean.

    Args:
        table: the table.
        titles: of its columns.
        file: the column of images.
        group: the columns of labels.
        task: whether an image may have several labels.

    Returns:
        The question, if they look like votes of several people, or an image can have only one
        label; ``None`` if they are labels that belong together.
    """
    sample = table.sample()
    rows = [[row[at] for at in group if row[at]] for row in sample]
    several = [row for row in rows if len(row) > 1]
    twice = [row for row in several if len(set(row)) < len(row)]
    columns = f"The columns {titles.all_of(group)} of {visible(table.name)}"
    held = [(at, [row[at] for row in sample]) for at in group]
    each = [
        (titles.option(file, at), f"this column only, {shown_classes(values)}")
        for at, values in held[:_MOST_ANSWERS]
        if any(values)
    ]
    none = ("--labels-from none", "no labels")
    if len(twice) > _VOTES * len(several):
        question = (
            f"{columns} give the same label twice in {len(twice):,} of {len(several):,} rows, as "
            "answers of several people would. What are they?"
        )
        whole = (titles.several(file, group), "all are labels of the image")
        return Doubt(question, (*([whole] if task == "multi_label" else []), *each, none))
    if task == "single_label" and several:
        question = (
            f"{columns} give {len(several):,} of {len(rows):,} images several labels "
            f"({', '.join(map(visible, several[0]))}) where the task is single_label. Which column "
            'counts? To have all: task = "multi_label" under [labels] in imgclf.toml'
        )
        return Doubt(question, (*each, none))
    return None


def second_opinions(
    header: Sequence[str], values: Sequence[Sequence[str]], label: int, others: Sequence[int]
) -> list[int]:
    """Columns with the same classes as the column of labels, but different ones for some images.

    Args:
        header: the titles of all columns.
        values: the cells of each column.
        label: the column of labels.
        others: those that may hold labels.
    """
    classes = set(filter(None, values[label]))
    found = []
    for at in others:
        pairs = [(a, b) for a, b in zip(values[label], values[at], strict=True) if b not in EMPTY]
        if at == label or not pairs or not {b for _, b in pairs} <= classes:
            continue
        # Columns of numbers count only if they are named like labels.
        telling = not all(b.replace(".", "", 1).isdigit() or is_yes_or_no([b]) for _, b in pairs)
        if (telling or is_called_label(header[at])) and any(a != b for a, b in pairs):
            found.append(at)
    return found

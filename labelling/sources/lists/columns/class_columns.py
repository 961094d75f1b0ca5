"""Columns of one class each, with 0 and 1, and columns that count these."""

from collections.abc import Sequence

from labelling.sources.lists.columns.titles import ColumnTitles
from labelling.sources.lists.columns.values import number, shown_classes
from labelling.sources.lists.labels.yes_and_no import NO, YES
from labelling.sources.lists.list_format import ListRefusedError
from labelling.sources.names.columns import COUNT_COLUMNS

_SHOWN = 6
_MOST_COUNTED = 1000


def refuse_if_mostly_unknown(
    name: str, titles: ColumnTitles, rows: Sequence[Sequence[str]], classes: Sequence[int]
) -> None:
    """Refuse class columns that are unknown (-1 or empty) for most images.

    Args:
        name: of the list.
        titles: of its columns.
        rows: the cells of each row.
        classes: the columns.

    Raises:
        ListRefusedError: most rows have -1 or nothing, while others have 0 and 1.
    """
    held = [{row[at].casefold() for at in classes} for row in rows]
    unknown = [cells for cells in held if not cells <= YES | NO]
    if 2 * len(unknown) > len(held) and any(cells & NO for cells in held):
        raise ListRefusedError(
            f"{name}: the columns {titles.all_of(classes[:_SHOWN])} hold 0 and 1, and -1 or "
            f"nothing in {len(unknown):,} of {len(held):,} rows: it is not known whether the "
            "class applies. Write 0 or 1 into each cell"
        )


def counts_of_classes(
    names: Sequence[str],
    values: Sequence[Sequence[str]],
    columns: Sequence[int],
    classes: Sequence[int],
) -> list[int]:
    """Find the columns with the number of classes of an image (``total``).

    Args:
        names: normalised titles of all columns.
        values: the cells of each column.
        columns: the candidates.
        classes: the columns with 0 and 1.
    """
    called = [at for at in columns if names[at] in COUNT_COLUMNS]
    cells = [values[at] for at in classes if at not in called]
    if not called or len(cells) < 2:
        return []
    sums = [sum(cell.casefold() in YES for cell in row) for row in zip(*cells, strict=True)]
    return [at for at in called if [number(value) for value in values[at]] == sums]


def is_count(values: Sequence[str]) -> bool:
    """Whether a column counts how often its class occurs: whole numbers from 0 on."""
    filled = {value for value in values if value}
    return (
        "0" in filled and all(map(str.isdecimal, filled)) and max(map(int, filled)) <= _MOST_COUNTED
    )


def offered_classes(
    titles: ColumnTitles,
    values: Sequence[Sequence[str]],
    file: int,
    classes: Sequence[int],
    others: Sequence[int],
) -> list[tuple[str, str]]:
    """The answers to the question which columns hold the labels.

    Args:
        titles: of the columns.
        values: the cells of each column.
        file: the column of images.
        classes: the columns with 0 and 1.
        others: other columns that may hold labels.
    """
    answers = []
    if list(classes) == list(range(classes[0], classes[-1] + 1)):
        option = f"--columns {file + 1},{classes[0] + 1}-{classes[-1] + 1}"
        answers.append((option, f"{len(classes)} classes: {titles.all_of(classes[:_SHOWN])}"))
    counts = [at for at in others if is_count(values[at])]
    if counts:
        whole = sorted([*classes, *counts])
        shown = f"{len(whole)} classes: {titles.all_of(whole[:_SHOWN])}; a number above 0 is yes"
        answers.append((titles.several(file, whole), shown))
    return answers + [(titles.option(file, at), shown_classes(values[at])) for at in others]

"""Columns of which each is about one class, with 0 and 1, and those beside them that count these."""

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
    """Refuse columns of classes that leave open for most images whether one applies.

    Args:
        name: of the list.
        titles: of its columns.
        rows: the cells of each.
        classes: the columns.

    Raises:
        ListRefusedError: in most rows there is -1 or nothing, beside 0 and 1 in others.
    """
    held = [{row[at].casefold() for at in classes} for row in rows]
    unknown = [cells for cells in held if not cells <= YES | NO]
    if 2 * len(unknown) > len(held) and any(cells & NO for cells in held):
        raise ListRefusedError(
            f"{name}: the columns {titles.all_of(classes[:_SHOWN])} hold 0 and 1, and -1 or nothing in "
            f"{len(unknown):,} of {len(held):,} rows: of a class it is not known whether it applies. "
            "Write 0 or 1 into each cell"
        )


def counts_of_classes(
    names: Sequence[str],
    values: Sequence[Sequence[str]],
    columns: Sequence[int],
    classes: Sequence[int],
) -> list[int]:
    """Find the columns that say how many classes an image has (``total``).

    Args:
        names: of all columns, in plain letters.
        values: the cells of each.
        columns: those that may be.
        classes: those with 0 and 1.
    """
    called = [at for at in columns if names[at] in COUNT_COLUMNS]
    cells = [values[at] for at in classes if at not in called]
    if not called or len(cells) < 2:
        return []
    sums = [sum(cell.casefold() in YES for cell in row) for row in zip(*cells, strict=True)]
    return [at for at in called if [number(value) for value in values[at]] == sums]


def is_count(values: Sequence[str]) -> bool:
    """Whether a column says of one class how often it is there: whole numbers from 0 on."""
    said = {value for value in values if value}
    return "0" in said and all(map(str.isdecimal, said)) and max(map(int, said)) <= _MOST_COUNTED


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
        values: the cells of each.
        file: the column of images.
        classes: the columns with 0 and 1.
        others: those that may be of labels as well.
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

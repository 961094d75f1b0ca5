"""Columns of which each is about one class, with 0 and 1, and those beside them that count these."""

from collections.abc import Sequence

from labelling.sources.lists.column_names import COUNT_COLUMNS
from labelling.sources.lists.column_titles import ColumnTitles
from labelling.sources.lists.column_values import number
from labelling.sources.lists.list_format import ListRefusedError
from labelling.sources.lists.yes_and_no import NO, YES

_SHOWN = 6


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

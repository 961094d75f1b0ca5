"""Columns of 0 and 1 beside class columns that may have another meaning."""

from collections.abc import Sequence

from labelling.labels.foreign_text import visible
from labelling.labels.schema import Task
from labelling.sources.doubt import Doubt
from labelling.sources.lists.columns.given_columns import Columns
from labelling.sources.lists.columns.split_columns import flag_of
from labelling.sources.lists.columns.titles import ColumnTitles
from labelling.sources.lists.labels.yes_and_no import YES
from labelling.sources.lists.review.words import is_never_a_class
from labelling.sources.lists.text.table import Table

_ROWS = 10
"""With fewer rows, columns may exclude each other by chance."""

_MOST_CLASSES = 200
_SHOWN = 6
_NONE = ("--labels-from none", "no labels")


def certain_classes(table: Table, columns: Columns, task: Task) -> list[int]:
    """The class columns that are not named like something else, nor set apart by their cells.

    Args:
        table: the table.
        columns: the meaning of its columns, from the table itself.
        task: whether an image may have several labels.
    """
    titles = table.header
    kept = [
        at for at in columns.classes if not (is_never_a_class(titles[at]) or flag_of(titles[at]))
    ]
    run = _one_of_each(table, kept)
    few = len(kept) - len(run) <= len(run) // 3
    return run if run and (task == "single_label" or few) else kept


def asked_as_extra(table: Table, columns: Columns, task: Task) -> Doubt | None:
    """The question whether columns of 0 and 1 are classes, if they are named like a split
    (``train``), or beside others of which exactly one applies to each image.

    Args:
        table: the table.
        columns: the meaning of its columns, from the table itself, not from the user.
        task: whether an image may have several labels.
    """
    if columns.is_given or len(columns.classes) < 2 or not table.header:
        return None
    kept = certain_classes(table, columns, task)
    extra = [at for at in columns.classes if at not in kept]
    if not extra or len(kept) < 2:
        return None
    titles = ColumnTitles(table)
    without, whole = (
        titles.several(columns.file, kept),
        titles.several(columns.file, columns.classes),
    )
    names = titles.all_of(extra[:_SHOWN])
    called = [at for at in extra if flag_of(table.header[at])]
    reason = (
        f"{titles.all_of(called[:_SHOWN])} is called like a split"
        if called
        else f"of {titles.all_of(kept[:_SHOWN])}, exactly one applies to each image"
    )
    question = (
        f"Is {names} of {visible(table.name)} (yes and no) a class like the others? For {reason}"
    )
    answers = [
        (without, f"{len(kept)} classes: {titles.all_of(kept[:_SHOWN])}; {names} is none"),
        (whole, f"{len(columns.classes)} classes, {names} as well"),
        _NONE,
    ]
    return Doubt(question, tuple(answers))


def _one_of_each(table: Table, classes: Sequence[int]) -> list[int]:
    """Adjacent columns of which exactly one is yes in each row, if that does not hold for all
    columns."""
    rows = [[row[at].casefold() in YES for at in classes] for row in table.sample()]
    # Rows without any yes do not count: sums, headings.
    rows = [row for row in rows if any(row)]
    if len(rows) < _ROWS or len(classes) > _MOST_CLASSES:
        return []
    best: list[int] = []
    for begin in range(len(classes)):
        sums = [0] * len(rows)
        for end in range(begin, len(classes)):
            sums = [one + row[end] for one, row in zip(sums, rows, strict=True)]
            if max(sums) > 1:
                break
            if min(sums) == 1 and end - begin + 1 > max(1, len(best)):
                best = list(classes[begin : end + 1])
    return best if len(best) < len(classes) else []

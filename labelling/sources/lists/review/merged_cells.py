"""Labels only in the first line of a block, as spreadsheets save merged cells."""

from collections.abc import Sequence
from itertools import pairwise

from labelling.labels.foreign_text import visible
from labelling.labels.schema import Task
from labelling.sources.containers.containers import Rejection
from labelling.sources.doubt import Doubt
from labelling.sources.lists.columns.given_columns import Columns
from labelling.sources.lists.columns.titles import ColumnTitles
from labelling.sources.lists.text.table import Table

_FEW_BLOCKS = 20
"""With up to so many blocks, a blank must follow each label; with more, a block may have one
line."""

_FOLLOWED = 0.8
_CHANGING = 0.9
_LINES = 4


def asked_as_merged(table: Table, columns: Columns, task: Task) -> Doubt | None:
    """The question what blank cells after each label mean.

    Args:
        table: the table.
        columns: the meaning of its columns, from the table itself, not from the user.
        task: whether an image may have several labels.
    """
    if columns.is_given or len(columns.labels) != 1:
        return None
    at = columns.labels[0]
    if all(row[at] for row in table.sample()):
        return None
    cells = [
        item[1][at]
        for item in table.rows()
        if not isinstance(item, Rejection) and item[1][columns.file]
    ]
    heads = [line for line, cell in enumerate(cells) if cell]
    if not _are_heads(cells, heads, task):
        return None
    labels = ", ".join(visible(cells[line][:40]) for line in heads[:3])
    blank = len(cells) - len(heads)
    title = visible(table.title(at))
    meaning = (
        "negatives, to which no label applies" if task == "multi_label" else "not labelled yet"
    )
    question = (
        f"In the column {title} of {visible(table.name)}, {blank:,} blank cells follow "
        f"{len(heads):,} labels in blocks ({labels}), as a spreadsheet saves merged cells. If "
        "they mean the label above, write it into each line (unmerge the cells, and fill down). "
        "Or are they blank?"
    )
    option = ColumnTitles(table).option(columns.file, at)
    return Doubt(
        question, ((option, f"the {blank:,} are {meaning}"), ("--labels-from none", "no labels"))
    )


def _are_heads(cells: Sequence[str], heads: Sequence[int], task: Task) -> bool:
    """Whether each label begins a block, the first one at the beginning of the table."""
    if len(cells) < _LINES or not heads or heads[0] or len(cells) < 2 * len(heads):
        return False
    followed = sum(line + 1 < len(cells) and not cells[line + 1] for line in heads)
    if len(heads) <= _FEW_BLOCKS:
        # One label and blanks below it: in single_label, labelling has probably only begun.
        enough = len(heads) > 1 or task == "multi_label"
        return enough and followed >= max(1, len(heads) - 1)
    changes = sum(cells[one] != cells[other] for one, other in pairwise(heads))
    return followed >= _FOLLOWED * len(heads) and changes >= _CHANGING * (len(heads) - 1)

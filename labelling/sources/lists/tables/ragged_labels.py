"""Texts with any number of labels after each image (``a.jpg banded bumpy``), such as DTD's."""

from collections.abc import Callable, Sequence

from labelling.sources.lists.columns.values import is_numeric
from labelling.sources.lists.text.dialect import Row
from labelling.sources.lists.text.table import trimmed

_NEARLY_ALL = 0.9
_MOST_LABELS = 12
_OF_SENTENCES = frozenset(
    {"a", "an", "the", "of", "on", "in", "with", "is", "are", "and", "der", "die", "das", "ein", "mit"}
    | {"und", "le", "la", "un", "une", "et", "el", "de", "con"}
)  # fmt: skip

READ_SO = "all words behind the name of an image were read as its labels"


def with_labels_together(
    rows: Sequence[Row], names_a_file: Callable[[str], bool]
) -> list[Row] | None:
    """Join the labels of each row in one cell (``banded|bumpy``).

    Args:
        rows: of a table without header, with a cell for each label.
        names_a_file: whether a cell names a file of the source.

    Returns:
        The rows; ``None`` if these are no such rows: sentences, numbers, or equal numbers of cells.
    """
    whole = [row for row in rows if row.flaw is None and any(row.cells)]
    cells = [[cell.strip() for cell in trimmed(row.cells)] for row in whole]
    widths = {len(row) for row in cells}
    if len(widths) < 2 or min(widths) < 1 or not 2 < max(widths) <= _MOST_LABELS:
        return None
    if sum(names_a_file(row[0]) for row in cells) < _NEARLY_ALL * len(cells):
        return None
    rows_of_labels = [[word for word in row[1:] if word] for row in cells]
    if not _are_labels(rows_of_labels, names_a_file):
        return None
    together = zip(whole, cells, rows_of_labels, strict=True)
    return [row._replace(cells=[first[0], "|".join(labels)]) for row, first, labels in together]


def _are_labels(
    rows_of_labels: Sequence[Sequence[str]], names_a_file: Callable[[str], bool]
) -> bool:
    """Whether the words of the lines are few and repeated, each once in a line."""
    words = [word for labels in rows_of_labels for word in labels]
    distinct = set(words)
    return (
        2 * len(distinct) <= len(words)
        and all(len(set(labels)) == len(labels) for labels in rows_of_labels)
        and _OF_SENTENCES.isdisjoint(map(str.casefold, distinct))
        and not any("|" in word or is_numeric([word]) or names_a_file(word) for word in distinct)
    )

"""Find the header of a table, if it has one."""

from collections.abc import Callable, Sequence

from labelling.sources.lists.files.index import has_image_suffix
from labelling.sources.lists.list_format import ListRefusedError
from labelling.sources.lists.text.dialect import Row
from labelling.sources.lists.text.table import Table, is_comment, trimmed, usual_width
from labelling.sources.names.columns import (
    FILE_COLUMNS,
    LABEL_COLUMNS,
    SPLIT_COLUMNS,
    WEAK_FILE_COLUMNS,
    WEAK_LABEL_COLUMNS,
    plain,
)

_LINES_ABOVE = 30


def make_table(
    name: str,
    rows: Sequence[Row],
    names_a_file: Callable[[str], bool],
    wanted: tuple[str, ...] | None = None,
) -> Table | None:
    """Separate the header from lines above it and rows below.

    Args:
        name: of the list.
        rows: all its rows.
        names_a_file: whether a cell names a file of the source.
        wanted: the columns that the user named.

    Returns:
        The table; ``None`` if no row is a header or names an image.

    Raises:
        ListRefusedError: the line that may be the header is broken.
    """
    first = [row for row in rows[:_LINES_ABOVE] if row.flaw is None]
    texts = [[cell.removeprefix("#").strip() for cell in trimmed(row.cells)] for row in first]
    filled = [len(row.cells) for row in first]
    data_at = len(first)
    for at, cells in enumerate(texts):
        is_data = not is_comment(first[at].cells) and any(
            _is_file(cell, names_a_file) for cell in cells
        )
        # ``--columns 1,2`` names columns by number, and a line may hold both of these as labels.
        is_header = wanted and set(wanted) <= set(cells) and not is_data
        if is_header or _names_images(cells, filled[at:]):
            return _below(name, rows, first[at], cells)
        if is_data:
            data_at = at
            break
    for at, cells in enumerate(texts[: data_at + 1]):
        if _names_labels(cells, filled[at:], names_a_file):
            return _below(name, rows, first[at], cells)
    if data_at == len(first):
        return None
    above = texts[data_at - 1] if data_at else []
    if _is_above(above, texts[data_at]):
        return _below(name, rows, first[data_at - 1], above)
    at = rows.index(first[data_at])
    if at and rows[at - 1].flaw is not None:
        raise ListRefusedError(
            f"{name}:{rows[at - 1].line}, the line above the first image, may be the header: "
            f"{rows[at - 1].flaw}"
        )
    body = rows[at:]
    return Table(name, (), usual_width(body), body, above=first[data_at].line - 1)


def _is_above(above: list[str], cells: list[str]) -> bool:
    """Whether the row above the first image is its header: as many words, or one less, since R and
    other programs give the row names no title."""
    if len(cells) == 1:
        return len(above) == 1 and plain(above[0]) in WEAK_FILE_COLUMNS
    as_many = len(above) == len(cells) or len(above) + 1 == len(cells) > 2
    return as_many and all(above) and not any(map(_is_number, above))


def _below(name: str, rows: Sequence[Row], header: Row, cells: list[str]) -> Table:
    body = rows[rows.index(header) + 1 :]
    names = tuple(cells)
    unnamed = not FILE_COLUMNS.intersection(map(plain, cells))
    if usual_width(body) == len(cells) + 1 and all(
        _names_its_row(row.cells[0].strip(), unnamed) for row in body[:_LINES_ABOVE] if row.cells
    ):
        names = ("", *cells)  # R writes row names in a column without title
    return Table(name, names, len(names), body, above=header.line - 1)


def _names_images(cells: list[str], filled: list[int]) -> bool:
    """Whether a row is a header with a column of images. ``filled``: the numbers of cells of the
    row and the rows below."""
    if not FILE_COLUMNS.intersection(map(plain, cells)) or any(map(has_image_suffix, cells)):
        return False
    below = filled[1] if len(filled) > 1 else filled[0]
    return below >= filled[0] if len(cells) > 1 else below == 1


def _names_labels(cells: list[str], filled: list[int], names_a_file: Callable[[str], bool]) -> bool:
    """Whether a row is a header with a column of labels, and an unknown title for images."""
    words = set(map(plain, cells))
    if len(cells) < 2 or any(map(has_image_suffix, cells)):
        return False
    if len(filled) > 1 and filled[1] < filled[0]:
        return False
    if not words & (LABEL_COLUMNS | WEAK_LABEL_COLUMNS | SPLIT_COLUMNS):
        return False
    return bool(words & WEAK_FILE_COLUMNS) or not any(map(names_a_file, cells))


def _names_its_row(cell: str, by_image: bool) -> bool:
    return cell.isdigit() or (by_image and has_image_suffix(cell))


def _is_file(cell: str, names_a_file: Callable[[str], bool]) -> bool:
    return has_image_suffix(cell) or (bool(cell) and names_a_file(cell))


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True

"""Comment lines at the top of a table, and the header that one of them may be."""

import re
from collections.abc import Callable, Sequence

from labelling.sources.lists.files.index import has_image_suffix
from labelling.sources.lists.text.dialect import Dialect, Row, rows_of
from labelling.sources.lists.text.table import trimmed, usual_width
from labelling.sources.names.columns import (
    FILE_COLUMNS,
    LABEL_COLUMNS,
    LEVEL_COLUMNS,
    SPLIT_COLUMNS,
    WEAK_FILE_COLUMNS,
    WEAK_LABEL_COLUMNS,
    plain,
)

_SIGN = re.compile(r"\s*(#+|//+|%+|;+|--+)")
_FIRST_CELL = re.compile(r"[^,;\t|]*")
_KEY = re.compile(r":(\s|$)")
"""``ID: 1:37 Class ids`` explains a column; it is not a header."""

_LABEL_LIKE = LABEL_COLUMNS | WEAK_LABEL_COLUMNS | LEVEL_COLUMNS | SPLIT_COLUMNS


def comment_lines(lines: Sequence[str], names_a_file: Callable[[str], bool]) -> int:
    """Count the comment lines at the top, with blank lines between them.

    Args:
        lines: of the whole list.
        names_a_file: whether a cell names a file of the source.

    Returns:
        The number of the first line of the table, from 0 on; 0 if it does not begin with a comment.
    """
    signs: set[str] = set()
    for at, line in enumerate(lines):
        sign = _SIGN.match(line)
        if sign and not _is_file(line, names_a_file):
            signs.add(sign[1][0])
        elif line.strip():
            # pandas leaves the title of its index empty: ``;file;label`` is a header.
            return 0 if not signs or (";" in signs and ";" in line) else at
    return 0


def _is_file(line: str, names_a_file: Callable[[str], bool]) -> bool:
    """Whether a line begins with the name of a file that has a comment sign: ``#1.jpg``."""
    cell = _FIRST_CELL.match(line)
    first = cell[0].strip() if cell else ""
    return any(names_a_file(name) for name in (first, *first.split()[:1]))


def header_in(
    comments: Sequence[str],
    dialect: Dialect,
    rows: Sequence[Row],
    wanted: tuple[str, ...] | None = None,
) -> Row | None:
    """Find the comment with the titles of the columns: ``#file,label``, as numpy writes it.

    Args:
        comments: the lines at the top.
        dialect: of the table.
        rows: of the table.
        wanted: the columns that the user named.

    Returns:
        The titles, one per column, one of which is known as a title of images; ``None`` if no
        comment has them.
    """
    width = usual_width(rows)
    for at, line in reversed([*enumerate(comments)]):
        if not (sign := _SIGN.match(line)):
            continue
        text = line[sign.end() :]
        for written in dict.fromkeys((text.lstrip(), text)):
            for row in rows_of([written], dialect):
                cells = trimmed(row.cells)
                if row.flaw is None and len(cells) == width and _are_titles(cells, dialect, wanted):
                    return Row(at + 1, cells)
    return None


def _are_titles(cells: list[str], dialect: Dialect, wanted: tuple[str, ...] | None) -> bool:
    if wanted and set(wanted) <= set(cells) and not all(map(str.isdecimal, wanted)):
        return True
    if any(has_image_suffix(cell) or _KEY.search(cell) for cell in cells):
        return False
    names = set(map(plain, cells))
    if dialect.separator == " ":
        # With spaces as separators, any sentence of as many words looks like titles.
        return bool(names & FILE_COLUMNS and names & _LABEL_LIKE)
    return bool(names & (FILE_COLUMNS | WEAK_FILE_COLUMNS))

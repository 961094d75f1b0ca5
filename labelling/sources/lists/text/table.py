"""A table of cells, from any format, before the meaning of its columns is known."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from labelling.sources.containers.containers import Rejection
from labelling.sources.lists.files.index import has_image_suffix
from labelling.sources.lists.text.dialect import Row

SAMPLE_ROWS = 2_000
"""Rows sampled to find the meaning of columns. Other rows are checked one by one."""


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a list below its header.

    Attributes:
        name: of the list.
        header: the titles of the columns; ``()`` if it has no header.
        width: number of columns.
        body: the rows below the header, including broken ones and comments.
        above: number of lines above the header.
    """

    name: str
    header: tuple[str, ...]
    width: int
    body: Sequence[Row]
    above: int = 0

    def place(self, row: Row) -> str:
        """The place of a row, for messages."""
        return f"{self.name}:{row.line}"

    def title(self, column: int) -> str:
        """The title of a column, else its number from 1 on."""
        if self.header and self.header[column]:
            return self.header[column]
        return str(column + 1)

    def rows(self) -> Iterator[tuple[Row, Sequence[str]] | Rejection]:
        """Every row padded to the number of columns, or its rejection."""
        width = self.width
        for row in self.body:
            cells: Sequence[str] = tuple(trimmed(row.cells, width))
            cells = row.cells if cells == row.cells else cells  # not stored twice
            if row.flaw is not None:
                yield Rejection(self.place(row), row.flaw, of_list=True)
            elif len(cells) == width:
                if cells != self.header:
                    yield row, cells
            elif not is_comment(row.cells):
                reason = f"{len(cells)} columns, where the others have {self.width}"
                yield Rejection(
                    self.place(row), f"{reason}; several labels are written a|b", of_list=True
                )

    def broken(self, column: int) -> set[str]:
        """The cells of a column in rejected rows, as far as they are known."""
        rows = (trimmed(row.cells, self.width) for row in self.body if row.flaw is not None)
        return {cells[column] for cells in rows if len(cells) == self.width}

    def sample(self) -> list[Sequence[str]]:
        """The cells of valid rows from all parts of the table, since many tables are sorted by
        label."""
        body = self.body[:: max(1, len(self.body) // SAMPLE_ROWS)]
        some = replace(self, body=body)
        return [row[1] for row in some.rows() if not isinstance(row, Rejection)]


def rows_of_images(
    rows: Sequence[Sequence[str]], columns: Sequence[int], names_a_file: Callable[[str], bool]
) -> list[Sequence[str]]:
    """The rows about an image, without sums, headings and units.

    Args:
        rows: the cells of each row.
        columns: those that name images in most rows.
        names_a_file: whether a cell names a file of the source.
    """
    return [
        row
        for row in rows
        if any(has_image_suffix(row[at]) or names_a_file(row[at]) for at in columns)
    ]


def trimmed(cells: Sequence[str], width: int = 0) -> list[str]:
    """``cells`` without spaces around each, and without empty ones at the end beyond ``width``."""
    kept = list(map(str.strip, cells))
    while len(kept) > width and not kept[-1]:
        kept.pop()
    return kept


def is_comment(cells: Sequence[str]) -> bool:
    """Whether a row of the wrong width is a remark of the program that wrote the list."""
    return bool(cells) and cells[0].lstrip().startswith(("#", "//", "%"))


def usual_width(rows: Sequence[Row]) -> int:
    """The most frequent number of cells of the rows."""
    widths = Counter(len(trimmed(row.cells)) for row in rows[:SAMPLE_ROWS] if row.flaw is None)
    return max(widths, key=lambda width: (widths[width], width), default=0)

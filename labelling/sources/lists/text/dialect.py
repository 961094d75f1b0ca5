"""The dialect of a delimited text: its separator, quotes and lines."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_SEPARATORS = ",;\t|"
_RARE_SEPARATORS = " :^~"
_QUOTES = ('"', "'")
_SAMPLE_LINES = 60
_SAMPLE_CHARACTERS = 12_000
_LONGEST_RECORD = 100
"""The most lines of a record: an unclosed quote would make the rest of the list one cell."""

_CELLS_KEPT = 1 << 13

_OTHER_QUOTING = "broken line: a cell is quoted or escaped in another way than the rest of the list"

_DECLARED = re.compile(r"^\"?sep=(.)\"?\r?\n?$", re.IGNORECASE)
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar (|)", " ": "space", "": "none"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """Separator, quote and escape character of a table. ``""``: there is none.

    ``unsure``: the other quote may be one, too; cells with it are rejected.
    """

    separator: str
    quote: str = '"'
    escape: str = ""
    unsure: bool = False

    def __str__(self) -> str:
        return f"separator {_NAMES.get(self.separator, self.separator)}"


class Row(NamedTuple):
    """The cells of one record and the number of its first line, from 1 on. ``flaw``: why they
    cannot be used, or are missing."""

    line: int
    cells: Sequence[str]
    flaw: str | None = None


def lines_of(text: str) -> list[str]:
    """The lines of ``text``, with line ends of Unix, Windows or old Macs."""
    return list(io.StringIO(text, newline=None))


def find_dialect(lines: Sequence[str], names_a_file: Callable[[str], bool]) -> tuple[Dialect, int]:
    """Detect the dialect of a table.

    Args:
        lines: all its lines.
        names_a_file: whether a cell names a file of the source.

    Returns:
        The dialect, and how many lines at the top only declare it (Excel's ``sep=;``).
    """
    if lines and (declared := _DECLARED.match(lines[0])):
        return _detected(lines[1:], declared[1]) or Dialect(declared[1]), 1
    sample = lines[:_SAMPLE_LINES]

    def telling_rows(dialect: Dialect) -> int:
        return sum(any(map(names_a_file, row.cells)) for row in rows_of(sample, dialect))

    # The library only measures how regular the text is; here, a dialect that finds more names of
    # files is better.
    detected = _detected(lines, _SEPARATORS + _RARE_SEPARATORS) or Dialect("")
    candidates = [detected, Dialect(""), *map(Dialect, _SEPARATORS)]
    if all("\t" in line for line in sample if line.strip()):
        # A tab in every line is a separator.
        candidates.insert(0, _detected(lines, "\t") or Dialect("\t"))
    return max(candidates, key=telling_rows), 0


def _detected(lines: Sequence[str], separators: str) -> Dialect | None:
    """The dialect with the highest consistency score of clevercsv."""
    from clevercsv.detect import Detector

    sample = "".join(lines[:_SAMPLE_LINES])[:_SAMPLE_CHARACTERS]
    found = Detector().detect(sample, delimiters=list(separators)) if sample.strip() else None
    if found is None:
        return None
    quote = found.quotechar if found.quotechar in _QUOTES else '"'
    escape = "\\" if found.escapechar == "\\" else ""
    dialect = Dialect(found.delimiter or "", quote, escape)
    if quote == "'" and dialect.separator and not _quotes_in_order(lines, dialect):
        return Dialect(dialect.separator, '"', escape, unsure=True)
    return dialect


def _quotes_in_order(lines: Sequence[str], dialect: Dialect) -> bool:
    """Whether ``'`` is used as a quote by a program: for every cell, every text, or where needed.
    Otherwise it is an apostrophe, or part of a label."""
    sample = lines[:_SAMPLE_LINES]
    rows = [row for row in rows_of(sample, dialect) if row.flaw is None]
    if not rows:
        return False
    ends = [*(row.line - 1 for row in rows[1:]), len(sample)]
    written = [
        (row.cells, _tight("".join(sample[row.line - 1 : end]), dialect))
        for row, end in zip(rows, ends, strict=True)
    ]
    quote, separator = dialect.quote, dialect.separator

    def needs_it(cell: str) -> bool:
        return any(sign in cell for sign in (quote, separator, "\n", dialect.escape or quote))

    def is_text(cell: str) -> bool:
        return not cell.replace(".", "", 1).isdigit()

    def in_order(is_quoted: Callable[[str], bool]) -> bool:
        return all(
            text
            == _tight(separator.join(_cell(cell, dialect, is_quoted) for cell in cells), dialect)
            for cells, text in written
        )

    return any(map(in_order, (lambda _: True, is_text, needs_it)))


def _cell(cell: str, dialect: Dialect, is_quoted: Callable[[str], bool]) -> str:
    quote = dialect.quote
    if not is_quoted(cell):
        return cell
    if dialect.escape:
        escaped = cell.replace(dialect.escape, dialect.escape * 2)
        return quote + escaped.replace(quote, dialect.escape + quote) + quote
    return quote + cell.replace(quote, quote * 2) + quote


def _tight(text: str, dialect: Dialect) -> str:
    """``text`` without spaces around it and after separators."""
    return re.sub(rf"{re.escape(dialect.separator)} +", dialect.separator, text.strip())


def rows_of(lines: Sequence[str], dialect: Dialect, start: int = 0) -> Iterator[Row]:
    """The rows of a table without blank lines; a broken row does not affect others.

    Args:
        lines: of the whole list.
        dialect: of the table.
        start: the first line to read, from 0 on.
    """
    if not dialect.separator:
        for number, line in enumerate(lines[start:], start + 1):
            if line.strip():
                yield Row(number, [_unquoted(line.strip(), dialect.quote)])
        return
    foreign = _other_quoting(lines, dialect)
    kept = Kept()
    source = _Lines(lines, start)
    reader = _reader(source, dialect)
    while True:
        begin = source.begin = source.at
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(begin + 1, [], f"broken line: {error}")
            source.at = begin + 1
            reader = _reader(source, dialect)
            continue
        if foreign and any(map(foreign, cells)):
            yield Row(begin + 1, cells, _OTHER_QUOTING)
        elif any(map(str.strip, cells)):
            yield Row(begin + 1, kept.once(cells))


def _other_quoting(lines: Sequence[str], dialect: Dialect) -> Callable[[str], object] | None:
    """A function that finds cells with another quote or escape than the rest of the table; ``None``
    if there is no sign of any."""
    other = "'" if dialect.quote == '"' else '"'
    with_other = [line for line in lines if other in line]
    separator = re.escape(dialect.separator)
    whole = re.compile(rf"(^|{separator}) *{other}[^{separator}]*{other} *($|{separator})")
    signs = []
    if dialect.unsure or any(whole.search(line.rstrip("\n")) for line in with_other):
        signs.append(rf"^{other}.*{other}$")
    elif with_other:
        signs.append(rf"^{other}.*{other}{other}.*{other}$")
    if not dialect.escape and any("\\" in line for line in lines):
        signs.append(r"\\[\"']")
    return re.compile("|".join(signs), re.DOTALL).search if signs else None


def _reader(source: "_Lines", dialect: Dialect) -> Iterator[list[str]]:
    return csv.reader(
        source,
        delimiter=dialect.separator,
        quotechar=dialect.quote,
        escapechar=dialect.escape or None,
        doublequote=not dialect.escape,
        skipinitialspace=True,
        strict=True,
    )


class Kept:
    """A cache of recent cells, so that repeated texts such as labels are stored once: a million
    lines would otherwise have a million copies."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def once(self, cells: Sequence[str]) -> tuple[str, ...]:
        """The same cells, sharing strings that were seen before."""
        if len(self._seen) > _CELLS_KEPT:
            self._seen.clear()
        keep = self._seen.setdefault
        return tuple([keep(cell, cell) for cell in cells])


class _Lines:
    """An iterator over lines that can start at any line."""

    def __init__(self, lines: Sequence[str], at: int) -> None:
        self._lines = lines
        self.at = at
        self.begin = at

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        at = self.at
        if at >= len(self._lines):
            raise StopIteration
        if at - self.begin >= _LONGEST_RECORD:
            raise csv.Error("a quote is opened and not closed")
        self.at = at + 1
        return self._lines[at]


def _unquoted(cell: str, quote: str) -> str:
    if len(cell) > 1 and cell[0] == cell[-1] == quote:
        return cell[1:-1].replace(quote * 2, quote)
    return cell

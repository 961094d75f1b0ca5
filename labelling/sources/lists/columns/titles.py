"""Names of a table's columns in messages and for ``--columns``."""

from collections.abc import Sequence

from labelling.labels.foreign_text import visible
from labelling.sources.lists.list_format import WrongColumnsError
from labelling.sources.lists.text.table import Table
from labelling.sources.names.columns import LABEL_COLUMNS, plain

_NOT_IN_QUOTES = frozenset('"$`\\!%,')
"""Characters that a shell interprets inside double quotes, and the separator of ``--columns``."""


class ColumnTitles:
    """The columns of one table, by title or by number from 1 on."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._names = [plain(name) for name in table.header] or [""] * table.width

    def numbers(self, given: str) -> tuple[int, ...]:
        """The columns of a title, of a number from 1 on, or of a range (``3-8``, ``tag1-tag3``)."""
        width = self._table.width
        exact = [at for at, name in enumerate(self._table.header) if name == given]
        alike = [at for at, name in enumerate(self._names) if name and name == plain(given)]
        for found in (exact, alike):
            if len(found) == 1:
                return tuple(found)
        for dash in [at for at, char in enumerate(given) if char == "-"]:
            begin, end = self._one(given[:dash]), self._one(given[dash + 1 :])
            if begin is not None and end is not None and begin <= end:
                return tuple(range(begin, end + 1))
        if (one := self._one(given)) is not None:
            return (one,)
        raise WrongColumnsError(
            f"--columns: {self._table.name} has {'two columns' if exact or alike else 'no column'} "
            f"{given}; it has {self.all_of(range(width))} (1 to {width})"
        )

    def _one(self, given: str) -> int | None:
        """The column of a title, or of a number from 1 on."""
        given = given.strip()
        for names, wanted in ((self._table.header, given), (self._names, plain(given))):
            if wanted and list(names).count(wanted) == 1:
                return list(names).index(wanted)
        if given.isdecimal() and 1 <= int(given) <= self._table.width:
            return int(given) - 1
        return None

    def option(self, file: int, label: int) -> str:
        """The option that selects these columns, quoted for any shell."""
        return self.several(file, [label])

    def several(self, file: int, labels: Sequence[int]) -> str:
        """The option that selects several columns of labels, with ranges."""
        shown = ",".join(self._range(run) for run in _runs(labels))
        given = f"{self._option_text(file)},{shown}"
        return f"--columns {given}" if _is_plain(given) else f'--columns "{given}"'

    def _range(self, run: Sequence[int]) -> str:
        """Neighbouring columns as a range of ``--columns``."""
        ends = [self._option_text(at) for at in dict.fromkeys((run[0], run[-1]))]
        # By number, if one of the names has a dash itself.
        if len(ends) > 1 and any("-" in end for end in ends):
            ends = [str(run[0] + 1), str(run[-1] + 1)]
        return "-".join(ends)

    def _option_text(self, at: int) -> str:
        """A column for ``--columns``: its title if it is unique and can be quoted, else its
        number."""
        title = self._table.title(at)
        is_quotable = title.isprintable() and not set(title) & _NOT_IN_QUOTES
        return title if is_quotable and self._names.count(self._names[at]) == 1 else str(at + 1)

    def all_of(self, columns: Sequence[int]) -> str:
        """The titles of columns, for messages."""
        return ", ".join(visible(self._table.title(at)) for at in columns)


def _runs(columns: Sequence[int]) -> list[list[int]]:
    """Group columns into runs of neighbours."""
    runs: list[list[int]] = []
    for at in columns:
        if runs and at == runs[-1][-1] + 1:
            runs[-1].append(at)
        else:
            runs.append([at])
    return runs


def _is_plain(text: str) -> bool:
    return all(char.isalnum() or char in "_-.," for char in text)


def common_prefix(titles: Sequence[str]) -> str:
    """The common prefix of class names: ``labels.`` of objects in JSON, or ``label_`` as
    ``pandas.get_dummies`` writes it; ``""`` if there is none."""
    first = titles[0] if len(titles) > 1 else ""
    for sign in "._":
        word, found, _ = first.partition(sign)
        prefix = word + found
        rest = [title.removeprefix(prefix) for title in titles]
        called = plain(word) in LABEL_COLUMNS
        if found and called and all(title.startswith(prefix) for title in titles):
            # label_1 is not class 1: it may be the number of a column.
            return prefix if all(rest) and not all(map(str.isdecimal, rest)) else ""
    return ""

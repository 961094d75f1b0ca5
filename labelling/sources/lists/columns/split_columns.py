"""Find the columns of a table that give the split of an image: words, codes, or flags such as
``is_test``."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from labelling.labels.foreign_text import visible
from labelling.sources.lists.labels.yes_and_no import NO, YES
from labelling.sources.lists.text.table import Table
from labelling.sources.names.columns import SPLIT_COLUMNS, is_split_in_english, plain, split_of
from labelling.sources.names.splits import DATA, PARTICLES
from labelling.sources.names.words import words
from labelling.sources.reading import Split

_CODES: tuple[Mapping[str, Split], ...] = (
    {"0": "train", "1": "val", "2": "test"},  # CelebA's list_eval_partition
    {"t": "train", "v": "val", "e": "test"},
    {"tr": "train", "va": "val", "te": "test", "trn": "train", "vl": "val", "ts": "test"},
)
"""The meaning of short values in a column named like a split."""

_SAYS_WHETHER = frozenset(
    [
        "is",
        "in",
        "for",
        "use",
        "used",
        "as",
        "flag",
        "indicator",
        "set",
        "image",
        "sample",
        "ist",
        "est",
        "es",
        "er",
        "jest",
        "e",
    ]
)
"""Words that turn a title into a flag: ``is_test``, ``test_flag``, ``used for training``."""

_REST: Mapping[frozenset[Split], Split] = {
    frozenset({"test"}): "train",
    frozenset({"val"}): "train",
    frozenset({"val", "test"}): "train",
    frozenset({"train"}): "test",
    frozenset({"train", "val"}): "test",
    frozenset({"train", "test"}): "val",
}
"""The split of an image without a set flag, by the splits that have a flag."""

_VALID = "valid"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class SplitColumns:
    """How columns of a table give splits.

    Attributes:
        columns: by number. Several: each is a flag.
        flags: for each of the columns, the split that yes means.
        codes: the split of each value; ``{}``: words in any language, or flags.
    """

    columns: tuple[int, ...] = ()
    flags: tuple[Split, ...] = ()
    codes: Mapping[str, Split] = field(default_factory=dict)

    def of(self, cells: Sequence[str]) -> Split | None:
        """The split that the cells of a row give."""
        if not self.flags:
            first = cells[self.columns[0]]
            return self.codes.get(plain(first)) if self.codes else split_of(first)
        held = [cells[at].casefold() for at in self.columns]
        yes = {flag for flag, cell in zip(self.flags, held, strict=True) if cell in YES}
        if yes or not all(cell in NO or not cell for cell in held):
            return yes.pop() if len(yes) == 1 else None
        return _REST.get(frozenset(self.flags))

    def describe(self, table: Table) -> str:
        """A description of how they were read."""
        titles = ", ".join(visible(table.title(at)) for at in self.columns)
        if self.codes:
            return f"splits in column {titles} ({_pairs(self.codes)})"
        if len(self.flags) != 1:
            return f"splits in column{'s' if self.flags else ''} {titles}"
        rest = _REST[frozenset(self.flags)]
        return f"splits in column {titles} (yes: {self.flags[0]}, no: {rest})"


def find_splits(
    table: Table, values: Sequence[Sequence[str]], taken: Collection[int], *, labelled: bool
) -> SplitColumns:
    """Find the columns that give splits.

    Args:
        table: the table.
        values: the cells of each column.
        taken: columns with another meaning.
        labelled: whether the columns of labels are known, so that a column ``test`` of 0 and 1 is
            no class.
    """
    names = [plain(title) for title in table.header] or [""] * table.width
    free = [at for at in range(table.width) if at not in taken and any(values[at])]
    for at in free:
        splits = {split_of(value) for value in values[at] if value}
        if None not in splits and (names[at] in SPLIT_COLUMNS or len(splits) > 1):
            return SplitColumns((at,))
    for at in free:
        if names[at] in SPLIT_COLUMNS and (codes := _codes_of(values[at])):
            return SplitColumns((at,), codes=codes)
    return _flags(table.header, values, free, labelled=labelled)


def flag_of(title: str) -> Split | None:
    """The split of a flag column by its title; ``None`` if it is not named like one."""
    title_words = [word for word in words(title) if word not in _SAYS_WHETHER | DATA | PARTICLES]
    if len(title_words) != 1:
        return None
    return split_of(title_words[0]) or split_of(title_words[0].removeprefix("is"))


def not_understood(table: Table, values: Sequence[Sequence[str]], used: Collection[int]) -> str:
    """Describe a column that is named like a split and has no known split values.

    Args:
        table: the table.
        values: the cells of each column.
        used: the numbers of columns that are understood.

    Returns:
        A sentence about the first such column; empty if there is none.
    """
    for at, title in enumerate(table.header):
        held = {value: None for value in values[at] if value}
        if at not in used and plain(title) in SPLIT_COLUMNS and len(held) > 1:
            shown = ", ".join(visible(value[:20]) for value in list(held)[:_SHOWN])
            return (
                f"the column {visible(title)} has a name of splits, and its values ({shown}) "
                "are unknown; write train, val and test into it to have them read"
            )
    return ""


def _codes_of(values: Sequence[str]) -> Mapping[str, Split] | None:
    counts = Counter(plain(value) for value in values if value)
    for codes in _CODES:
        # Numbers from 0 to 2 only if all three occur: 0 and 1 may mean anything.
        enough = len(counts) == len(codes) if "0" in codes else len(counts) > 1
        first = max(counts, key=lambda code: counts[code], default="")
        most = {code for code in counts if counts[code] == counts[first]}
        if enough and counts.keys() <= codes.keys() and any(codes[c] == "train" for c in most):
            return {code: codes[code] for code in sorted(counts, key=[*codes].index)}
    return None


def _flags(
    header: Sequence[str], values: Sequence[Sequence[str]], free: Sequence[int], *, labelled: bool
) -> SplitColumns:
    """The flag columns that are named like splits."""
    found = {
        at: flag for at in free if header and (flag := flag_of(header[at])) and _is_flag(values[at])
    }
    found = {
        at: flag for at, flag in found.items() if not _says_what_counts(header[at], values[at])
    }
    dealt = len(set(found.values())) == len(found) > 1 and not _overlap(values, found)
    if not dealt:
        found = {
            at: flag
            for at, flag in found.items()
            if _is_made_a_flag(header[at]) or (labelled and is_split_in_english(header[at]))
        }
        if len(set(found.values())) < len(found) or _overlap(values, found):
            return SplitColumns()
    return SplitColumns(tuple(found), tuple(found.values()))


def _is_flag(values: Sequence[str]) -> bool:
    folded = {value.casefold() for value in values}
    return len(folded) > 1 and bool(folded & YES) and folded <= YES | NO | {""}


def _says_what_counts(title: str, values: Sequence[str]) -> bool:
    """Whether ``valid`` may mean valid lines. fastai's ``is_valid`` is true in fewer than half of
    the lines."""
    title_words = [word.removeprefix("is") for word in words(title)]
    yes = sum(value.casefold() in YES for value in values)
    return _VALID in title_words and not (_is_made_a_flag(title) and 2 * yes < len(values))


def _is_made_a_flag(title: str) -> bool:
    """Whether a title is explicitly a flag: ``is_test``, not ``test``, which may be a class."""
    title_words = words(title)
    return len(title_words) > 1 or not split_of(title_words[0])


def _overlap(values: Sequence[Sequence[str]], columns: Collection[int]) -> bool:
    """Whether a row has yes in several columns."""
    rows = zip(*(values[at] for at in columns), strict=True)
    return any(sum(cell.casefold() in YES for cell in row) > 1 for row in rows)


def _pairs(codes: Mapping[str, Split]) -> str:
    return ", ".join(f"{code}: {split}" for code, split in codes.items())

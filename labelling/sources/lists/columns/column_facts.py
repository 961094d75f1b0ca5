"""What the titles and cells of a table say about each of its columns."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from labelling.labels.foreign_text import visible
from labelling.labels.schema import Task
from labelling.sources.lists.columns.other_columns import (
    holds_otherwise,
    is_called_otherwise,
    is_called_split,
    is_of_files,
)
from labelling.sources.lists.columns.titles import ColumnTitles
from labelling.sources.lists.columns.values import (
    are_sentences,
    first_number,
    is_counter,
    is_index,
    is_numeric,
    same_partition,
    shown_classes,
    unlike_labels,
)
from labelling.sources.lists.files.index import has_image_suffix
from labelling.sources.lists.labels.yes_and_no import YES
from labelling.sources.lists.text.table import Table, rows_of_images
from labelling.sources.names.columns import (
    CAPTION_COLUMNS,
    COUNTER_COLUMNS,
    FILE_COLUMNS,
    LABEL_COLUMNS,
    SPLIT_COLUMNS,
    WEAK_FILE_COLUMNS,
    WEAK_LABEL_COLUMNS,
    names_of_columns,
)

_ENOUGH = 0.5
"""The share of cells that must name images in a column of images."""

_LOOKED_AT = 300
_EXAMPLES = 3
_FILE_AND_LABEL = 2


class ColumnFacts:
    """Judges single columns of a table, and pairs of them, by number from 0 on.

    Attributes:
        table: the table.
        task: whether an image may have several labels.
        rows: the rows that are looked at.
        values: cells of these rows, by column.
        names: normalised titles; "" where there are none.
        titled: the titles as messages and options give them.
    """

    def __init__(self, table: Table, names_a_file: Callable[[str], bool], task: Task) -> None:
        self.table = table
        self.task = task
        self._names_a_file = names_a_file
        self.rows: Sequence[Sequence[str]] = table.sample()
        self._judge(self.rows)
        self.names = names_of_columns(table.header) or [""] * table.width
        self.titled = ColumnTitles(table)
        # 0 and 1 may match images by chance, whose names are a number and a suffix.
        images = [at for at, (_, suffix) in enumerate(self._shares) if suffix >= _ENOUGH] or [
            at for at, (found, _) in enumerate(self._shares) if found >= _ENOUGH
        ]
        if images and (kept := rows_of_images(self.rows, images, names_a_file)):
            self._judge(kept)

    def _share_of_files(self, at: int) -> tuple[float, float]:
        """The share of cells that name a file of the source, and the share with an image suffix."""
        values = [value for value in self.values[at] if value]
        values = values[:: max(1, len(values) // _LOOKED_AT)]
        if not values:
            return 0.0, 0.0
        found = sum(map(self._names_a_file, values)) / len(values)
        return found, sum(map(has_image_suffix, values)) / len(values)

    def _judge(self, rows: Sequence[Sequence[str]]) -> None:
        """Use these rows to find the meaning of the columns."""
        self.rows = rows
        self.values = [[row[at] for row in rows] for at in range(self.table.width)]
        self._shares = [self._share_of_files(at) for at in range(self.table.width)]

    def file_columns(self) -> list[int]:
        """The columns that name images, by their cells, else by their titles."""
        found = [at for at, (found, _) in enumerate(self._shares) if found >= _ENOUGH]
        suffixed = [at for at, (_, suffix) in enumerate(self._shares) if suffix >= _ENOUGH]
        named = [at for at, name in enumerate(self.names) if name in FILE_COLUMNS]
        weak = [at for at, name in enumerate(self.names) if name in WEAK_FILE_COLUMNS]
        # Numbers in a column of labels may match names without suffix by chance.
        sure = [at for at in found if at in suffixed]
        likely = [at for at in found if self._could_be_ids(at)]
        for choice in (sure, likely):
            if choice:
                called = [at for at in choice if at in named] or [at for at in choice if at in weak]
                return called if len(called) == 1 else choice
        called = [at for at in suffixed if at in named]
        return called or suffixed or named or (weak if len(weak) == 1 else [])

    def _could_be_ids(self, at: int) -> bool:
        if self.names[at] in LABEL_COLUMNS | SPLIT_COLUMNS:
            return False
        if self.table.header and self.names[at] in COUNTER_COLUMNS:
            return False
        values = self.values[at]
        return self.names[at] in FILE_COLUMNS or len(set(values)) > len(values) / 2

    def mean_the_same(self, files: list[int]) -> bool:
        """Whether columns name the same images, by the last parts of their paths."""
        first, *others = ([_last_part(value) for value in self.values[at]] for at in files)
        return all(first == other for other in others)

    def may_be_labels(self, at: int) -> bool:
        """Whether a column may hold labels, by its title, else by its cells."""
        if self.names[at] in LABEL_COLUMNS:
            return True
        if self.names[at] in SPLIT_COLUMNS or is_of_files(self.values[at]):
            return False
        values = self.values[at]
        counts = is_counter(values) or is_index(values)
        if self.names[at] in COUNTER_COLUMNS and self.table.header and counts:
            return False
        return any(values) and not self.names_images(at)

    def weakly_named(self, rest: list[int]) -> list[int]:
        """Columns named ``type`` or ``kind``; constant ones only if no other varies."""
        weak = [at for at in rest if self.names[at] in WEAK_LABEL_COLUMNS]
        varied = [at for at in rest if len(set(self.values[at])) > 1]
        return [at for at in weak if at in varied] if varied else weak

    def without_twins(self, choice: list[int]) -> list[int]:
        """``choice`` without columns of class numbers whose class names are in another column."""
        return [
            at
            for at in choice
            if not any(self.is_name_of(other, at) for other in choice if other != at)
        ]

    def is_name_of(self, name: int, numbers: int) -> bool:
        """Whether column ``name`` has the names of the classes in column ``numbers``."""
        return (
            name != numbers
            and not (self.names[name] in CAPTION_COLUMNS and are_sentences(self.values[name]))
            and is_numeric(self.values[numbers])
            and not is_numeric(self.values[name])
            and same_partition(self.values[name], self.values[numbers])
        )

    def unlike_labels(self, at: int) -> str | None:
        """Why a column is asked about, by its title or cells; ``None`` if it is not."""
        named = self.names[at] in LABEL_COLUMNS
        if held := holds_otherwise(self.values[at]):
            return f"holds {held} ({', '.join(map(visible, self._examples(at)))})"
        if not named and self.is_called_otherwise(at):
            return "has a name of another kind of column"
        if not named and is_numeric(self.values[at]) and is_called_split(self.table.name):
            return (
                "holds numbers, and the list has a name of splits "
                f"({shown_classes(self.values[at])})"
            )
        counted = named or (not self.table.header and self.table.width == _FILE_AND_LABEL)
        if not counted and (first := first_number(self.values[at])) is not None and first > 1:
            return f"holds numbers that begin at {first:,} ({shown_classes(self.values[at])})"
        return unlike_labels(self.values[at], self.task, named=named)

    def is_called_otherwise(self, at: int) -> bool:
        """Whether a title is that of a column without labels."""
        return bool(self.table.header) and is_called_otherwise(self.table.header[at])

    def _examples(self, at: int) -> list[str]:
        return [*dict.fromkeys(filter(None, self.values[at]))][:_EXAMPLES]

    def is_class(self, at: int) -> bool:
        """Whether a single column of 0 and 1 is a class named by its title."""
        if self.names[at] in LABEL_COLUMNS | WEAK_LABEL_COLUMNS:
            return False
        roboflow = self.table.name.rpartition("/")[2].casefold() == "_classes.csv"
        return roboflow or self.task == "multi_label"

    def exactly_one(self, classes: tuple[int, ...]) -> bool:
        """Whether each row has exactly one of the classes."""
        return all(sum(row[at].casefold() in YES for at in classes) == 1 for row in self.rows)

    def are_levels(self, choice: list[int]) -> bool:
        """Whether each class of a finer column belongs to one class of the coarser one."""
        levels = sorted((self.values[at] for at in choice), key=lambda values: len(set(values)))
        return len(set(levels[-1])) < len(levels[-1]) and all(
            len(set(coarse)) < len(set(fine)) == len(set(zip(coarse, fine, strict=True)))
            for coarse, fine in pairwise(levels)
        )

    def names_images(self, at: int) -> bool:
        """Whether a column holds names of images, such as masks."""
        return self._shares[at][1] >= _ENOUGH


def _last_part(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2].partition(".")[0]

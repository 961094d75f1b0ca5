"""Read the statements of a table, given the meaning of its columns."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from labelling.labels.foreign_text import visible
from labelling.labels.schema import Task
from labelling.sources.containers.containers import Rejection
from labelling.sources.doubt import Doubt
from labelling.sources.lists.columns.given_columns import Columns
from labelling.sources.lists.columns.split_columns import not_understood
from labelling.sources.lists.columns.titles import common_prefix
from labelling.sources.lists.columns.values import are_true_or_false
from labelling.sources.lists.files.alternative_splits import ALTERNATIVE, is_alternative
from labelling.sources.lists.files.finder import folder_of
from labelling.sources.lists.files.index import base_name, without_suffix
from labelling.sources.lists.labels.cells import read_label_cells
from labelling.sources.lists.labels.hierarchy import hierarchy_in
from labelling.sources.lists.labels.several import set_aside
from labelling.sources.lists.labels.yes_and_no import NO, YES
from labelling.sources.lists.list_format import (
    ListReading,
    ListRefusedError,
    Statement,
    Surroundings,
)
from labelling.sources.lists.review.extra_columns import asked_as_extra
from labelling.sources.lists.review.merged_cells import asked_as_merged
from labelling.sources.lists.review.review import several_annotators, which_apply, which_count
from labelling.sources.lists.tables.class_names import find_class_names
from labelling.sources.lists.tables.huggingface import ClassesByColumn
from labelling.sources.lists.text.dialect import Row
from labelling.sources.lists.text.table import Table
from labelling.sources.names.columns import PLURAL_COLUMNS, is_train_and_val, plain, split_of_list
from labelling.sources.reading import Split

_SHOWN = 4
_REPEATED = 0.1
"""The share of images with several lines from which on each line has one of their labels."""

_DECIMAL_ID = re.compile(r"\d+\.0")
_LINE_BREAK = "a line break inside a cell; is a quote missing?"
_OTHER_BROKEN = "another line about this image is broken, and may hold more of its labels"
_NO_NAME = "the cell that names the image is empty"
_NOT_0_OR_1 = (
    "a column of a class holds neither 0 nor 1, so that it is not known whether the class applies"
)

_Labels = tuple[str, ...] | None


def read_statements(
    table: Table,
    columns: Columns,
    *,
    layout: str,
    task: Task,
    source: Surroundings,
    classes: ClassesByColumn | None = None,
) -> ListReading:
    """Read the statements of a table about images.

    Args:
        table: the table.
        columns: what its columns mean.
        layout: how the table was read, in words.
        task: whether an image may have several labels.
        source: the files around the list, where names of classes may be.
        classes: names of classes by column and number, if the table itself has them.

    Returns:
        The statements, the rows that cannot be used, and what was decided without asking; or the
        question which rows count.

    Raises:
        ListRefusedError: the labels are unclear, or are a hierarchy.
    """
    if doubt := (
        which_count(table, columns, task)
        or several_annotators(table, columns, task)
        or which_apply(table, columns, task)
        or asked_as_extra(table, columns, task)
        or asked_as_merged(table, columns, task)
    ):
        return ListReading(layout, (), doubts=[doubt])
    reader = _Reader(table, columns, task, source, classes or {})
    reader.sort_rows()
    statements = list(reader.statements())
    if found := hierarchy_in(label for item in statements for label in item.labels or ()):
        raise ListRefusedError(f"{table.name}: {found}")
    several = [item for item in statements if task == "single_label" and len(item.labels or ()) > 1]
    labelled = sum(bool(item.labels) for item in statements)
    reader.rejections += set_aside(table.name, several, labelled)
    places = {item.place for item in several}
    kept = [item for item in statements if item.place not in places] if places else statements
    return ListReading(
        ", ".join([layout, *reader.understood]),
        kept,
        reader.rejections,
        reader.warnings,
        names_only=not (columns.labels or columns.classes)
        and not any(item.split for item in statements),
    )


def read_or_ask(
    table: Table,
    columns: Columns,
    doubts: Sequence[Doubt],
    *,
    layout: str,
    task: Task,
    source: Surroundings,
    classes: ClassesByColumn | None = None,
) -> ListReading:
    """Read what a table says, or leave it open: see ``read_statements``.

    Args:
        table: the table.
        columns: what its columns mean. Doubts with a column of labels are of its number of labels
            only, and what it says otherwise is read as well.
        doubts: what has to be decided first.
        layout: how the table was read, in words.
        task: whether an image may have several labels.
        source: the files around the list.
        classes: names of classes by number, by column, that the table itself brings.
    """
    asked = ListReading(layout, (), doubts=doubts)
    if doubts and (columns.label is None or len(doubts) > len(columns.doubts)):
        return asked
    try:
        reading = read_statements(
            table, columns, layout=layout, task=task, source=source, classes=classes
        )
    except ListRefusedError:
        if doubts:
            return asked
        raise
    return replace(asked, otherwise=reading) if doubts else reading


class _Reader:
    def __init__(
        self,
        table: Table,
        columns: Columns,
        task: Task,
        source: Surroundings,
        classes: ClassesByColumn,
    ) -> None:
        self._classes = classes
        self._table = table
        self._columns = columns
        self._task: Task = task
        self._source = source
        self._rows: list[Row] = []
        self.rejections: list[Rejection] = []
        self.warnings: list[str] = []
        self.understood: list[str] = []

    def sort_rows(self) -> None:
        """Separate usable rows from rejected ones."""
        file = self._columns.file
        read = (file, *self._columns.labels)
        # A broken line about an image may have one more of its labels.
        broken = self._table.broken(file) if self._task == "multi_label" else set()
        for item in self._table.rows():
            if isinstance(item, Rejection):
                self.rejections.append(item)
                continue
            row, cells = item
            if any("\n" in cells[at] for at in read):
                self._refuse(row, _LINE_BREAK)
            elif cells[file] in broken:
                self._refuse(row, _OTHER_BROKEN)
            elif not cells[file]:
                self._refuse(row, _NO_NAME)
            else:
                self._rows.append(row if cells is row.cells else row._replace(cells=cells))

    @property
    def _usable(self) -> Iterator[tuple[Row, Sequence[str]]]:
        """The usable rows with their cells."""
        return ((row, row.cells) for row in self._rows)

    def statements(self) -> Iterator[Statement]:
        """Yield a statement for each row, in the order of the table."""
        file, split = self._columns.file, self._columns.split
        whole = self._split_of_all()
        self.understood.append(f"images in column {self._title(file)}")
        # pandas writes the id 100 as 100.0 if another cell of the column is empty.
        decimals = all(_DECIMAL_ID.fullmatch(cells[file]) for _, cells in self._usable)
        unlabelled = 0
        negative = self._empty(())
        for row, cells, labels in self._with_labels():
            unlabelled += labels == negative
            given = split.of(cells) if split.columns else whole
            name = cells[file].removesuffix(".0") if decimals else cells[file]
            yield Statement(f"{self._table.name}:{row.line}", name, labels, given)
        if split.columns:
            self.understood.append(split.describe(self._table))
        self._say_splits_not_understood()
        if unlabelled and self._says_labels():
            self._say_unlabelled(unlabelled)

    def _say_splits_not_understood(self) -> None:
        values = [[cells[at] for _, cells in self._usable] for at in range(self._table.width)]
        columns = self._columns
        used = {columns.file, *columns.labels, *columns.classes, *columns.split.columns}
        if problem := not_understood(self._table, values, used):
            self.warnings.append(problem)

    def _split_of_all(self) -> Split | None:
        """The split in the name of the table. ``trainval`` counts as train, unless lists beside it
        divide it."""
        name = self._table.name
        stem = without_suffix(base_name(name))
        if is_alternative(name, self._source.files):
            self.warnings.append(ALTERNATIVE)
            return None
        if not is_train_and_val(stem):
            return split_of_list(stem)
        beside = self._source.files.texts_in(folder_of(name))
        dealt = any(split_of_list(without_suffix(base_name(other))) == "val" for other in beside)
        return None if dealt else "train"

    def _says_labels(self) -> bool:
        return bool(self._columns.labels or self._columns.classes)

    def _with_labels(self) -> Iterator[tuple[Row, Sequence[str], _Labels]]:
        if self._columns.classes:
            yield from self._from_classes()
        elif self._columns.labels:
            yield from self._from_cells(self._columns.labels)
        else:
            self.understood.append("no labels")
            yield from ((row, cells, None) for row, cells in self._usable)

    def _from_cells(self, columns: tuple[int, ...]) -> Iterator[tuple[Row, Sequence[str], _Labels]]:
        """Labels from the cells of one column, or of several together."""
        places: dict[str, str] = {}
        for row, cells in self._usable:
            for at in columns:
                if cells[at] not in places:
                    places[cells[at]] = self._table.place(row)
        plural = plain(self._table.title(columns[0])) in PLURAL_COLUMNS
        meant = read_label_cells(places, self._task, plural=plural and len(columns) == 1)
        titles = ", ".join(self._title(at) for at in columns[:_SHOWN])
        more = f" and {len(columns) - _SHOWN} more" if len(columns) > _SHOWN else ""
        together = ", read together" if len(columns) > 1 else ""
        self.understood.append(
            f"labels in column{'s' if together else ''} {titles}{more}{together}"
        )
        if meant.separator:
            self.understood.append(f"several labels separated by {meant.separator!r}")
        self.warnings += meant.warnings
        names_given = {label for each in meant.labels.values() for label in each or ()}
        if are_true_or_false(names_given):
            self.warnings.append(
                f"the classes are called {' and '.join(map(repr, sorted(names_given)))}, as the "
                f"cells of the column {self._title(columns[0])} are; write other names into them "
                "to change this"
            )
        names = self._names_of(names_given, columns[0])
        labels = {
            cell: tuple(names.get(label, label) for label in each) if each else self._empty(each)
            for cell, each in meant.labels.items()
        }
        rows = self._of_cells(columns, meant.flaws, labels)
        if self._task == "single_label":
            yield from rows  # one by one, to save memory
            return
        usable = list(rows)
        yield from self._together(usable) if self._one_label_a_line(usable) else usable

    def _of_cells(
        self, columns: tuple[int, ...], flaws: Mapping[str, str], labels: Mapping[str, _Labels]
    ) -> Iterator[tuple[Row, Sequence[str], _Labels]]:
        for row, cells in self._usable:
            if flaw := next(filter(None, (flaws.get(cells[at]) for at in columns)), None):
                self._refuse(row, flaw)
            else:
                answers = [labels[cells[at]] for at in columns]
                yield row, cells, answers[0] if len(answers) == 1 else _all_of(answers)

    def _one_label_a_line(self, rows: Sequence[tuple[Row, Sequence[str], _Labels]]) -> bool:
        """Whether a table of several labels has one line for each label of an image."""
        if self._task != "multi_label" or self.rejections:
            return False  # a broken line may have one more label of any image
        if any(labels and len(labels) > 1 for *_, labels in rows):
            return False
        by_image: dict[str, set[_Labels]] = {}
        for _, cells, labels in rows:
            by_image.setdefault(cells[self._columns.file], set()).add(labels)
        return sum(len(each) > 1 for each in by_image.values()) >= _REPEATED * len(by_image) > 0

    def _together(
        self, rows: Sequence[tuple[Row, Sequence[str], _Labels]]
    ) -> Iterator[tuple[Row, Sequence[str], _Labels]]:
        """Unite the lines of each image."""
        lines: dict[str, tuple[Row, Sequence[str], dict[str, None]]] = {}
        for row, cells, labels in rows:
            entry = lines.setdefault(cells[self._columns.file], (row, cells, {}))
            entry[2].update(dict.fromkeys(labels or ()))
        self.warnings.append("several lines of one image were read as one label each")
        for row, cells, found in lines.values():
            yield row, cells, tuple(found) or self._empty(())

    def _from_classes(self) -> Iterator[tuple[Row, Sequence[str], _Labels]]:
        """Labels from columns of one class each, with 0 and 1."""
        titles = [self._table.title(at) for at in self._columns.classes]
        prefix = common_prefix(titles)
        columns = [
            (at, title[len(prefix) :])
            for at, title in zip(self._columns.classes, titles, strict=True)
        ]
        if not self._table.header:
            self.warnings.append(
                "the classes are called by the numbers of their columns "
                f"({', '.join(titles[:_SHOWN])}{', …' if len(titles) > _SHOWN else ''}); a header "
                "would name them"
            )
        if prefix:
            self.warnings.append(f"{prefix!r} before the names of the classes was removed")
        self.understood.append(f"a column for each of {len(columns)} classes")
        if self._columns.counted:
            self.warnings.append("a number above 0 in the columns of classes was read as yes")
        if self._columns.unused:
            unused = ", ".join(self._title(at) for at in self._columns.unused[:_SHOWN])
            self.warnings.append(f"the columns with 0 and 1 are the classes; not used: {unused}")
        blank_is_no = not any(
            cells[at].casefold() in NO for _, cells in self._usable for at, _ in columns
        )
        no = NO | ({""} if blank_is_no else set())
        if blank_is_no and self._holds_minus_one(columns):
            no = frozenset({"-1", "-1.0"})
            self.warnings.append("-1 in the columns of classes was read as no, 1 as yes")
        for row, cells in self._usable:
            answers = [(self._of_class(cells[at]), name) for at, name in columns]
            labels = tuple(name for value, name in answers if value in YES)
            others = {value for value, _ in answers} - YES - no
            if others:
                self._refuse(row, _NOT_0_OR_1)
            else:
                yield row, cells, labels or self._empty(labels)

    def _of_class(self, cell: str) -> str:
        """The normalised value of a cell in a class column; a count above 0 is 1."""
        return (
            str(int(int(cell) > 0))
            if self._columns.counted and cell.isdecimal()
            else cell.casefold()
        )

    def _holds_minus_one(self, columns: list[tuple[int, str]]) -> bool:
        """Whether all cells of the class columns are 1 or -1, and there is a -1."""
        held = {cells[at] for _, cells in self._usable for at, _ in columns}
        return held <= {"1", "1.0", "-1", "-1.0"} and not held <= YES

    def _empty(self, labels: _Labels) -> _Labels:
        """The labels of an image without label: in multi_label, none applies."""
        return () if self._task == "multi_label" and labels is not None else None

    def _say_unlabelled(self, count: int) -> None:
        meaning = (
            "negatives, to which none of the labels applies; remove lines that are not labelled yet"
            if self._task == "multi_label"
            else "not labelled yet"
        )
        lines = (
            "1 line without a label was" if count == 1 else f"{count:,} lines without a label were"
        )
        self.warnings.append(f"{lines} read as {meaning}")

    def _names_of(self, labels: set[str], at: int) -> dict[str, str]:
        """The names of class numbers, by number."""
        if not labels or not all(label.isdecimal() for label in labels):
            return {}
        ids = sorted(labels, key=int)
        own = self._classes.get(self._table.title(at), {})
        if own.keys() >= labels:
            self.understood.append("names of classes from the table's schema")
            return {one: own[one] for one in ids}
        numbers = [str(int(one)) for one in ids]
        found, unused = find_class_names(
            self._table.name, numbers, self._source, self._table.title(at)
        )
        if found:
            self.understood.append(f"names of classes from {found.file}")
            if found.counted is not None:
                self.warnings.append(
                    f"the names in {found.file} were counted from {found.counted}: "
                    f"{ids[0]} is {visible(found.names[str(int(ids[0]))])}"
                )
            return {one: found.names[str(int(one))] for one in ids}
        shown = ", ".join(ids[:_SHOWN]) + (", …" if len(ids) > _SHOWN else "")
        self.warnings.append(
            f"the labels are numbers ({shown})"
            + (f"; {unused}" if unused else "; a classes.txt beside the list would name them")
        )
        return {}

    def _title(self, at: int) -> str:
        return visible(self._table.title(at))

    def _refuse(self, row: Row, reason: str) -> None:
        self.rejections.append(Rejection(self._table.place(row), reason, of_list=True))


def _all_of(answers: Sequence[_Labels]) -> _Labels:
    """The labels of several cells; "not labelled" is ignored beside a label."""
    found = dict.fromkeys(label for labels in answers for label in labels or ())
    if found:
        return tuple(found)
    return None if None in answers else ()

"""Find the columns of a table that name the images, the labels and the split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from labelling.labels.foreign_text import visible
from labelling.labels.schema import Task
from labelling.sources.doubt import Doubt
from labelling.sources.lists.columns.box_columns import places_of_objects
from labelling.sources.lists.columns.class_columns import (
    counts_of_classes,
    is_count,
    offered_classes,
    refuse_if_mostly_unknown,
)
from labelling.sources.lists.columns.other_columns import (
    asked_as_answers,
    holds_otherwise,
    is_called_otherwise,
    is_called_split,
    is_of_files,
)
from labelling.sources.lists.columns.several_columns import (
    asked_of_several,
    numbered,
    second_opinions,
)
from labelling.sources.lists.columns.split_columns import SplitColumns, find_splits
from labelling.sources.lists.columns.titles import ColumnTitles
from labelling.sources.lists.columns.values import (
    ONE_FOR_EACH,
    are_sentences,
    first_number,
    is_counter,
    is_index,
    is_numeric,
    is_score,
    is_yes_or_no,
    looks_like_boxes,
    same_partition,
    shown_classes,
    unlike_labels,
)
from labelling.sources.lists.files.index import has_image_suffix
from labelling.sources.lists.labels.yes_and_no import YES
from labelling.sources.lists.list_format import ListRefusedError, WrongColumnsError
from labelling.sources.lists.text.table import Table, rows_of_images
from labelling.sources.names.columns import (
    CAPTION_COLUMNS,
    COUNTER_COLUMNS,
    FILE_COLUMNS,
    LABEL_COLUMNS,
    LEVEL_COLUMNS,
    SPLIT_COLUMNS,
    WEAK_FILE_COLUMNS,
    WEAK_LABEL_COLUMNS,
    names_of_columns,
)
from labelling.sources.reading import ReadingOptions

_ENOUGH = 0.5
"""The share of cells that must name images in a column of images."""

_LOOKED_AT = 300
_MOST_ANSWERS = 6
_EXAMPLES = 3
_FILE_AND_LABEL = 2


@dataclass(frozen=True, slots=True)
class Columns:
    """The meaning of a table's columns, as column numbers from 0 on.

    Attributes:
        file: names the image.
        label: names its label or labels; ``None``: no column does, or ``classes`` do.
        more: further columns with labels of the same image (``tag1``, ``tag2``).
        classes: one column for each class, with 0 and 1.
        split: the columns that give the split, and how.
        unused: columns beside those of classes with another meaning.
        doubts: what has to be decided first.
        is_given: whether the user named the column of labels.
        counted: whether ``classes`` hold counts rather than 0 and 1.
    """

    file: int
    label: int | None = None
    classes: tuple[int, ...] = ()
    split: SplitColumns = field(default_factory=SplitColumns)
    unused: tuple[int, ...] = ()
    doubts: tuple[Doubt, ...] = field(default=())
    is_given: bool = False
    more: tuple[int, ...] = ()
    counted: bool = False

    @property
    def labels(self) -> tuple[int, ...]:
        """The columns whose cells name labels."""
        return () if self.label is None else (self.label, *self.more)


def choose_columns(
    table: Table,
    names_a_file: Callable[[str], bool],
    wanted: tuple[str, ...] | None,
    task: Task,
) -> Columns | None:
    """Find the meaning of a table's columns from their titles and cells.

    Args:
        table: the table.
        names_a_file: whether a cell names a file of the source.
        wanted: the columns of images and labels that the user named, by title or number.
        task: whether an image may have several labels.

    Returns:
        The columns; ``None`` if none names images.

    Raises:
        ListRefusedError: a column that the user named does not exist, or the table holds no labels.
    """
    chooser = _Chooser(table, names_a_file, task)
    if not wanted:
        return chooser.by_itself()
    try:
        return chooser.as_given(*wanted)
    except ListRefusedError:
        # One of several lists may have no such columns, such as the images of a test set.
        own = chooser.by_itself()
        if own is None or own.doubts or own.classes or own.label is not None:
            raise
        return own


def open_doubts(table: Table, columns: Columns, options: ReadingOptions) -> tuple[Doubt, ...]:
    """The questions that a table leaves open: about its columns, then whether its labels are the
    answers of a model.

    Args:
        table: the table.
        columns: what its columns mean.
        options: what the user decided; columns given, or the list named, leave only the questions
            about columns.
    """
    gives_labels = columns.label is not None or columns.classes
    if options.columns or options.name_list(table.name) or not gives_labels:
        return columns.doubts
    classes = {table.title(at) for at in columns.classes}
    titles = [title for title in table.header if title not in classes]
    doubt = asked_as_answers(table.name, titles)
    return (*columns.doubts, doubt) if doubt else columns.doubts


def named_one_for_each(values: Sequence[str], name: str, unlike: str) -> bool:
    """Whether a column named like labels is only doubtful because it has a value for nearly every
    image.

    Args:
        values: its cells.
        name: its normalised title.
        unlike: why it may not hold labels, from ``unlike_labels``.
    """
    return name in LABEL_COLUMNS and unlike.startswith(ONE_FOR_EACH) and not is_numeric(values)


class _Chooser:
    def __init__(self, table: Table, names_a_file: Callable[[str], bool], task: Task) -> None:
        self._table = table
        self._task = task
        self._names_a_file = names_a_file
        self._rows: Sequence[Sequence[str]] = table.sample()
        self._judge(self._rows)
        self._names = names_of_columns(table.header) or [""] * table.width
        self._titled = ColumnTitles(table)
        # 0 and 1 may match images by chance, whose names are a number and a suffix.
        images = [at for at, (_, suffix) in enumerate(self._shares) if suffix >= _ENOUGH] or [
            at for at, (found, _) in enumerate(self._shares) if found >= _ENOUGH
        ]
        if images and (kept := rows_of_images(self._rows, images, names_a_file)):
            self._judge(kept)

    def _judge(self, rows: Sequence[Sequence[str]]) -> None:
        """Use these rows to find the meaning of the columns."""
        self._rows = rows
        self._values = [[row[at] for row in rows] for at in range(self._table.width)]
        self._shares = [self._share_of_files(at) for at in range(self._table.width)]

    # --- as the user said ---------------------------------------------------------------

    def as_given(self, file: str, *labels_given: str) -> Columns:
        images = self._titled.numbers(file)
        labels = tuple(
            dict.fromkeys(at for one in labels_given for at in self._titled.numbers(one))
        )
        if len(images) != 1:
            raise WrongColumnsError(f"--columns: one column names the images, not {file}")
        split = self._split(taken={images[0], *labels}, labelled=True)
        if len(labels) == 1:
            return Columns(images[0], labels[0], split=split, is_given=True)
        named = [at for at in labels if any(self._values[at])]
        others = [at for at in named if not is_yes_or_no(self._values[at])]
        if others == named:
            return Columns(images[0], labels[0], split=split, is_given=True, more=labels[1:])
        if (
            others
            and len(named) == len(labels)
            and all(is_count(self._values[at]) for at in others)
        ):
            return Columns(images[0], None, labels, split, is_given=True, counted=True)
        if others or len(named) < len(labels):
            at = (others or [at for at in labels if at not in named])[0]
            raise WrongColumnsError(
                f"--columns: {self._titled.all_of([at])} of {self._table.name} does not hold only "
                "0 and 1, unlike the others, which are read as one column for each class; give "
                "columns of one kind, or write the label into the cells instead of yes"
            )
        return Columns(images[0], None, labels, split, is_given=True)

    # --- by itself ----------------------------------------------------------------------

    def by_itself(self) -> Columns | None:
        files = self._file_columns()
        if not files:
            return None
        labelled = any(name in LABEL_COLUMNS for name in self._names)
        split = self._split(taken={files[0]}, labelled=labelled)
        taken = {*files, *split.columns, *places_of_objects(self._table, self._values)}
        rest = [
            at for at in range(self._table.width) if at not in taken and self._may_be_labels(at)
        ]
        if not self._table.header:
            # MXNet's lists (index, label, path) and others give their columns no titles.
            index = [at for at in rest if is_index(self._values[at])]
            rest = [at for at in rest if [at] != index] or rest
        if len(files) > 1 and not self._mean_the_same(files):
            named = [at for at in rest if self._names[at] in LABEL_COLUMNS] or rest
            return Columns(files[0], split=split, doubts=(self._which_file(files, named),))
        return self._with_labels(files[0], split, rest)

    def _file_columns(self) -> list[int]:
        """The columns that name images, by their cells, else by their titles."""
        found = [at for at, (found, _) in enumerate(self._shares) if found >= _ENOUGH]
        suffixed = [at for at, (_, suffix) in enumerate(self._shares) if suffix >= _ENOUGH]
        named = [at for at, name in enumerate(self._names) if name in FILE_COLUMNS]
        weak = [at for at, name in enumerate(self._names) if name in WEAK_FILE_COLUMNS]
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
        if self._names[at] in LABEL_COLUMNS | SPLIT_COLUMNS:
            return False
        if self._table.header and self._names[at] in COUNTER_COLUMNS:
            return False
        values = self._values[at]
        return self._names[at] in FILE_COLUMNS or len(set(values)) > len(values) / 2

    def _share_of_files(self, at: int) -> tuple[float, float]:
        """The share of cells that name a file of the source, and the share with an image suffix."""
        values = [value for value in self._values[at] if value]
        values = values[:: max(1, len(values) // _LOOKED_AT)]
        if not values:
            return 0.0, 0.0
        found = sum(map(self._names_a_file, values)) / len(values)
        return found, sum(map(has_image_suffix, values)) / len(values)

    def _mean_the_same(self, files: list[int]) -> bool:
        """Whether columns name the same images, by the last parts of their paths."""
        first, *others = ([_last_part(value) for value in self._values[at]] for at in files)
        return all(first == other for other in others)

    def _split(self, taken: set[int], *, labelled: bool) -> SplitColumns:
        return find_splits(self._table, self._values, taken, labelled=labelled)

    def _may_be_labels(self, at: int) -> bool:
        if self._names[at] in LABEL_COLUMNS:
            return True
        if self._names[at] in SPLIT_COLUMNS or is_of_files(self._values[at]):
            return False
        values = self._values[at]
        counts = is_counter(values) or is_index(values)
        if self._names[at] in COUNTER_COLUMNS and self._table.header and counts:
            return False
        return any(values) and self._shares[at][1] < _ENOUGH

    def _with_labels(self, file: int, split: SplitColumns, rest: list[int]) -> Columns:
        named = self._without_twins(
            [at for at in rest if self._names[at] in LABEL_COLUMNS] or self._weakly_named(rest)
        )
        levels = [at for at in rest if self._names[at] in LEVEL_COLUMNS]
        if levels and len(levels) + len(named) > 1:
            choice = [at for at in rest if at in {*named, *levels}]
            return Columns(file, split=split, doubts=(self._which_label(file, choice),))
        group = self._numbered(file, split)
        if len(named) == 1 and not group:
            label = next((at for at in rest if self._is_name_of(at, named[0])), named[0])
            if rivals := second_opinions(self._table.header, self._values, label, rest):
                doubt = self._which_label(file, [label, *rivals])
                return Columns(file, split=split, doubts=(doubt,))
            return self._checked(file, label, split)
        if found := self._one_column_each(file, split, named or rest):
            return found
        if group:
            return self._together(file, split, group, named)
        return self._of_any_name(file, split, named, rest)

    def _weakly_named(self, rest: list[int]) -> list[int]:
        """Columns named ``type`` or ``kind``; constant ones only if no other varies."""
        weak = [at for at in rest if self._names[at] in WEAK_LABEL_COLUMNS]
        varied = [at for at in rest if len(set(self._values[at])) > 1]
        return [at for at in weak if at in varied] if varied else weak

    def _of_any_name(
        self, file: int, split: SplitColumns, named: list[int], rest: list[int]
    ) -> Columns:
        choice = named or self._without_twins(
            [at for at in rest if self._names[at] not in CAPTION_COLUMNS]
        )
        if not choice and rest:
            raise ListRefusedError(
                f"{self._table.name} has texts about the images ({self._titled.all_of(rest)}), "
                "which are no labels; if they are, give "
                + " or ".join(self._titled.option(file, at) for at in rest[:_MOST_ANSWERS])
            )
        if not choice:
            self._refuse_masks(file)
            return Columns(file, split=split)
        # A constant column tells nothing, if another one varies.
        choice = [at for at in choice if len(set(self._values[at])) > 1] or choice
        if len(choice) == 1:
            return self._checked(file, choice[0], split)
        return Columns(file, split=split, doubts=(self._which_label(file, choice),))

    def _refuse_masks(self, file: int) -> None:
        """Refuse a table that only gives a mask for each image."""
        for at, (_, suffix) in enumerate(self._shares):
            text = " ".join((self._table.title(at), *self._values[at][:1])).casefold()
            if at != file and suffix >= _ENOUGH and "mask" in text:
                raise ListRefusedError(
                    f"the column {visible(self._table.title(at))} of {self._table.name} names "
                    "other images (masks?), which are no labels of images"
                )

    def _without_twins(self, choice: list[int]) -> list[int]:
        """``choice`` without columns of class numbers whose class names are in another column."""
        return [
            at
            for at in choice
            if not any(self._is_name_of(other, at) for other in choice if other != at)
        ]

    def _is_name_of(self, name: int, numbers: int) -> bool:
        """Whether column ``name`` has the names of the classes in column ``numbers``."""
        return (
            name != numbers
            and not (self._names[name] in CAPTION_COLUMNS and are_sentences(self._values[name]))
            and is_numeric(self._values[numbers])
            and not is_numeric(self._values[name])
            and same_partition(self._values[name], self._values[numbers])
        )

    def _checked(self, file: int, label: int, split: SplitColumns) -> Columns:
        values = self._values[label]
        where = f"the column {visible(self._table.title(label))} of {self._table.name}"
        if looks_like_boxes(values):
            raise ListRefusedError(
                f"{where} holds places of objects (boxes or points), which are no labels of images"
            )
        if self._shares[label][1] >= _ENOUGH:
            raise ListRefusedError(
                f"{where} names other images (masks?), which are no labels of images"
            )
        unlike = self._unlike_labels(label)
        if unlike is None:
            return Columns(file, label, split=split)
        question = f"{where} {unlike}. Are these labels?"
        answers = (
            (self._titled.option(file, label), shown_classes(values)),
            ("--labels-from none", "no labels"),
        )
        # Together with other lists of the source, rare labels may prove to be classes.
        by_count = named_one_for_each(self._values[label], self._names[label], unlike)
        return Columns(
            file, label if by_count else None, split=split, doubts=(Doubt(question, answers),)
        )

    def _unlike_labels(self, at: int) -> str | None:
        """Why a column is asked about, by its title or cells; ``None`` if it is not."""
        named = self._names[at] in LABEL_COLUMNS
        if held := holds_otherwise(self._values[at]):
            return f"holds {held} ({', '.join(map(visible, self._examples(at)))})"
        if not named and self._is_called_otherwise(at):
            return "has a name of another kind of column"
        if not named and is_numeric(self._values[at]) and is_called_split(self._table.name):
            return (
                "holds numbers, and the list has a name of splits "
                f"({shown_classes(self._values[at])})"
            )
        counted = named or (not self._table.header and self._table.width == _FILE_AND_LABEL)
        if not counted and (first := first_number(self._values[at])) is not None and first > 1:
            return f"holds numbers that begin at {first:,} ({shown_classes(self._values[at])})"
        return unlike_labels(self._values[at], self._task, named=named)

    def _is_called_otherwise(self, at: int) -> bool:
        return bool(self._table.header) and is_called_otherwise(self._table.header[at])

    def _examples(self, at: int) -> list[str]:
        return [*dict.fromkeys(filter(None, self._values[at]))][:_EXAMPLES]

    def _one_column_each(self, file: int, split: SplitColumns, rest: list[int]) -> Columns | None:
        """The columns of one class each, with 0 and 1, if there are such."""
        if not self._table.header:
            return None
        classes = tuple(
            at
            for at in rest
            if is_yes_or_no(self._values[at]) and not self._is_called_otherwise(at)
        )
        refuse_if_mostly_unknown(self._table.name, self._titled, self._rows, classes)
        counts = counts_of_classes(self._names, self._values, rest, classes)
        classes = tuple(at for at in classes if at not in counts)
        others = tuple(at for at in rest if at not in classes)
        scores = [at for at in others if is_score(self._values[at])]
        if scores and len(scores) + len(classes) > 1 and len(scores) == len(others):
            raise ListRefusedError(
                f"the columns {self._titled.all_of(scores[:_MOST_ANSWERS])} of {self._table.name} "
                "hold scores between 0 and 1; write 0 and 1, or one column with the labels"
            )
        if not classes or (len(classes) == 1 and not self._is_class(classes[0])):
            return None
        if (
            len(classes) == 1
            and set(others) - {*counts}
            and len(set(self._values[classes[0]])) == 1
        ):
            return None  # a constant 1 beside other columns is not a class
        if set(others) <= {*counts} or self._exactly_one(classes):
            return Columns(file, None, classes, split, others)
        answers = offered_classes(self._titled, self._values, file, classes, others)
        question = f"Which columns of {self._table.name} are the labels?"
        doubt = Doubt(question, tuple(answers[:_MOST_ANSWERS]))
        return Columns(file, split=split, doubts=(doubt,))

    def _numbered(self, file: int, split: SplitColumns) -> tuple[int, ...]:
        """Numbered columns of labels (``tag1``, ``tag2``), including empty ones."""
        group = numbered(
            self._table.header,
            [at for at in range(self._table.width) if at not in {file, *split.columns}],
        )
        filled = [at for at in group if any(self._values[at])]
        if len(filled) < 2 or any(is_yes_or_no(self._values[at]) for at in filled):
            return ()
        return () if self._are_levels(filled) else group

    def _together(
        self, file: int, split: SplitColumns, group: tuple[int, ...], named: list[int]
    ) -> Columns:
        """Use numbered columns as the labels that an image has together."""
        if not set(named) <= set(group):
            choice = sorted({*named, *group})
            return Columns(file, split=split, doubts=(self._which_label(file, choice),))
        if doubt := asked_of_several(self._table, self._titled, file, group, self._task):
            return Columns(file, split=split, doubts=(doubt,))
        checked = [self._checked(file, at, split) for at in group if any(self._values[at])]
        doubtful = [each for each in checked if each.doubts]
        return doubtful[0] if doubtful else Columns(file, group[0], split=split, more=group[1:])

    def _is_class(self, at: int) -> bool:
        """Whether a single column of 0 and 1 is a class named by its title."""
        if self._names[at] in LABEL_COLUMNS | WEAK_LABEL_COLUMNS:
            return False
        roboflow = self._table.name.rpartition("/")[2].casefold() == "_classes.csv"
        return roboflow or self._task == "multi_label"

    def _exactly_one(self, classes: tuple[int, ...]) -> bool:
        return all(sum(row[at].casefold() in YES for at in classes) == 1 for row in self._rows)

    # --- questions ----------------------------------------------------------------------

    def _which_file(self, files: list[int], labels: list[int]) -> Doubt:
        answers = [
            (self._titled.option(at, label), f"images: {visible(', '.join(self._values[at][:2]))}")
            for at in files[:_MOST_ANSWERS]
            for label in labels[:1]
        ]
        answers.append(("--labels-from none", "no labels"))
        return Doubt(f"Which column of {self._table.name} names the images?", tuple(answers))

    def _which_label(self, file: int, choice: list[int]) -> Doubt:
        answers = [
            (self._titled.option(file, at), shown_classes(self._values[at]))
            for at in choice[:_MOST_ANSWERS]
        ]
        question = f"Which column of {self._table.name} holds the labels?"
        if self._are_levels(choice):
            question = (
                f"The columns {self._titled.all_of(choice)} of {self._table.name} are levels of a "
                "hierarchy, and a model here has classes of one level: which one?"
            )
        elif self._task == "multi_label":
            whole = self._titled.several(file, choice)
            answers.append((whole, "several labels for an image, those of all these columns"))
        return Doubt(question, tuple(answers))

    def _are_levels(self, choice: list[int]) -> bool:
        """Whether each class of a finer column belongs to one class of the coarser one."""
        levels = sorted((self._values[at] for at in choice), key=lambda values: len(set(values)))
        return len(set(levels[-1])) < len(levels[-1]) and all(
            len(set(coarse)) < len(set(fine)) == len(set(zip(coarse, fine, strict=True)))
            for coarse, fine in pairwise(levels)
        )


def _last_part(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2].partition(".")[0]

"""Find the columns of a table that name the images, the labels and the split."""

from collections.abc import Callable, Sequence

from labelling.labels.foreign_text import visible
from labelling.labels.schema import Task
from labelling.sources.doubt import Doubt
from labelling.sources.lists.columns.box_columns import places_of_objects
from labelling.sources.lists.columns.class_columns import (
    counts_of_classes,
    offered_classes,
    refuse_if_mostly_unknown,
)
from labelling.sources.lists.columns.column_facts import ColumnFacts
from labelling.sources.lists.columns.column_questions import MOST_ANSWERS, which_file, which_label
from labelling.sources.lists.columns.given_columns import Columns, columns_as_given
from labelling.sources.lists.columns.other_columns import asked_as_answers
from labelling.sources.lists.columns.several_columns import (
    asked_of_several,
    numbered,
    second_opinions,
)
from labelling.sources.lists.columns.split_columns import SplitColumns, find_splits
from labelling.sources.lists.columns.values import (
    ONE_FOR_EACH,
    is_index,
    is_numeric,
    is_score,
    is_yes_or_no,
    looks_like_boxes,
    shown_classes,
)
from labelling.sources.lists.list_format import ListRefusedError
from labelling.sources.lists.text.table import Table
from labelling.sources.names.columns import (
    CAPTION_COLUMNS,
    LABEL_COLUMNS,
    LEVEL_COLUMNS,
)
from labelling.sources.reading import ReadingOptions


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
    facts = ColumnFacts(table, names_a_file, task)
    chooser = _Chooser(facts)
    if not wanted:
        return chooser.by_itself()
    try:
        return columns_as_given(facts, *wanted)
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


def _named_one_for_each(values: Sequence[str], name: str, unlike: str) -> bool:
    """Whether a column named like labels is only doubtful because it has a value for nearly every
    image.

    Args:
        values: its cells.
        name: its normalised title.
        unlike: why it may not hold labels, from ``unlike_labels``.
    """
    return name in LABEL_COLUMNS and unlike.startswith(ONE_FOR_EACH) and not is_numeric(values)


class _Chooser:
    """Finds the meaning of columns that the user did not name."""

    def __init__(self, facts: ColumnFacts) -> None:
        self._facts = facts
        self._table, self._values, self._names = facts.table, facts.values, facts.names
        self._titled = facts.titled
        self._task = facts.task

    def by_itself(self) -> Columns | None:
        files = self._facts.file_columns()
        if not files:
            return None
        labelled = any(name in LABEL_COLUMNS for name in self._names)
        split = self._split(taken={files[0]}, labelled=labelled)
        taken = {*files, *split.columns, *places_of_objects(self._table, self._values)}
        rest = [
            at
            for at in range(self._table.width)
            if at not in taken and self._facts.may_be_labels(at)
        ]
        if not self._table.header:
            # MXNet's lists (index, label, path) and others give their columns no titles.
            index = [at for at in rest if is_index(self._values[at])]
            rest = [at for at in rest if [at] != index] or rest
        if len(files) > 1 and not self._facts.mean_the_same(files):
            named = [at for at in rest if self._names[at] in LABEL_COLUMNS] or rest
            return Columns(files[0], split=split, doubts=(which_file(self._facts, files, named),))
        return self._with_labels(files[0], split, rest)

    def _split(self, taken: set[int], *, labelled: bool) -> SplitColumns:
        return find_splits(self._table, self._values, taken, labelled=labelled)

    def _with_labels(self, file: int, split: SplitColumns, rest: list[int]) -> Columns:
        named = self._facts.without_twins(
            [at for at in rest if self._names[at] in LABEL_COLUMNS]
            or self._facts.weakly_named(rest)
        )
        levels = [at for at in rest if self._names[at] in LEVEL_COLUMNS]
        if levels and len(levels) + len(named) > 1:
            choice = [at for at in rest if at in {*named, *levels}]
            return Columns(file, split=split, doubts=(which_label(self._facts, file, choice),))
        group = self._numbered(file, split)
        if len(named) == 1 and not group:
            label = next((at for at in rest if self._facts.is_name_of(at, named[0])), named[0])
            if rivals := second_opinions(self._table.header, self._values, label, rest):
                doubt = which_label(self._facts, file, [label, *rivals])
                return Columns(file, split=split, doubts=(doubt,))
            return self._checked(file, label, split)
        if found := self._one_column_each(file, split, named or rest):
            return found
        if group:
            return self._together(file, split, group, named)
        return self._of_any_name(file, split, named, rest)

    def _of_any_name(
        self, file: int, split: SplitColumns, named: list[int], rest: list[int]
    ) -> Columns:
        choice = named or self._facts.without_twins(
            [at for at in rest if self._names[at] not in CAPTION_COLUMNS]
        )
        if not choice and rest:
            raise ListRefusedError(
                f"{self._table.name} has texts about the images ({self._titled.all_of(rest)}), "
                "which are no labels; if they are, give "
                + " or ".join(self._titled.option(file, at) for at in rest[:MOST_ANSWERS])
            )
        if not choice:
            self._refuse_masks(file)
            return Columns(file, split=split)
        # A constant column has no information, if another one varies.
        choice = [at for at in choice if len(set(self._values[at])) > 1] or choice
        if len(choice) == 1:
            return self._checked(file, choice[0], split)
        return Columns(file, split=split, doubts=(which_label(self._facts, file, choice),))

    def _refuse_masks(self, file: int) -> None:
        """Refuse a table that only gives a mask for each image."""
        for at in range(self._table.width):
            text = " ".join((self._table.title(at), *self._values[at][:1])).casefold()
            if at != file and self._facts.names_images(at) and "mask" in text:
                raise ListRefusedError(
                    f"the column {visible(self._table.title(at))} of {self._table.name} names "
                    "other images (masks?), which are no labels of images"
                )

    def _checked(self, file: int, label: int, split: SplitColumns) -> Columns:
        values = self._values[label]
        where = f"the column {visible(self._table.title(label))} of {self._table.name}"
        if looks_like_boxes(values):
            raise ListRefusedError(
                f"{where} holds places of objects (boxes or points), which are no labels of images"
            )
        if self._facts.names_images(label):
            raise ListRefusedError(
                f"{where} names other images (masks?), which are no labels of images"
            )
        unlike = self._facts.unlike_labels(label)
        if unlike is None:
            return Columns(file, label, split=split)
        question = f"{where} {unlike}. Are these labels?"
        answers = (
            (self._titled.option(file, label), shown_classes(values)),
            ("--labels-from none", "no labels"),
        )
        # Together with other lists of the source, rare labels may prove to be classes.
        by_count = _named_one_for_each(self._values[label], self._names[label], unlike)
        return Columns(
            file, label if by_count else None, split=split, doubts=(Doubt(question, answers),)
        )

    def _one_column_each(self, file: int, split: SplitColumns, rest: list[int]) -> Columns | None:
        """The columns of one class each, with 0 and 1, if there are such."""
        if not self._table.header:
            return None
        classes = tuple(
            at
            for at in rest
            if is_yes_or_no(self._values[at]) and not self._facts.is_called_otherwise(at)
        )
        refuse_if_mostly_unknown(self._table.name, self._titled, self._facts.rows, classes)
        counts = counts_of_classes(self._names, self._values, rest, classes)
        classes = tuple(at for at in classes if at not in counts)
        others = tuple(at for at in rest if at not in classes)
        scores = [at for at in others if is_score(self._values[at])]
        if scores and len(scores) + len(classes) > 1 and len(scores) == len(others):
            raise ListRefusedError(
                f"the columns {self._titled.all_of(scores[:MOST_ANSWERS])} of {self._table.name} "
                "hold scores between 0 and 1; write 0 and 1, or one column with the labels"
            )
        if not classes or (len(classes) == 1 and not self._facts.is_class(classes[0])):
            return None
        if (
            len(classes) == 1
            and set(others) - {*counts}
            and len(set(self._values[classes[0]])) == 1
        ):
            return None  # a constant 1 beside other columns is not a class
        if set(others) <= {*counts} or self._facts.exactly_one(classes):
            return Columns(file, None, classes, split, others)
        answers = offered_classes(self._titled, self._values, file, classes, others)
        question = f"Which columns of {self._table.name} are the labels?"
        doubt = Doubt(question, tuple(answers[:MOST_ANSWERS]))
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
        return () if self._facts.are_levels(filled) else group

    def _together(
        self, file: int, split: SplitColumns, group: tuple[int, ...], named: list[int]
    ) -> Columns:
        """Use numbered columns as the labels that an image has together."""
        if not set(named) <= set(group):
            choice = sorted({*named, *group})
            return Columns(file, split=split, doubts=(which_label(self._facts, file, choice),))
        if doubt := asked_of_several(self._table, self._titled, file, group, self._task):
            return Columns(file, split=split, doubts=(doubt,))
        checked = [self._checked(file, at, split) for at in group if any(self._values[at])]
        doubtful = [each for each in checked if each.doubts]
        return doubtful[0] if doubtful else Columns(file, group[0], split=split, more=group[1:])

"""The meaning of a table's columns, and as a user gave it."""

from dataclasses import dataclass, field

from labelling.sources.doubt import Doubt
from labelling.sources.lists.columns.class_columns import is_count
from labelling.sources.lists.columns.column_facts import ColumnFacts
from labelling.sources.lists.columns.split_columns import SplitColumns, find_splits
from labelling.sources.lists.columns.values import is_yes_or_no
from labelling.sources.lists.list_format import WrongColumnsError


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


def columns_as_given(facts: ColumnFacts, file: str, *labels_given: str) -> Columns:
    """Use the columns that a user gave with ``--columns``.

    Args:
        facts: of the table's columns.
        file: title or number of the column that names the images.
        labels_given: titles, numbers or ranges of the columns of labels.

    Raises:
        WrongColumnsError: there are no such columns, or those of labels are not of one kind.
    """
    images = facts.titled.numbers(file)
    labels = tuple(dict.fromkeys(at for one in labels_given for at in facts.titled.numbers(one)))
    if len(images) != 1:
        raise WrongColumnsError(f"--columns: one column names the images, not {file}")
    split = find_splits(facts.table, facts.values, {images[0], *labels}, labelled=True)
    if len(labels) == 1:
        return Columns(images[0], labels[0], split=split, is_given=True)
    named = [at for at in labels if any(facts.values[at])]
    others = [at for at in named if not is_yes_or_no(facts.values[at])]
    if others == named:
        return Columns(images[0], labels[0], split=split, is_given=True, more=labels[1:])
    if others and len(named) == len(labels) and all(is_count(facts.values[at]) for at in others):
        return Columns(images[0], None, labels, split, is_given=True, counted=True)
    if others or len(named) < len(labels):
        at = (others or [at for at in labels if at not in named])[0]
        raise WrongColumnsError(
            f"--columns: {facts.titled.all_of([at])} of {facts.table.name} does not hold only "
            "0 and 1, unlike the others, which are read as one column for each class; give "
            "columns of one kind, or write the label into the cells instead of yes"
        )
    return Columns(images[0], None, labels, split, is_given=True)

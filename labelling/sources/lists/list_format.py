"""The port of lists of labels: a CSV, an export of a labelling tool, a manifest.

A format reads the bytes of one list into statements. Which file of the source a statement is
about, ``labelling.sources.lists.match`` finds out: the same way for all formats.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from labelling.sources.containers.containers import OptionError, Rejection, SourceError
from labelling.sources.doubt import Doubt
from labelling.sources.lists.files.index import FileIndex
from labelling.sources.reading import ReadingOptions, Split


class ListRefusedError(SourceError):
    """A list is in this format and cannot be used; the message says why, and the remedy."""


class WrongColumnsError(ListRefusedError, OptionError):
    """A list has not the columns that ``--columns`` names; the message says which it has."""


class NamesNoImageError(ListRefusedError):
    """No column of a table names images of the source. ``numbers``: it holds nothing but numbers."""

    def __init__(self, reason: str, *, numbers: bool) -> None:
        super().__init__(reason)
        self.numbers = numbers


@dataclass(frozen=True, slots=True)
class ListFile:
    """A file that may be a list: ``name`` in the source, and its bytes."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a format may know of the source around a list.

    Attributes:
        files: the names of the source's files, other lists included.
        read: the bytes of another file by its name in the source (a ``classes.txt``, a data set
            card); ``None`` where it is not there or cannot be read.
    """

    files: FileIndex
    read: Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True)
class Statement:
    """What a list says about one image.

    Attributes:
        place: where it says so, for messages (``labels.csv:12``).
        file: the image as the list writes it: a path, a URL, a name without suffix.
        labels: ``()``: none of the labels applies (a negative). ``None``: the list names the
            image and says nothing about its labels (not labelled yet, skipped).
        split: the split that the list gives it.
        or_file: how the image may be called instead, where a tool puts something before the names
            of files (Label Studio's ``ab12cd34-cat.jpg``).
    """

    place: str
    file: str
    labels: tuple[str, ...] | None
    split: Split | None = None
    or_file: str | None = None


@dataclass(frozen=True, slots=True)
class ListReading:
    """What one list says.

    Attributes:
        understood: how it was read, in words (``CSV, separator ;, columns image and species``).
        statements: in the order of the list.
        rejections: lines or records that cannot be used, by place.
        warnings: what was decided without asking (``read as cp1252``).
        doubts: what has to be decided by an option first.
        unsure: labels that may be words for "no label", or classes.
        odd: labels that look damaged or unsure, and why.
        otherwise: what it says if other lists of the source show that its only doubt, a label
            that differs for nearly every image, is none.
        takes_columns: whether it is in a format of which ``--columns`` names the columns.
        names_only: whether it has no place for labels or splits.
        beside: whether it only says the label of the image that it lies beside.
    """

    understood: str
    statements: Sequence[Statement]
    rejections: Sequence[Rejection] = ()
    warnings: Sequence[str] = ()
    doubts: Sequence[Doubt] = ()
    unsure: Sequence[str] = ()
    odd: Mapping[str, str] = field(default_factory=dict)
    otherwise: "ListReading | None" = None
    takes_columns: bool = False
    names_only: bool = False
    beside: bool = False


class ListFormat(Protocol):
    """One format of lists."""

    name: str
    """As people call it: ``Label Studio's JSON export``."""

    def read(
        self, file: ListFile, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the list.

        Args:
            file: the list.
            options: what the user decided.
            source: what lies around the list, to tell a column of images from others.

        Returns:
            What the list says; ``None`` if it is not in this format, or a file of another kind
            that says nothing about images (a list of class names, a README).

        Raises:
            ListRefusedError: it is in this format, but what it holds are no labels of images
                (detection boxes, a hierarchy of labels), or it is broken as a whole.
        """
        ...


def one_label_column(name: str, options: ReadingOptions) -> str | None:
    """The one column or field of labels that ``--columns`` names, for formats that read one.

    Args:
        name: of the list, for messages.
        options: what the user decided.

    Raises:
        WrongColumnsError: it names several.
    """
    if not options.columns:
        return None
    if len(options.columns) > 2:
        told = ", ".join(options.columns[1:])
        raise WrongColumnsError(f"--columns: {name} is read by one field of labels, not by {told}")
    return options.columns[1]

"""The interface of formats of lists: a CSV, an export of a labelling tool, a manifest.

A format reads the bytes of one list into statements. ``labelling.sources.lists.match`` then finds
the files that they name, in the same way for all formats.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from labelling.sources.containers.containers import OptionError, Rejection, SourceError
from labelling.sources.doubt import Doubt
from labelling.sources.lists.files.index import FileIndex
from labelling.sources.reading import ReadingOptions, Split


class ListRefusedError(SourceError):
    """A list is in a known format and cannot be used; the message has the reason and the remedy."""


class WrongColumnsError(ListRefusedError, OptionError):
    """A list does not have the columns of ``--columns``; the message lists those that it has."""


class NamesNoImageError(ListRefusedError):
    """No column of a table names images of the source. ``numbers``: it only contains numbers."""

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
        files: the names of the source's files, including other lists.
        read: gives the bytes of another file by its name in the source (a ``classes.txt``, a data
            set card); ``None`` if it does not exist or cannot be read.
    """

    files: FileIndex
    read: Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True)
class Statement:
    """What a list states about one image.

    Attributes:
        place: where it is, for messages (``labels.csv:12``).
        file: the image as the list writes it: a path, a URL, a name without suffix.
        labels: ``()``: none of the labels applies (a negative). ``None``: the list names the image
            without stating its labels (not labelled yet, skipped).
        split: the split that the list gives it.
        or_file: an alternative name of the image, for tools that prefix file names (Label Studio's
            ``ab12cd34-cat.jpg``).
    """

    place: str
    file: str
    labels: tuple[str, ...] | None
    split: Split | None = None
    or_file: str | None = None


@dataclass(frozen=True, slots=True)
class ListReading:
    """The content of one list.

    Attributes:
        understood: how it was read, in words (``CSV, separator ;, columns image and species``).
        statements: in the order of the list.
        rejections: lines or records that cannot be used, by place.
        warnings: what was decided without asking (``read as cp1252``).
        doubts: what has to be decided by an option first.
        unsure: labels that may mean "no label", or may be classes.
        odd: labels that look damaged or uncertain, with the reason.
        otherwise: the reading without its only doubt, that nearly every image has another label;
            used if the other lists of the source refute that doubt.
        takes_columns: whether ``--columns`` applies to the format.
        names_only: whether it gives neither labels nor splits.
        beside: whether it only gives the label of the image beside it.
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
    """The name in messages: ``Label Studio's JSON export``."""

    def read(
        self, file: ListFile, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the list.

        Args:
            file: the list: its name and its bytes.
            options: what the user decided.
            source: the files around the list, to recognise names of images.

        Returns:
            What the list says; ``None`` if it is not in this format, or another kind of file
            without statements about images (a list of class names, a README).

        Raises:
            ListRefusedError: it is in this format and holds no labels of images (detection boxes, a
                hierarchy of labels), or is broken as a whole.
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
        given = ", ".join(options.columns[1:])
        raise WrongColumnsError(f"--columns: {name} is read by one field of labels, not by {given}")
    return options.columns[1]

"""The options and the result of reading a source, before its images are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from labelling.labels.schema import Task
from labelling.sources.containers.containers import FileContainer, Rejection
from labelling.sources.doubt import Doubt

Split = Literal["train", "val", "test"]


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """What the user decided about reading a source.

    Attributes:
        labels_from: ``parent`` (the innermost folder of an image), ``top`` (the outermost folder),
            ``path`` (all folders of classes around it, joined), ``none``, the path of a list, or
            ``None``: decided from the source.
        columns: titles, or numbers from 1 on, of the column of images and of those of labels: one,
            several, or a range.
        encoding: of lists, and of names in archives that do not declare it.
        as_class: the one label of every image.
        task: whether an image may have several labels.
    """

    labels_from: str | None = None
    columns: tuple[str, ...] | None = None
    encoding: str | None = None
    as_class: str | None = None
    task: Task = "single_label"

    def name_list(self, name: str) -> bool:
        """Whether ``labels_from`` is the list ``name``, or a pattern that it matches
        (``style_*.csv``)."""
        wanted = (self.labels_from or "").replace("\\", "/")
        wanted, name = wanted.rpartition("/")[2], name.rpartition("/")[2]
        return wanted == name or fnmatchcase(name, wanted.replace("[", "[[]"))


@dataclass(frozen=True, slots=True)
class Ignored:
    """Files that are skipped for one reason, with at most three examples."""

    reason: str
    count: int
    examples: tuple[str, ...]

    def summary(self) -> str:
        """A one-line summary."""
        more = self.count - len(self.examples)
        names = ", ".join(self.examples) + (f" and {more:,} more" if more > 0 else "")
        return f"{self.count:,} ({self.reason}): {names}"


@dataclass(frozen=True, slots=True)
class Reading:
    """The reading of a source: which files are images, and their labels.

    Attributes:
        stem: the name under which the source's images are stored.
        container: the source of the bytes.
        layout: how it was read, in words (``a folder for each class, below train and test``).
        names: the image's name in the source by its name in the container.
        labels: labels by name in the source. No entry: nothing is stated about the image. An empty
            tuple: none of the labels applies (a negative, in multi_label only).
        splits: the split that the source gives an image, by name in the source.
        rejections: files and lines of lists that cannot be used, with reason and remedy.
        ignored: what is skipped.
        warnings: what was decided without asking, and should be checked.
        doubts: what has to be decided before anything is written.
        unused: a sentence for each option without effect.
    """

    stem: str
    container: FileContainer
    layout: str
    names: Mapping[str, str]
    labels: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, Split] = field(default_factory=dict)
    rejections: Sequence[Rejection] = ()
    ignored: Sequence[Ignored] = ()
    warnings: Sequence[str] = ()
    doubts: Sequence[Doubt] = ()
    unused: Sequence[str] = ()

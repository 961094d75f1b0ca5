"""What was understood of a source, before any of its pictures is read."""

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
    """What the user decided about how a source is to be read.

    Attributes:
        labels_from: ``parent`` (the folder right around an image), ``top`` (the first folder),
            ``path`` (all folders of classes around it, joined),
            ``none``, the path of a list, or ``None``: what the source itself tells.
        columns: the names, or the numbers from 1 on, of the column with images and of those with
            labels: one, several, or a range.
        encoding: of lists, and of the names in archives that do not say it.
        as_class: the one label of every image.
        task: whether an image may have several labels.
    """

    labels_from: str | None = None
    columns: tuple[str, ...] | None = None
    encoding: str | None = None
    as_class: str | None = None
    task: Task = "single_label"

    def name_list(self, name: str) -> bool:
        """Whether ``labels_from`` is the list ``name``, or a pattern that it fits (``style_*.csv``)."""
        told = (self.labels_from or "").replace("\\", "/")
        told, name = told.rpartition("/")[2], name.rpartition("/")[2]
        return told == name or fnmatchcase(name, told.replace("[", "[[]"))


@dataclass(frozen=True, slots=True)
class Ignored:
    """Files that are passed over for one reason, with at most three examples."""

    reason: str
    count: int
    examples: tuple[str, ...]

    def summary(self) -> str:
        """All of it in a line."""
        more = self.count - len(self.examples)
        names = ", ".join(self.examples) + (f" and {more:,} more" if more > 0 else "")
        return f"{self.count:,} ({self.reason}): {names}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What is understood of a source: which files are images, and what is said about them.

    Attributes:
        stem: the name under which the source's images are stored.
        container: where the bytes are.
        layout: how it was read, in words (``a folder for each class, below train and test``).
        names: the image's name in the source by the name in its container.
        labels: labels by name in the source. No entry: nothing is said of the image. An empty
            tuple: it is said to have none of the labels (a negative, in multi_label only).
        splits: the split that the source gives an image, by name in the source.
        rejections: files and lines of lists that cannot be used, with reason and remedy.
        ignored: what is passed over.
        warnings: what was decided without asking, and should be looked at.
        doubts: what has to be decided before anything is written.
        unused: options of the user that decided nothing, a sentence for each.
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

"""What an export holds, what a format makes of it, and what each format must be able to do."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from errors.base import ImgclfError

SPLITS = ("train", "val", "test")


class CannotHold(ImgclfError, ValueError):  # noqa: N818 - a state, as its callers say it
    """A format has no way to say what a data set says; the message names one that has."""


@dataclass(frozen=True, slots=True)
class ExportImage:
    """One image of a data set.

    ``file`` is its path as it was ingested (below its source), ``format`` Pillow's name of what
    its bytes are (``JPEG``), or "" where that is not known; ``width`` and ``height`` in pixels.
    """

    sha256: str
    file: str
    labels: tuple[str, ...]
    split: str
    width: int
    height: int
    format: str = ""


@dataclass(frozen=True)
class Contents:
    """A data set as it is exported.

    ``labels`` are in the order of the model's outputs, ``images`` in the order of their paths;
    ``place`` is the name of the folder that the export will lie in.
    """

    version: str
    task: str
    created_at: str
    labels: tuple[str, ...]
    images: tuple[ExportImage, ...]
    place: str

    def of(self, split: str) -> list[ExportImage]:
        """The images of a split."""
        return [image for image in self.images if image.split == split]

    @property
    def splits(self) -> list[str]:
        """The splits that have an image, in their usual order."""
        there = {image.split for image in self.images}
        return [split for split in SPLITS if split in there] + sorted(there - {*SPLITS})

    def counts(self) -> dict[str, dict[str, int]]:
        """Images by label and split; a label without any is there with zeros."""
        counts = {label: dict.fromkeys(SPLITS, 0) for label in self.labels}
        for image in self.images:
            for label in image.labels:
                row = counts.setdefault(label, dict.fromkeys(SPLITS, 0))
                row[image.split] = row.get(image.split, 0) + 1
        return counts


@dataclass(frozen=True)
class Layout:
    """Where a format puts things.

    ``paths`` gives the path of each image by its sha256; ``folders`` must be there, even if they
    are empty; ``renamed`` gives the folder of each label that cannot name one; ``notes`` are
    sentences about what the format's readers will make of it.
    """

    paths: Mapping[str, str]
    folders: Sequence[str] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class TextFile:
    """A file beside the images: its path, and its text in pieces."""

    path: str
    text: Iterable[str]


class ExportFormat(Protocol):
    """A format of data sets."""

    name: str
    """As the command line has it."""

    def layout(self, contents: Contents) -> Layout:
        """Where each image goes. Raises CannotHold."""

    def files(self, contents: Contents, layout: Layout) -> Iterator[TextFile]:
        """The files that say what the images are.

        Args:
            contents: the data set with the images that were written, which may be fewer.
            layout: of the whole data set.
        """

    def reading(self, contents: Contents, layout: Layout) -> str:
        """How it is read, as lines of code."""

    def front_matter(self, contents: Contents) -> str:
        """What stands at the head of its README, or ""."""

"""What an export contains, how a format lays it out, and what each format must implement."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from errors.base import ImgclfError

SPLITS = ("train", "val", "test")


class CannotHold(ImgclfError, ValueError):
    """The format cannot represent the data set; the message names one that can."""


@dataclass(frozen=True, slots=True)
class ExportImage:
    """One image of a data set.

    Attributes:
        sha256: of its bytes.
        file: its path as it was ingested, below its source.
        labels: its labels.
        split: its split.
        width, height: in pixels.
        format: Pillow's name of its format (``JPEG``), or "" if it is not known.
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
    """A data set to be exported.

    Attributes:
        version: of the data set.
        task: ``single_label`` or ``multi_label``.
        created_at: ISO date and time.
        labels: in the order of the model's outputs.
        images: in the order of their paths.
        place: the name of the folder that the export is written to.
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
        """The splits with images: train, val and test first, then others by name."""
        there = {image.split for image in self.images}
        return [split for split in SPLITS if split in there] + sorted(there - {*SPLITS})

    def counts(self) -> dict[str, dict[str, int]]:
        """Images by label and split; a label without images has zeros."""
        counts = {label: dict.fromkeys(SPLITS, 0) for label in self.labels}
        for image in self.images:
            for label in image.labels:
                row = counts.setdefault(label, dict.fromkeys(SPLITS, 0))
                row[image.split] = row.get(image.split, 0) + 1
        return counts


@dataclass(frozen=True)
class Layout:
    """Where a format puts the images.

    Attributes:
        paths: the path of each image, by its sha256.
        folders: folders that must exist, even if they are empty.
        renamed: the folder of each label that cannot name one.
        notes: sentences on how readers of the format will interpret the export.
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
    """The value of ``--format``."""

    def layout(self, contents: Contents) -> Layout:
        """Where each image goes.

        Raises:
            CannotHold: the format cannot represent the data set.
        """

    def files(self, contents: Contents, layout: Layout) -> Iterator[TextFile]:
        """The files that state the labels of the images.

        Args:
            contents: the data set with the images that were written, which may be fewer.
            layout: of the whole data set.
        """

    def reading(self, contents: Contents, layout: Layout) -> str:
        """Lines of code that read the export."""

    def front_matter(self, contents: Contents) -> str:
        """The front matter of the export's README, or ""."""

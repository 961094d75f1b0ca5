"""A source of names and lists, for tests of how lists are read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from labelling.sources.lists.files.index import FileIndex
from labelling.sources.lists.formats import read_list
from labelling.sources.lists.list_format import ListFile, ListReading, Surroundings
from labelling.sources.lists.match import Matching, match
from labelling.sources.reading import ReadingOptions

PHOTOS = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")


@dataclass
class ListedSource:
    """Images by name and lists by name."""

    lists: Mapping[str, bytes | str]
    images: tuple[str, ...] = PHOTOS
    options: ReadingOptions = field(default_factory=ReadingOptions)

    def __post_init__(self) -> None:
        self.data = {
            name: data if isinstance(data, bytes) else data.encode()
            for name, data in self.lists.items()
        }
        self.around = Surroundings(FileIndex({*self.images, *self.data}), self.data.get)

    def read(self, name: str) -> ListReading | None:
        """What the first format that knows it says of a list."""
        return read_list(ListFile(name, self.data[name]), self.options, self.around)

    def match(self) -> Matching:
        """What all lists say of the images."""
        readings = [(name, reading) for name in self.data if (reading := self.read(name))]
        return match(readings, self.around.files, len(self.images))


def labels(
    data: bytes | str, *images: str, name: str = "labels.csv", **options: object
) -> dict[str, str]:
    """The labels that one list gives, several as ``a|b``."""
    source = ListedSource({name: data}, images or PHOTOS, ReadingOptions(**options))
    return {file: "|".join(text) for file, text in source.match().labels.items()}

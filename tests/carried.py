"""What tests of the formats of lists have in common: a source around a list."""

from labelling.sources.lists.files.index import FileIndex
from labelling.sources.lists.list_format import Surroundings


def around(*names: str) -> Surroundings:
    """A source of files of these names, of which nothing can be read."""
    return Surroundings(FileIndex(names), lambda _name: None)

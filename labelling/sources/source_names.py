"""A memory-efficient mapping of a source's image names, for hundreds of thousands of images."""

import unicodedata
from array import array
from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from itertools import pairwise
from typing import TypeVar


class SourceNames(Mapping[str, str]):
    """The name of each image in its source by its name in the container.

    Names are stored sorted in one block of bytes: a name costs its length and eight bytes; as
    strings in a dictionary it would cost 200 bytes more.
    """

    def __init__(self, entries: Iterable[str], prefix: str = "") -> None:
        """Store the names.

        Args:
            entries: names in the container, each once.
            prefix: the folders around everything, which do not belong to names in the source.
        """
        encoded = sorted({entry.encode() for entry in entries})
        self.prefix = prefix
        self._cut = len(prefix)
        self._ends = array("Q", [0])
        end = 0
        for entry in encoded:
            end += len(entry)
            self._ends.append(end)
        self._block = b"".join(encoded)

    def name_of(self, entry: str) -> str:
        """The name in the source of an entry of the container."""
        name = entry[self._cut :]
        return name if name.isascii() else unicodedata.normalize("NFC", name)

    def __getitem__(self, entry: str) -> str:
        if entry not in self:
            raise KeyError(entry)
        return self.name_of(entry)

    def __contains__(self, entry: object) -> bool:
        if not isinstance(entry, str):
            return False
        wanted = entry.encode("utf-8", "surrogatepass")
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self._at(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return low < len(self) and self._at(low) == wanted

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __iter__(self) -> Iterator[str]:
        for begin, end in pairwise(self._ends):
            yield self._block[begin:end].decode()

    def _at(self, index: int) -> bytes:
        return self._block[self._ends[index] : self._ends[index + 1]]

    def in_source(self) -> Iterator[str]:
        """Every name in the source."""
        return map(self.name_of, self)

    def values(self) -> ValuesView[str]:
        """Every name in the source, without a lookup for each."""
        return _Values(self)

    def items(self) -> ItemsView[str, str]:
        """Every name in the container with that in the source, without a lookup for each."""
        return _Items(self)


class _Values(ValuesView[str]):
    _mapping: SourceNames

    def __iter__(self) -> Iterator[str]:
        return self._mapping.in_source()


class _Items(ItemsView[str, str]):
    _mapping: SourceNames

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((entry, self._mapping.name_of(entry)) for entry in self._mapping)


Value = TypeVar("Value")


class ByFolder(Mapping[str, Value]):
    """A mapping by image whose values are stored by folder, since all images of a folder share
    them.

    ``values`` are by folder, as it is written in the names in the source.
    """

    def __init__(self, names: SourceNames, values: Mapping[str, Value]) -> None:
        self._names, self._values = names, values
        self._count: int | None = None

    def __getitem__(self, name: str) -> Value:
        return self._values[name.rpartition("/")[0]]

    def value_set(self) -> set[Value]:
        """Each value once."""
        return set(self._values.values())

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._names.in_source() if name.rpartition("/")[0] in self._values)

    def __len__(self) -> int:
        if self._count is None:
            self._count = sum(1 for _ in self)
        return self._count

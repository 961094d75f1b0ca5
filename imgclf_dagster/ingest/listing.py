"""The stored objects of a source, found by key with little memory."""

from array import array
from collections.abc import Iterator, Sized

from object_store.rows import ObjectInfo, Row
from object_store.store import ObjectStore


class ListedObjects(Sized):
    """A listing as one block of sorted rows of text, which is all the memory it takes."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._block, self._ends = b"", array("Q", [0])
        store.collect(prefix, self._keep)

    def _keep(self, rows: Iterator[Row]) -> Sized:
        encoded = sorted("\0".join(map(str, row)).encode() for row in rows)
        end = 0
        for row in encoded:
            end += len(row)
            self._ends.append(end)
        self._block = b"".join(encoded)
        return self

    def __len__(self) -> int:
        return len(self._ends) - 1

    def get(self, key: str) -> ObjectInfo | None:
        """Return the listed object with this key; ``None`` if there is none."""
        wanted = f"{key}\0".encode()
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self._row(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        if low == len(self) or not self._row(low).startswith(wanted):
            return None
        _, size, etag, modified = self._row(low).decode().split("\0")
        return ObjectInfo.from_row((key, int(size), etag, int(modified)))

    def _row(self, index: int) -> bytes:
        return self._block[self._ends[index] : self._ends[index + 1]]

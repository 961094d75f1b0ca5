"""The files of a source, one after another, with their labels."""

from collections.abc import Iterator
from dataclasses import dataclass

from labelling.sources.containers.containers import Rejection
from labelling.sources.reading import Reading, Split


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One file of a source.

    Attributes:
        name: relative to the source.
        data: its bytes.
        labels: ``None``: nothing is stated; ``()``: none of the labels applies.
        split: the split that the source gives it.
    """

    name: str
    data: bytes
    labels: tuple[str, ...] | None
    split: Split | None = None


def item_count(reading: Reading) -> int:
    """The number of items that ``source_items`` yields."""
    return len(reading.names) + len(reading.rejections)


def source_items(reading: Reading, *, max_file_bytes: int) -> Iterator[SourceItem | Rejection]:
    """Yield every image once, and every rejection with its reason."""
    yield from reading.rejections
    for content in reading.container.contents(reading.names, max_file_bytes):
        name = reading.names.get(content.name, content.name)
        if isinstance(content, Rejection):
            yield Rejection(name, content.reason)
        else:
            labels, split = reading.labels.get(name), reading.splits.get(name)
            yield SourceItem(name, content.data, labels, split)

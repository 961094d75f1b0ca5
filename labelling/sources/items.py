"""The files of a source that is understood, one after another, with the labels they come with."""

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
        labels: ``None`` for a file that comes without any; ``()``: none of them applies.
        split: the split that the source gives it.
    """

    name: str
    data: bytes
    labels: tuple[str, ...] | None
    split: Split | None = None


def item_count(reading: Reading) -> int:
    """How many items ``source_items`` will give."""
    return len(reading.names) + len(reading.rejections)


def source_items(reading: Reading, *, max_file_bytes: int) -> Iterator[SourceItem | Rejection]:
    """Every image once, and everything that was refused with its reason."""
    yield from reading.rejections
    for content in reading.container.contents(reading.names, max_file_bytes):
        name = reading.names.get(content.name, content.name)
        if isinstance(content, Rejection):
            yield Rejection(name, content.reason)
        else:
            labels, split = reading.labels.get(name), reading.splits.get(name)
            yield SourceItem(name, content.data, labels, split)

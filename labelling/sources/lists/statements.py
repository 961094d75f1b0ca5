"""Collect the statements of one list while it is read: file names and labels as text, and
rejections."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from labelling.labels.form import normal_label
from labelling.sources.containers.containers import Rejection
from labelling.sources.doubt import Doubt
from labelling.sources.lists.files.index import IMAGE_SUFFIXES, base_name, without_suffix
from labelling.sources.lists.labels.hierarchy import hierarchy_in
from labelling.sources.lists.labels.several import set_aside
from labelling.sources.lists.list_format import ListReading, ListRefusedError, Statement
from labelling.sources.names import columns as column_names
from labelling.sources.reading import ReadingOptions, Split

_IMAGE_NAME = re.compile(
    rf"({'|'.join(map(re.escape, sorted(IMAGE_SUFFIXES)))})($|[?#])", re.IGNORECASE
)
"""How the path or the URL of an image ends."""

_RecordT = TypeVar("_RecordT")

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def split_of(word: object) -> Split | None:
    """The split that ``word`` means in any spelling; ``None`` if it means none."""
    return column_names.split_of(word) if isinstance(word, str) else None


def names_image(text: object) -> bool:
    """Whether ``text`` ends like the path or URL of an image."""
    return isinstance(text, str) and bool(_IMAGE_NAME.search(text))


def as_label(value: object) -> str | None:
    """``value`` as a label: text, or a class number; ``None`` if it is neither, or empty."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return normal_label(str(value)) or None


class Statements:
    """The statements of one list, added record by record."""

    def __init__(self, name: str, options: ReadingOptions) -> None:
        self.name = name
        self.options = options
        self.taken: list[Statement] = []
        self.rejections: list[Rejection] = []
        self._split = split_of(without_suffix(base_name(name)))
        self._several: list[Statement] = []

    def reject(self, place: str, reason: str) -> None:
        self.rejections.append(Rejection(place, reason, of_list=True))

    def usable(self, records: Iterable[_RecordT | Rejection]) -> Iterator[_RecordT]:
        """Yield the records that could be decoded; note the others as rejections of the list."""
        for record in records:
            if isinstance(record, Rejection):
                self.reject(record.name, record.reason)
            else:
                yield record

    def add(
        self,
        place: str,
        file: object,
        labels: Iterable[object] | None,
        split: Split | None = None,
        or_file: str | None = None,
    ) -> None:
        """Add the statement of a record, or reject it if it names no file or no label.

        Args:
            place: where the record is.
            file: the image, as the list writes it.
            labels: empty: none of the labels applies; ``None``: nothing is stated.
            split: the split that the record gives; else that of the list's name (``train.json``).
            or_file: an alternative name of the image.
        """
        if not isinstance(file, str) or not file.strip():
            self.reject(place, "names no image")
            return
        if _HALF_CHARACTER.search(file):
            self.reject(f"{place} {file!a}", "no name of a file: it holds half a character")
            return
        read = None if labels is None else [(label, as_label(label)) for label in labels]
        if bad := [label for label, text in read or () if text is None]:
            self.reject(f"{place} {file}: {shown(bad[0])}", "no label: neither text nor number")
            return
        found = None if read is None else tuple(dict.fromkeys(text for _, text in read if text))
        if found == () and self.options.task == "single_label":
            found = None  # a negative is not a class
        if found and len(found) > 1 and self.options.task == "single_label":
            self._several.append(Statement(place, file, found))
            return
        self.taken.append(Statement(place, file.strip(), found, split or self._split, or_file))

    def reading(
        self, understood: str, warnings: Sequence[str] = (), doubts: Sequence[Doubt] = ()
    ) -> ListReading:
        """The list as it was read.

        Args:
            understood: how the list was read, in words.
            warnings: what was decided without asking.
            doubts: what has to be decided by an option first.

        Raises:
            ListRefusedError: many images have several labels where the task is single_label, or the
                labels are a hierarchy.
        """
        labelled = len(self._several) + sum(bool(item.labels) for item in self.taken)
        self.rejections += set_aside(self.name, self._several, labelled)
        labels = [label for statement in self.taken for label in statement.labels or ()]
        if found := hierarchy_in(labels):
            raise ListRefusedError(f"{self.name}: {found}")
        return ListReading(understood, self.taken, self.rejections, warnings, doubts)


def count_of(number: int, noun: str, plural: str = "s") -> str:
    """A number with its noun: ``1 image``, ``1,204 images``.

    Args:
        number: how many.
        noun: in the singular.
        plural: what the plural adds to it.
    """
    return f"{number:,} {noun}{'' if number == 1 else plural}"


def shown_counts(counts: Counter[str], limit: int = 5) -> str:
    """``cat (12), dog (9)``, and how many more there are."""
    first = [f"{label} ({count:,})" for label, count in islice(_ranked(counts), limit)]
    more = [f"and {len(counts) - limit} more"] if len(counts) > limit else []
    return ", ".join([*first, *more]) or "no label"


def _ranked(counts: Counter[str]) -> Iterator[tuple[str, int]]:
    return iter(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def shown(value: object) -> str:
    """A value as Python writes it, shortened to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"

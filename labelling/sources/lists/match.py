"""Match the statements of lists with the files of the source."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from labelling.labels.foreign_text import label_flaw, visible
from labelling.labels.form import normal_label
from labelling.sources.containers.containers import Rejection
from labelling.sources.lists.files.finder import FileFinder, folder_of
from labelling.sources.lists.files.index import FileIndex
from labelling.sources.lists.list_format import ListReading, ListRefusedError, Statement
from labelling.sources.reading import Split

NO_SUCH_FILE = (
    "no such file in the source; a list names its files relative to its own folder "
    "or to the top of the source"
)
OTHER_FOLDER = "not in that folder; a file of the same name in another folder may be another image"
OTHER_SUFFIX = (
    "no such file, but one with another suffix; write the suffix of the file that is there"
)
SEVERAL_FIT = "several files of the source fit; write more of the path"
LABELLED_TWICE = "labelled twice, and differently; write one line, with several labels as a|b"
TWO_SPLITS = "given to two splits; neither is used"
REFUSED_ITSELF = "the file that it names is refused, for the reason given there"
_NEARLY_ALL = 0.9
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Matching:
    """The statements of lists, by file of the source.

    Attributes:
        labels: by name of the file. ``()``: none of the labels applies.
        splits: by name of the file.
        places: where each file is named first, including files without label or split.
        rejections: statements that cannot be used, with their places.
        contradicting: lists that label files differently, with the number of these files.
    """

    labels: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, Split]
    places: Mapping[str, str]
    rejections: Sequence[Rejection]
    contradicting: Mapping[str, int] = field(default_factory=dict)


def match(lists: Sequence[tuple[str, ListReading]], files: FileIndex, images: int) -> Matching:
    """Find the files that lists name.

    Args:
        lists: pairs of the name in the source and the reading.
        files: the names of the source's files.
        images: number of the source's files that may be images.

    Returns:
        Labels and splits by file, and what cannot be used.

    Raises:
        ListRefusedError: more than half of a list cannot be used, and it does not name nearly all
            images of the source either.
    """
    matcher = _Matcher()
    for name, reading in lists:
        finder = FileFinder(files, folder_of(name))
        named, refused = len(matcher.places), len(matcher.rejections)
        aside = len(matcher.aside)
        unclear = matcher.unclear
        matcher.rejections += reading.rejections
        matcher.list = name
        for statement in reading.statements:
            matcher.take(statement, finder)
        clear = len(matcher.places) - named - (matcher.unclear - unclear)
        if clear < _NEARLY_ALL * images:
            # Images in unsupported formats do not count against a list.
            aside = len(matcher.aside) - aside
            total = len(reading.statements) + len(reading.rejections) - aside
            _refuse_if_mostly_unusable(name, total, matcher.rejections[refused:])
    rejections = [*matcher.rejections, *matcher.aside]
    return Matching(
        matcher.labels, matcher.splits, matcher.places, rejections, matcher.contradicting
    )


class _Matcher:
    def __init__(self) -> None:
        self.labels: dict[str, tuple[str, ...]] = {}
        self.splits: dict[str, Split] = {}
        self.places: dict[str, str] = {}
        self.rejections: list[Rejection] = []
        self.aside: list[Rejection] = []
        self.list = ""
        self.contradicting: Counter[str] = Counter()
        self._labelled_at: dict[str, str] = {}
        self._labelled_by: dict[str, str] = {}
        self._unclear_labels: set[str] = set()
        self._unclear_splits: set[str] = set()

    @property
    def unclear(self) -> int:
        """The number of files with contradicting labels."""
        return len(self._unclear_labels)

    def take(self, statement: Statement, finder: FileFinder) -> None:
        found = finder.find(statement.file)
        if not found and statement.or_file:
            found = finder.find(statement.or_file) or finder.uploaded_as(statement.or_file)
        if len(found) != 1:
            self.rejections.append(_not_found(statement, found, finder))
            return
        file = found[0]
        if finder.refused(file):
            self.aside.append(Rejection(f"{statement.place} {file}", REFUSED_ITSELF, of_list=True))
            return
        self.places.setdefault(file, statement.place)
        if statement.labels is not None:
            self._take_labels(file, _normal(statement.labels), statement.place)
        if statement.split is not None:
            self._take_split(file, statement.split, statement.place)

    def _take_labels(self, file: str, labels: tuple[str, ...], place: str) -> None:
        if flaw := next(filter(None, map(_flaw, labels)), None):
            self._refuse(f"{place} {file}", flaw)
            return
        if file in self._unclear_labels:
            self._refuse(f"{place} {file}: {_shown(labels)}", LABELLED_TWICE)
            return
        earlier = self.labels.setdefault(file, labels)
        if earlier == labels or set(earlier) == set(labels):
            self._labelled_at.setdefault(file, place)
            self._labelled_by.setdefault(file, self.list)
            return
        if self._labelled_by[file] != self.list:
            self.contradicting.update((self._labelled_by[file], self.list))
        self._unclear_labels.add(file)
        del self.labels[file]
        self._refuse(f"{self._labelled_at[file]} {file}: {_shown(earlier)}", LABELLED_TWICE)
        self._refuse(f"{place} {file}: {_shown(labels)}", LABELLED_TWICE)

    def _take_split(self, file: str, split: Split, place: str) -> None:
        if file in self._unclear_splits or self.splits.setdefault(file, split) == split:
            return
        self._unclear_splits.add(file)
        earlier = self.splits.pop(file)
        name = f"{self.places[file]} {file}: {earlier}; {place}: {split}"
        self._refuse(name, TWO_SPLITS)

    def _refuse(self, name: str, reason: str) -> None:
        self.rejections.append(Rejection(name, reason, of_list=True))


def _not_found(statement: Statement, found: Sequence[str], finder: FileFinder) -> Rejection:
    name = f"{statement.place} {statement.file}"
    if found:
        return Rejection(f"{name}: {_some(found)}", SEVERAL_FIT, of_list=True)
    if passed := finder.passed_over(statement.file):
        return Rejection(name, f"the file is ignored: {passed}", of_list=True)
    if elsewhere := finder.of_the_same_name(statement.file):
        return Rejection(f"{name}: {_some(elsewhere)}", OTHER_FOLDER, of_list=True)
    if alike := finder.with_another_suffix(statement.file):
        return Rejection(f"{name}: {_some(alike)}", OTHER_SUFFIX, of_list=True)
    return Rejection(name, NO_SUCH_FILE, of_list=True)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return " or ".join(names[:3]) + more


def _shown(labels: tuple[str, ...]) -> str:
    return "|".join(labels) or "no label"


_flaw = lru_cache(maxsize=1 << 16)(label_flaw)


@lru_cache(maxsize=1 << 16)
def _normal(labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(normal_label, labels))


def _refuse_if_mostly_unusable(name: str, total: int, rejections: Sequence[Rejection]) -> None:
    """Refuse a list of which more than half cannot be used.

    Args:
        name: of the list.
        total: number of its lines or records.
        rejections: those that cannot be used, with place and reason.

    Raises:
        ListRefusedError: more than half cannot be used; the message has each reason once.
    """
    if 2 * len(rejections) <= total:
        return
    by_reason: dict[str, list[str]] = {}
    for rejection in rejections:
        by_reason.setdefault(rejection.reason, []).append(rejection.name)
    reasons = [
        f"{len(places):,} × {reason} ({', '.join(places[:_EXAMPLES])})"
        for reason, places in sorted(by_reason.items(), key=lambda item: -len(item[1]))
    ]
    raise ListRefusedError(
        visible(
            f"{name}: {min(len(rejections), total):,} of {total:,} lines cannot be used, so the "
            f"list was not read: {'; '.join(reasons)}. Correct the list, give its columns with "
            "--columns IMAGE,LABEL, or give --labels-from none"
        )
    )

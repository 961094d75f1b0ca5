"""Decide what the lists of a source give: its labels, or questions that prevent labelling."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from labelling.sources.containers.containers import FileContainer, OptionError, Rejection
from labelling.sources.doubt import Doubt
from labelling.sources.folders.layouts import FOLDER_MODES, Layout
from labelling.sources.folders.names import split_of, split_of_list
from labelling.sources.given_lists import (
    NAMELESS,
    GivenLists,
    read_lists,
    read_one_list,
    surroundings,
)
from labelling.sources.labels_beside import BEHIND_A_LIST, compare_with_beside, set_apart
from labelling.sources.listing import Groups, Listing
from labelling.sources.lists.files.alternative_splits import ALTERNATIVE
from labelling.sources.lists.files.index import FileIndex, base_name
from labelling.sources.lists.labels.several import SEVERAL_REMEDY
from labelling.sources.lists.list_format import (
    ListReading,
    ListRefusedError,
    WrongColumnsError,
)
from labelling.sources.lists.match import LABELLED_TWICE, TWO_SPLITS, Matching, match
from labelling.sources.lists.review.labels_of_test_sets import without_hidden_labels
from labelling.sources.lists_and_folders import (
    compare_with_folders,
    list_answers,
    names_in_short,
    offer_folders,
    offer_lists,
    one_to_one,
)
from labelling.sources.named_lists import named_lists
from labelling.sources.reading import ReadingOptions, Split
from labelling.sources.source_names import SourceNames

FOLDERS = (*FOLDER_MODES, "none")
"""Values of ``labels_from`` with which no list is read."""

_NO_TEXT = (".parquet", ".xml")
"""Lists that declare their encoding."""

_NOT_READ = "lists and texts that are not read, because of the option"
_UNREAD = "texts that name images and are not read beside other labels (--labels-from reads one)"
_UNREAD_TEXTS = "texts that are not read beside other labels"
_LEFT_TO_FOLDERS = "texts that are not read, for the folders give the labels"
_WITHOUT = "To ingest without it: --labels-from parent, or none"
_ARRAY = (
    "named like labels, in a format of NumPy, Python or Matlab, which is not read; write a CSV "
    "with the columns file,labels beside the images"
)
_ARRAYS_BESIDE = f"{_ARRAY}; other files give the labels here"
_SHOWN = 3
_CLASSES_AT_LEAST = 5
_MANY = 20
_FEW = 0.1
"""The share of images that may have two splits by mistake."""


@dataclass(slots=True)
class ListResult:
    """The content of a source's lists.

    Attributes:
        text: how they were read, in words.
        matching: labels by image; ``None``: there is no list, the folders give the labels.
        splits: by image, if the folders give the labels.
        rejections: lines of lists of splits that cannot be used.
        warnings: what was decided without asking.
        doubts: what has to be decided first.
        unsure: labels that may mean "no label", or may be classes.
        odd: labels that look damaged or uncertain, with the reason.
        by_columns: whether a list was read to which ``--columns`` applies.
        in_text: whether a list was read to which ``--encoding`` applies.
        offered: plain texts with labels, as an alternative to the folders.
    """

    text: str = ""
    matching: Matching | None = None
    splits: Mapping[str, Split] = field(default_factory=dict)
    rejections: Sequence[Rejection] = ()
    warnings: list[str] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    odd: dict[str, str] = field(default_factory=dict)
    by_columns: bool = False
    in_text: bool = False
    offered: list[str] = field(default_factory=list)


class SourceLists:
    """The lists of one source."""

    def __init__(
        self, path: Path, options: ReadingOptions, container: FileContainer, listing: Listing
    ) -> None:
        """Prepare to read; nothing is read yet.

        Args:
            path: of the source.
            options: what the user decided.
            container: the source.
            listing: its table of contents; files that are not lists are added to its ``passed``.
        """
        self._path, self._options = path, options
        self._container, self._listing = container, listing
        self._passed: Groups = listing.passed

    def read(self, names: SourceNames, layout: Layout) -> ListResult:
        """Read the lists and find the images that they name.

        Args:
            names: of the images.
            layout: what the folders say, below the folders around everything.

        Raises:
            SourceError: the list that the user named cannot be used.
        """
        mode = self._options.labels_from
        if mode in FOLDERS or self._options.as_class is not None:
            for entry in (*self._listing.lists, *self._listing.arrays):
                self._passed.add(_NOT_READ, entry)
            return ListResult()
        if mode is not None:
            return self._from_file(mode, names, layout)
        given = read_lists(self._container, self._listing, self._index, self._options)
        self._passed.update(given.passed)
        if given.wrong_columns and not given.understood:
            raise OptionError("; ".join(given.wrong_columns[:_SHOWN]))
        clear = _clear([*given.understood, *given.weak])
        if not clear:
            given.refused |= given.nameless
        self._take_arrays(given, understood=bool(clear or layout.labels or _asks(given)))
        others = bool(given.understood or layout.labels)
        if given.refused or (not others and given.unread.keys() > given.asked.keys()):
            return _refused(given.refused or given.unread, layout, [*clear, *given.asked])
        for name in given.nameless:
            self._passed.add(NAMELESS, name)
        understood = given.understood or (layout.labels and not layout.doubts)
        asked = {} if understood else given.asked
        for name in given.unread.keys() - asked.keys():
            why = given.unread[name].removeprefix(f"{name} ")
            is_of_several = SEVERAL_REMEDY in why
            self._passed.add(f"{_UNREAD_TEXTS}: it {why}" if is_of_several else _UNREAD, name)
        if not (given.understood or asked) and layout.labels:
            return self._texts_beside_classes(given, names, layout)
        lists, beside = set_apart([*given.understood, *given.weak, *asked.items()])
        for name, _ in beside:
            self._passed.add(BEHIND_A_LIST, name)
        try:
            result = self._matched(lists, names, layout)
            if beside and result.matching and not result.doubts:
                result.doubts += compare_with_beside(lists, result.matching.labels, beside)
            return result
        except ListRefusedError as error:
            # Of lists that contradict each other, none takes precedence.
            alike = _of_classes(given) if LABELLED_TWICE in str(error) else ()
            left = [
                name
                for name in clear
                if not str(error).startswith(f"{name}:") or (name in alike and len(clear) > 1)
            ]
            return _refused({"": str(error)}, layout, left)

    def _take_arrays(self, given: GivenLists, *, understood: bool) -> None:
        """Refuse labels in an unsupported format, unless something else gives labels."""
        for entry in self._listing.arrays:
            if understood:
                self._passed.add(_ARRAYS_BESIDE, entry)
            else:
                name = self._listing.name_of(entry)
                given.refused[name] = f"{name}: {_ARRAY}"

    def _matched(
        self, lists: Sequence[tuple[str, ListReading]], names: SourceNames, layout: Layout
    ) -> ListResult:
        if not lists:
            return ListResult()
        lists, hidden = without_hidden_labels(_together(lists))
        placed = [(_as_if_in(name, layout), reading) for name, reading in lists]
        matching = match(placed, self._index(), len(names))
        result = ListResult("; ".join(_texts(lists)), matching)
        result.by_columns = any(reading.takes_columns for _, reading in lists)
        result.in_text = not all(name.casefold().endswith(_NO_TEXT) for name, _ in lists)
        for name, reading in lists:
            result.warnings += [f"{name}: {warning}" for warning in reading.warnings]
            result.unsure += reading.unsure
            result.odd |= reading.odd
        result.doubts += _asked_once(lists)
        if not matching.labels and not result.doubts:
            result.warnings.append("no image gets a label from the list")
            if not layout.labels and all(reading.names_only for _, reading in lists):
                result.doubts.append(_names_only([name for name, _ in lists]))
        if self._options.labels_from is None:
            if matching.contradicting:
                result.doubts.append(_contradicting(matching.contradicting))
            result.doubts = offer_lists(result.doubts, _clear(lists)) + hidden
            self._against_folders(result, [name for name, _ in lists], layout)
        result.doubts += [] if result.doubts else _captions(matching.labels)
        return result

    def _against_folders(self, result: ListResult, lists: Sequence[str], layout: Layout) -> None:
        """Compare lists with folders of classes: a list takes precedence only if it agrees with
        them."""
        if result.doubts or result.matching is None:
            result.doubts = offer_folders(result.doubts, layout)
            return
        if self._options.columns is None:
            compared = compare_with_folders(lists, result.matching.labels, layout)
            result.warnings += compared.warnings
            result.doubts += compared.doubts
        if not result.matching.labels and layout.labels and not layout.doubts:
            # A list of names or splits gives no labels: those of the folders stay.
            result.splits, result.rejections = result.matching.splits, result.matching.rejections
            result.warnings[-1:] = [f"{names_in_short(lists)}: no labels; the folders give them"]
            result.matching = None

    def _texts_beside_classes(
        self, given: GivenLists, names: SourceNames, layout: Layout
    ) -> ListResult:
        """Read plain texts beside folders of classes; they give labels only if the user says so."""
        result = ListResult()
        dealt: dict[str, Mapping[str, Split]] = {}
        for name, reading in given.weak:
            try:
                matching = match([(name, reading)], self._index(), len(names))
            except ListRefusedError:
                matching = Matching({}, {}, {}, ())
            labels = matching.labels
            if matching.splits and not labels:
                dealt[name] = matching.splits
                result.warnings += [f"{name}: {warning}" for warning in reading.warnings]
                continue
            if layout.doubts and labels and not reading.doubts:
                result.offered.append(name)
                continue
            self._passed.add(_LEFT_TO_FOLDERS, name)
            if reading.doubts or not labels:
                continue
            folders = {file: layout.labels.get(file.rpartition("/")[0]) for file in labels}
            if len(labels) > _CLASSES_AT_LEAST and len({*labels.values()}) == len(labels):
                continue  # image numbers, not classes
            pairs = {(labels[file], by) for file, by in folders.items() if by is not None}
            if not pairs:
                result.warnings.append(
                    f"{name} names {len(labels):,} images outside the class folders, and is not "
                    f"read (--labels-from {name} reads it, and not the folders)"
                )
            elif not one_to_one(pairs):
                question = f"{name} and the folders label images differently: which are right?"
                listed = (f"--labels-from {name}", f"{len(labels):,} labels of the list")
                folders_say = ("--labels-from parent", layout.counted())
                result.doubts.append(Doubt(question, (listed, folders_say)))
        self._take_splits(result, dealt)
        return result

    def _take_splits(self, result: ListResult, dealt: Mapping[str, Mapping[str, Split]]) -> None:
        """Add the splits of plain texts for images with labels from folders."""
        lists = sorted(dealt)
        together = {(file, split) for given in dealt.values() for file, split in given.items()}
        counts = Counter(file for file, _ in together)
        twice = {file for file, count in counts.items() if count > 1}
        result.in_text = bool(dealt)
        if len(twice) > _FEW * len(counts):
            for name in lists:
                self._passed.add(ALTERNATIVE, name)
            return
        result.rejections = [Rejection(file, TWO_SPLITS) for file in sorted(twice)]
        result.splits = {file: split for file, split in together if file not in twice}
        if lists:
            result.warnings.append(f"{names_in_short(lists)}: no labels; the splits are read")

    # --- the list that the user named ---

    def _from_file(self, given: str, names: SourceNames, layout: Layout) -> ListResult:
        files = named_lists(given, self._path, self._container, self._listing)
        around = surroundings(self._container, self._listing, self._index())
        lists = []
        for file in files:
            try:
                reading = read_one_list(file, self._options, around)
            except WrongColumnsError:
                raise
            except ListRefusedError as error:
                raise ListRefusedError(f"{error}. {_WITHOUT}") from None
            if not (reading.statements or reading.rejections or reading.doubts):
                raise ListRefusedError(f"{file.name} has no lines")
            if len(files) > 1 and (split := split_of_list(base_name(file.name))):
                statements = [replace(s, split=s.split or split) for s in reading.statements]
                reading = replace(reading, statements=statements)
            lists.append((file.name, reading))
        read = {file.name for file in files}
        for entry in self._listing.lists:
            if self._listing.name_of(entry) not in read:
                self._passed.add(_NOT_READ, entry)
        return self._matched(lists, names, layout)

    def _index(self) -> FileIndex:
        listing = self._listing
        names = {listing.name_of(entry) for entry in (*listing.images, *listing.lists)}
        return FileIndex(names | {*listing.refused}, listing.refused, listing.passed_by)


def _as_if_in(name: str, layout: Layout) -> str:
    """The name of a list; ``trainLabels.csv`` beside the folder ``train`` is treated as if it were
    inside."""
    folder, slash, base = name.rpartition("/")
    split = split_of_list(base)
    inside = [path for path, given in layout.splits.items() if given == split is not None]
    below = {path.removeprefix(f"{folder}/") if slash else path for path in inside}
    tops = {path.split("/")[0] for path in below if split_of(path.split("/")[0]) == split}
    return f"{folder}{slash}{tops.pop()}/{base}" if len(tops) == 1 else name


def _names_only(lists: Sequence[str]) -> Doubt:
    """The question about lists that only name images: does each list stand for a class?"""
    question = (
        f"{names_in_short(lists)}: names of images only, without labels or splits. If each list "
        "is of a class, write a CSV with the columns file,label. Ingest without labels?"
    )
    return Doubt(question, (("--labels-from none", "the images are ingested without labels"),))


def _contradicting(lists: Mapping[str, int]) -> Doubt:
    """The question which of several lists is right, such as labels.csv and labels_corrected.csv."""
    images = max(lists.values())
    what = "1 image" if images == 1 else f"{images:,} images"
    answers = list_answers(sorted(lists))
    return Doubt(
        f"{names_in_short(sorted(lists))} label {what} differently: which list is right?",
        (*answers[:_SHOWN], ("--yes", f"both are read; {what} without a label")),
    )


def _captions(labels: Mapping[str, tuple[str, ...]]) -> list[Doubt]:
    """The question whether labels are classes, if nearly every image has its own: they may be
    numbers or captions."""
    counts = Counter(label for given in labels.values() for label in given)
    distinct, given = len(counts), counts.total()
    every = distinct == given >= _CLASSES_AT_LEAST
    if not every and not (given >= _MANY and distinct > given / 2):
        return []
    examples = ", ".join(map(repr, list(counts)[:_SHOWN]))
    question = (
        f"{sum(map(bool, labels.values())):,} images have {distinct:,} different labels "
        f"({examples}): are these classes, or ids and captions of single images?"
    )
    answers = (("--yes", "they are classes"), ("--labels-from none", "no labels"))
    return [Doubt(question, answers)]


def _clear(lists: Sequence[tuple[str, ListReading]]) -> list[str]:
    """The lists that give labels and leave no question open."""
    return [
        name
        for name, reading in lists
        if not reading.doubts and any(item.labels for item in reading.statements)
    ]


def _asks(given: GivenLists) -> bool:
    """Whether a list has a question whose answer would make it understood."""
    return bool(given.asked) or any(reading.doubts for _, reading in given.understood)


def _of_classes(given: GivenLists) -> set[str]:
    """The lists that may be the intended one: plain texts only if there are no others, and none
    with its own label for nearly each image, as notes have."""
    if given.understood:
        return {name for name, _ in given.understood}
    by_list = {
        name: [label for item in reading.statements for label in item.labels or ()]
        for name, reading in given.weak
    }
    return {name for name, labels in by_list.items() if 2 * len({*labels}) <= len(labels)}


def _together(lists: Sequence[tuple[str, ListReading]]) -> list[tuple[str, ListReading]]:
    """Judge lists with a different label for nearly every image together with the others: each
    split may have a list, with few images per class."""
    others = [each.otherwise for _, each in lists if each.otherwise and not each.otherwise.doubts]
    clear = [each for _, each in lists if not each.doubts]
    counts = Counter(
        item.labels for each in (*others, *clear) for item in each.statements if item.labels
    )
    if not others or len(others) + len(clear) < 2 or 2 * len(counts) > counts.total():
        return [*lists]
    return [
        (name, each.otherwise if each.otherwise in others and each.otherwise else each)
        for name, each in lists
    ]


def _refused(refused: Mapping[str, str], layout: Layout, clear: Sequence[str] = ()) -> ListResult:
    """A question about lists that were not understood; until it is answered, nothing else gives
    labels."""
    groups: dict[str, list[str]] = {}
    for name, reason in refused.items():
        groups.setdefault(reason.replace(name, "\0") if name else reason, []).append(name)
    reasons = [reason.replace("\0", names_in_short(names)) for reason, names in groups.items()]
    more = f" (and {len(reasons) - _SHOWN} more reasons)" if len(reasons) > _SHOWN else ""
    answers = [("--labels-from none", "the images are ingested without labels")]
    if layout.labels:
        answers.insert(0, ("--labels-from parent", layout.counted()))
    named = [name for name, why in refused.items() if name and f"--labels-from {name}" in why]
    answers[:0] = [(f"--labels-from {name}", "its labels are of whole images") for name in named]
    question = f"{'; '.join(reasons[:_SHOWN])}{more}. Ingest without it?"
    doubts = offer_lists([Doubt(question, tuple(answers))], clear)
    return ListResult("a list that cannot be used", doubts=doubts)


def _asked_once(lists: Sequence[tuple[str, ListReading]]) -> list[Doubt]:
    """The questions of lists, without duplicates of the same options."""
    groups: dict[tuple[str, ...], tuple[Doubt, list[str]]] = {}
    for name, reading in lists:
        for doubt in reading.doubts:
            key = (doubt.question.replace(name, "\0"), *(option for option, _ in doubt.answers))
            groups.setdefault(key, (doubt, []))[1].append(name)
    return [
        replace(doubt, question=key[0].replace("\0", names_in_short(names)))
        for key, (doubt, names) in groups.items()
    ]


def _texts(lists: Sequence[tuple[str, ListReading]]) -> list[str]:
    """How lists were read; those that were read alike together."""
    groups: dict[str, list[str]] = {}
    for name, reading in lists:
        groups.setdefault(reading.understood.replace(name, "\0"), []).append(name)
    return [
        f"{names_in_short(names)}: {text.replace(chr(0), names[0])}"
        for text, names in groups.items()
    ]

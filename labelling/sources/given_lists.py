"""The lists of labels in a source: which there are, their content, and which were not
understood."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from labelling.sources.containers.containers import Content, FileContainer, Rejection
from labelling.sources.containers.litter import SIDECAR, image_of_sidecar
from labelling.sources.doubt import Doubt
from labelling.sources.file_kinds import file_kind
from labelling.sources.listing import Groups, Listing
from labelling.sources.lists import formats
from labelling.sources.lists.columns.other_columns import asked_as_answers
from labelling.sources.lists.files.alternative_splits import ALTERNATIVE
from labelling.sources.lists.files.index import (
    FileIndex,
    base_name,
    has_image_suffix,
    without_suffix,
)
from labelling.sources.lists.list_format import (
    ListFile,
    ListReading,
    ListRefusedError,
    NamesNoImageError,
    Surroundings,
    WrongColumnsError,
)
from labelling.sources.lists.not_lists import what_else
from labelling.sources.lists.pointers import is_pointer
from labelling.sources.names.columns import FILE_COLUMNS, LABEL_COLUMNS, plain
from labelling.sources.reading import ReadingOptions

MAX_LIST_BYTES = 1 << 28
SIDECARS_READ = 20
"""Files read of a folder with a text for each image; they show what the others are."""

_SIZE_OF_IMAGES = "max_file_mb"
"""The setting named in the rejection of a large file; it applies to images only."""

_TOKEN = re.compile(r"""[^\s,;|"'<>=(){}\[\]]+""")
_CALLED_LABELS = re.compile("label|annotation|ground.?truth|classes", re.IGNORECASE)
_LINES = 1000
_MOST = 0.5
"""The share of lines of a plain text that must name images; a README may name one, too."""

_NONE = "--labels-from none"
_PAGE = "a labelling configuration of Label Studio, which holds no labels"
_NO_LABELS = "texts that name no images of this source"
_BESIDE = (
    "texts beside an image of the same name, which are not read; if they hold its labels, write a "
    "CSV with the columns file,labels"
)
_ONLY_NAMES = (
    "texts that name images and hold no labels of them; if each is the list of a class, write a "
    "CSV with the columns file,labels"
)
_FIRST_OF_MANY = "texts beside images; the first of them name no labels"
_OF_TAKEOUT = re.compile(rb'"(photoTakenTime|photoLastModifiedTime|googlePhotosOrigin)"\s*:')
"""A field in Google Takeout's metadata of every photo."""

NAMELESS = "tables that name no images of this source"
_NUMBERS = "tables of numbers that name no images"
_NO_LINES = "tables without a line about an image"


@dataclass(slots=True)
class GivenLists:
    """The content of the files that may be lists.

    Attributes:
        understood: pairs of name in the source and reading.
        weak: lists in plain texts (``.txt``), over which folders take precedence.
        refused: reason by name, of lists without labels of images, or not understood. While there
            is one, nothing is labelled.
        unread: reason by name, of plain texts that name images and were not understood.
        asked: those of ``unread`` that an answer to their question would make understood.
        nameless: reason by name, of tables that name no image: refused, unless another list gives
            labels.
        passed: files that are not lists.
        of_programs: folders and suffixes (``_group``) of files that photo programs write beside
            images.
        wrong_columns: messages about lists without the columns that the user named.
    """

    understood: list[tuple[str, ListReading]] = field(default_factory=list)
    weak: list[tuple[str, ListReading]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    asked: dict[str, ListReading] = field(default_factory=dict)
    nameless: dict[str, str] = field(default_factory=dict)
    passed: Groups = field(default_factory=Groups)
    of_programs: set[tuple[str, str]] = field(default_factory=set)
    wrong_columns: list[str] = field(default_factory=list)


def read_lists(
    container: FileContainer,
    listing: Listing,
    files: Callable[[], FileIndex],
    options: ReadingOptions,
) -> GivenLists:
    """Read every file of a source that may be a list of labels.

    Args:
        container: the source.
        listing: its table of contents.
        files: gives the index of the source's names; called only if there is something to read.
        options: what the user decided.
    """
    given = GivenLists()
    entries, left_out = _to_read(listing)
    if not entries:
        return given
    around = Surroundings(files(), _reader(container, listing))
    _read(given, container, listing, entries, options, around)
    labelling = {_group(name) for name, _ in (*given.understood, *given.weak)}
    more = [entry for entry in left_out if _group(listing.name_of(entry)) in labelling]
    if more:
        _read(given, container, listing, more, options, around)
    for entry in left_out:
        group = _group(listing.name_of(entry))
        if group not in labelling:
            given.passed.add(SIDECAR if group in given.of_programs else _FIRST_OF_MANY, entry)
    return given


def _read(
    given: GivenLists,
    container: FileContainer,
    listing: Listing,
    entries: Sequence[str],
    options: ReadingOptions,
    around: Surroundings,
) -> None:
    for content in container.contents(entries, MAX_LIST_BYTES):
        name = listing.name_of(content.name)
        if isinstance(content, Rejection):
            given.refused[name] = _unread(name, content.reason)
        else:
            _take(given, ListFile(name, content.data), options, around)


def read_one_list(file: ListFile, options: ReadingOptions, around: Surroundings) -> ListReading:
    """Read a list that the user named.

    Args:
        file: the list: its name and its bytes.
        options: what the user decided.
        around: the files around the list.

    Raises:
        ListRefusedError: it is in no known format, or holds no labels of images.
    """
    reading = formats.read_list(file, options, around)
    if reading is None:
        raise ListRefusedError(f"{file.name}: {_unknown_form(file)}")
    return reading


def surroundings(container: FileContainer, listing: Listing, files: FileIndex) -> Surroundings:
    """What a format may know of the source around a list.

    Args:
        container: the source, from which other files are read.
        listing: its table of contents.
        files: the index of its file names.
    """
    return Surroundings(files, _reader(container, listing))


def _reader(container: FileContainer, listing: Listing) -> Callable[[str], bytes | None]:
    def read(name: str) -> bytes | None:
        for content in container.contents([listing.prefix + name], MAX_LIST_BYTES):
            return content.data if isinstance(content, Content) else None
        return None

    return read


def _to_read(listing: Listing) -> tuple[list[str], list[str]]:
    """The entries to read, and the entries left out of folders with a text for each image."""
    seen: dict[tuple[str, str], int] = {}
    entries: list[str] = []
    left_out: list[str] = []
    for entry in sorted(listing.lists):  # sorted: the order of the disk must not matter
        key = _group(entry)
        seen[key] = seen.get(key, 0) + 1
        is_sidecar = file_kind(entry) == "text" and seen[key] > SIDECARS_READ
        (left_out if is_sidecar else entries).append(entry)
    return entries, left_out


def _unread(name: str, reason: str) -> str:
    """Why a list was not read. Its size limit is fixed: no setting is named."""
    if _SIZE_OF_IMAGES in reason:
        return f"{name} is {reason.partition(' (')[0]}, the limit for a list; split it"
    return f"{name}: {reason}"


def _group(name: str) -> tuple[str, str]:
    """Folder and suffix of a file; files with a text for each image share both."""
    return name.rpartition("/")[0], name.rpartition(".")[2].casefold()


def _take(given: GivenLists, file: ListFile, options: ReadingOptions, around: Surroundings) -> None:
    kind = file_kind(file.name)
    if image_of_sidecar(base_name(file.name)) and _OF_TAKEOUT.search(file.data):
        given.passed.add(SIDECAR, file.name)
        given.of_programs.add(_group(file.name))
        return
    if file.data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<View"):
        given.passed.add(_PAGE, file.name)
        return
    if kind == "spreadsheet":
        given.refused[file.name] = f"{file.name}: {_unknown_form(file)}"
        return
    if kind in ("table", "text") and (what := what_else(_lines(file.data))):
        given.passed.add(what, file.name)
        return
    is_plain = _is_plain(file.name)
    try:
        reading = formats.read_list(file, options, around)
    except ListRefusedError as error:
        _take_refused(given, file, error, options, around)
        return
    if reading is not None:
        _take_reading(given, file, reading, options, around)
    elif (
        _share_naming_images(file, around.files) >= _MOST
        if is_plain
        else _may_be_a_list(file, around.files)
    ):
        unknown = given.unread if is_plain else given.refused
        unknown[file.name] = _why_not_understood(file, options, around)
    else:
        given.passed.add(_why_passed(file, around.files), file.name)


def _take_reading(
    given: GivenLists,
    file: ListFile,
    reading: ListReading,
    options: ReadingOptions,
    around: Surroundings,
) -> None:
    """Classify a file by its reading."""
    is_plain = _is_plain(file.name)
    if not (reading.statements or reading.rejections or reading.doubts):
        given.passed.add("; ".join(reading.warnings) or _NO_LINES, file.name)
        return
    if is_plain and reading.doubts and not options.name_list(file.name):
        # A text may be anything: its question is asked only if nothing else gives labels.
        if _share_naming_images(file, around.files) >= _MOST:
            given.asked[file.name] = replace(reading, doubts=[*map(_or_none, reading.doubts)])
            given.unread[file.name] = f"{file.name}: {_unknown_form(file)}"
        else:
            given.passed.add(_why_passed(file, around.files), file.name)
        return
    doubt = None if options.columns else asked_as_answers(file.name)
    if doubt and not reading.doubts:
        reading = ListReading(reading.understood, (), doubts=[doubt])
    if is_plain and not _says_something(reading):
        deals = ALTERNATIVE in reading.warnings
        given.passed.add(ALTERNATIVE if deals else _ONLY_NAMES, file.name)
        return
    (given.weak if is_plain else given.understood).append((file.name, reading))


def _or_none(doubt: Doubt) -> Doubt:
    """The question about a text, with "no labels" as a further answer."""
    if _NONE in dict(doubt.answers):
        return doubt
    return replace(
        doubt, answers=(*doubt.answers, (_NONE, "the images are ingested without labels"))
    )


def _take_refused(
    given: GivenLists,
    file: ListFile,
    error: ListRefusedError,
    options: ReadingOptions,
    around: Surroundings,
) -> None:
    """Classify a file that a format refused: it may be no list at all."""
    kind = file_kind(file.name)
    if isinstance(error, WrongColumnsError):
        given.wrong_columns.append(str(error))
    is_text = not (file.data.startswith(b"PAR1") or is_pointer(file.data))
    if kind == "table" and is_text and file.data and not _may_be_a_list(file, around.files):
        given.passed.add(_why_passed(file, around.files), file.name)
    elif isinstance(error, NamesNoImageError) and error.numbers:
        given.passed.add(_NUMBERS, file.name)
    elif (
        isinstance(error, NamesNoImageError) and not options.columns and not _has_image_names(file)
    ):
        given.nameless[file.name] = str(error)
    else:
        (given.unread if _is_plain(file.name) else given.refused)[file.name] = str(error)


def _is_plain(name: str) -> bool:
    """Whether a file is a plain text by its name; folders take precedence over it."""
    return file_kind(name) == "text" and not name.casefold().endswith((".json", ".xml", ".cls"))


def _says_something(reading: ListReading) -> bool:
    """Whether the reading has more than names of images, which a file may contain by chance."""
    has_labels = any(item.labels is not None or item.split for item in reading.statements)
    return has_labels or bool(reading.rejections or reading.doubts)


def _why_passed(file: ListFile, files: FileIndex) -> str:
    folder, slash, base = file.name.rpartition("/")
    images = (f"{folder}{slash}{image}" for image in image_of_sidecar(base))
    beside = [
        *files.by_path_without_suffix(without_suffix(file.name)),
        *filter(files.by_path, images),
    ]
    return _BESIDE if any(map(has_image_suffix, beside)) else _NO_LABELS


def _may_be_a_list(file: ListFile, files: FileIndex) -> bool:
    """Whether a file that no format understood may still be about the images."""
    if file_kind(file.name) == "table":
        if _CALLED_LABELS.search(base_name(file.name)):
            return True
        first = next(iter(_lines(file.data)), "")
        if {plain(token) for token in _TOKEN.findall(first)} & (FILE_COLUMNS | LABEL_COLUMNS):
            return True
        if _has_image_names(file):
            return True
    return _share_naming_images(file, files) > 0


def _has_image_names(file: ListFile) -> bool:
    return any(map(has_image_suffix, _TOKEN.findall("\n".join(_lines(file.data)))))


def _unknown_form(file: ListFile) -> str:
    if file_kind(file.name) == "spreadsheet":
        return "a spreadsheet, which is not read; save it as CSV beside the images"
    return (
        "about images, in an unknown format; write a CSV with the columns "
        "file,labels (see docs/data.md)"
    )


def _why_not_understood(file: ListFile, options: ReadingOptions, around: Surroundings) -> str:
    """Why a text that names images gives no labels, as if the user had named it."""
    if file_kind(file.name) == "text" and not options.columns:
        try:
            formats.read_list(file, replace(options, labels_from=file.name), around)
        except NamesNoImageError:
            pass
        except ListRefusedError as error:
            return str(error)
    return f"{file.name}: {_unknown_form(file)}"


def _share_naming_images(file: ListFile, files: FileIndex) -> float:
    """The share of a text's lines that name an image of the source; names without suffix count only
    in plain lines."""
    lines = [line for line in _lines(file.data) if line.strip()]
    with_suffix = file.name.casefold().endswith((".json", ".jsonl", ".xml"))
    found = sum(
        any(_names_an_image(token, files, with_suffix) for token in _TOKEN.findall(line))
        for line in lines
    )
    return found / max(1, len(lines))


def _lines(data: bytes) -> Sequence[str]:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    return data[: 1 << 20].decode(encoding, "replace").replace("\\", "/").splitlines()[:_LINES]


def _names_an_image(token: str, files: FileIndex, with_suffix: bool) -> bool:
    base = base_name(token)
    if has_image_suffix(base):
        return bool(files.by_base(base))
    return not with_suffix and any(map(has_image_suffix, files.by_base_without_suffix(base)))

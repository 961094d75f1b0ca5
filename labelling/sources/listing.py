"""The table of contents of a source by file names alone: images, lists, and others."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from labelling.sources.containers.containers import FileContainer, Passed, Rejection
from labelling.sources.containers.litter import SIDECAR
from labelling.sources.file_kinds import FileKind, file_kind
from labelling.sources.lists.files.index import has_image_suffix
from labelling.sources.reading import Ignored

NO_IMAGE = "not an image by its name"
EXAMPLES = 3

_REFUSED: dict[FileKind, str] = {
    "archive": "an archive within the source; unpack it there, or ingest it separately",
    "video": "a video; extract single frames and ingest those",
}


class Groups:
    """Files by reason: how many there are, and the first of them."""

    def __init__(self) -> None:
        self._groups: dict[str, tuple[int, list[str]]] = {}

    def add(self, reason: str, name: str) -> None:
        """Add a file with its reason."""
        count, examples = self._groups.get(reason, (0, []))
        if count < EXAMPLES:
            examples.append(name)
        self._groups[reason] = (count + 1, examples)

    def update(self, other: "Groups") -> None:
        """Add the groups of ``other``."""
        for reason, (count, examples) in other._groups.items():
            mine, shown = self._groups.get(reason, (0, []))
            self._groups[reason] = (mine + count, [*shown, *examples][:EXAMPLES])

    def ignored(self) -> tuple[Ignored, ...]:
        """All groups, in the order of their first file."""
        return tuple(
            Ignored(reason, count, tuple(examples))
            for reason, (count, examples) in self._groups.items()
        )


@dataclass(slots=True)
class Listing:
    """The entries of a container, by kind.

    Attributes:
        images: entries that may be images.
        lists: entries that may be lists of labels.
        rejections: entries that cannot be used.
        passed: entries that are skipped.
        prefix: the folders around everything, which do not belong to names in the source.
        refused: reason by name in the source, of files that lists may name and that are not used.
        passed_by: reason by name in the source, of skipped files and folders (``x/``).
        arrays: entries named like labels, in an unsupported format.
    """

    images: list[str] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    passed: Groups = field(default_factory=Groups)
    prefix: str = ""
    refused: dict[str, str] = field(default_factory=dict)
    passed_by: dict[str, str] = field(default_factory=dict)
    arrays: list[str] = field(default_factory=list)

    def name_of(self, entry: str) -> str:
        """The name of an entry in the source."""
        return unicodedata.normalize("NFC", entry[len(self.prefix) :])


def is_json_sidecar(entry: Passed) -> bool:
    """Whether a file is named like Google Takeout's metadata beside images; labelling tools use
    such names, too."""
    return entry.reason == SIDECAR and entry.name.casefold().endswith(".json")


def read_listing(container: FileContainer, archive_stem: str | None) -> Listing:
    """Read the table of contents.

    Args:
        container: the source.
        archive_stem: the name of the archive without its suffixes; ``None`` for a folder.

    Raises:
        SourceError: the container cannot be read.
    """
    listing = Listing()
    others = []
    for entry in container.listing():
        if isinstance(entry, Rejection):
            listing.rejections.append(entry)
            continue
        if isinstance(entry, Passed) and is_json_sidecar(entry):
            listing.lists.append(entry.name)  # its content decides
            continue
        if isinstance(entry, Passed):
            listing.passed.add(entry.reason, entry.name)
            listing.passed_by[entry.name] = entry.reason
            continue
        kind = file_kind(entry)
        if kind == "image":
            listing.images.append(entry)
        elif kind in ("table", "text", "spreadsheet"):
            listing.lists.append(entry)
        else:
            others.append(entry)
            if kind == "array":
                listing.arrays.append(entry)
            elif reason := _REFUSED.get(kind):
                listing.rejections.append(Rejection(entry, reason))
            else:
                listing.passed.add(NO_IMAGE, entry)
    listing.prefix = _around([*listing.images, *listing.lists, *others], archive_stem)
    listing.passed_by = {
        listing.name_of(name): reason
        for name, reason in listing.passed_by.items()
        if name.startswith(listing.prefix)
    }
    return listing


def _around(entries: Sequence[str], archive_stem: str | None) -> str:
    """The folders around everything, with a slash at the end.

    The innermost of them is included only if it contains a table, or folders and no images, or if
    it has the archive's name: a single folder with images may be a class.
    """
    folders = {entry.rpartition("/")[0] for entry in entries}
    if not folders or "" in folders:
        return ""
    # Do not change the result: the keys of stored images depend on it.
    # With a slash: "a/b-x" sorts between "a/b" and "a/b/c".
    first, last = (pick(f"{folder}/" for folder in folders).split("/") for pick in (min, max))
    common = 0
    while common < min(len(first), len(last)) - 1 and first[common] == last[common]:
        common += 1
    if not common:
        return ""
    inner = "/".join(first[:common])
    right_in_it = [entry for entry in entries if entry.rpartition("/")[0] == inner]
    nested = any(folder != inner for folder in folders)
    flat = any(map(has_image_suffix, right_in_it))
    has_csv = any(entry.lower().endswith(".csv") for entry in right_in_it)
    if has_csv or (nested and not flat) or first[common - 1] == archive_stem:
        return f"{inner}/"
    outer = "/".join(first[: common - 1])
    return f"{outer}/" if outer else ""

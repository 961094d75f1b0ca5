"""Read a source for an ingest: its names and labels, before any image is read.

Supported: folders (``layouts``), lists of labels (``lists``), a zip or tar of these, a single
image.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from labelling.labels.known_classes import KnownClasses
from labelling.sources.containers.archives import open_container
from labelling.sources.containers.containers import FileContainer, Rejection
from labelling.sources.containers.folders import Folder
from labelling.sources.doubt import Doubt
from labelling.sources.file_kinds import file_kind
from labelling.sources.findings.class_doubts import (
    look_alike_classes,
    odd_classes,
    rare_spellings,
    singular_and_plural,
    words_for_no_label,
)
from labelling.sources.findings.name_hints import classes_in_names
from labelling.sources.findings.option_use import (
    encoding_not_needed,
    options_without_effect,
    refuse_beside_list,
    refuse_together,
)
from labelling.sources.findings.unread_formats import set_aside
from labelling.sources.folders.augmented import changed_copies
from labelling.sources.folders.layouts import FOLDER_MODES, Layout, read_layout
from labelling.sources.folders.names import masked_stem
from labelling.sources.listing import Groups, Listing, read_listing
from labelling.sources.lists.match import Matching
from labelling.sources.lists_and_folders import offer_beside
from labelling.sources.reading import Ignored, Reading, ReadingOptions, Split
from labelling.sources.source_lists import ListResult, SourceLists
from labelling.sources.source_names import ByFolder, SourceNames


def read_source(
    path: Path, options: ReadingOptions | None = None, *, known: KnownClasses | None = None
) -> Reading:
    """Read the names and lists of the source at ``path``, without its images.

    Args:
        path: a folder, an archive, a list of labels beside its images, or one image.
        options: what the user decided; without options, doubtful cases stay doubts.
        known: the existing classes, and the class that each label counts as.

    Returns:
        The reading. Questions to be answered before it is used are in ``doubts``.

    Raises:
        OptionError: an option is wrong, or has no effect because of another one.
        SourceError: there is nothing at ``path``, it cannot be read, or a named list is not a list.
    """
    options, known = options or ReadingOptions(), known or KnownClasses()
    refuse_together(options)
    path = path.expanduser().resolve()
    if path.is_file() and file_kind(path.name) in ("table", "text", "spreadsheet"):
        refuse_beside_list(path, options)
        named = replace(options, labels_from=str(path))
        reading = _Source(path.parent, named, known).read(only_listed=True)
        return _without_labels(reading) if options.labels_from == "none" else reading
    return _Source(path, options, known).read()


def _without_labels(reading: Reading) -> Reading:
    """The images that a list names, without its labels."""
    if not reading.names:
        return reading
    text = "the images of the list without labels, as --labels-from none says"
    return replace(reading, labels={}, layout=text, doubts=())


def source_stem(path: Path) -> str:
    """The name of a source, under which its images are stored: without archive suffixes; for a
    list, the name of its folder, which its files are relative to."""
    path = path.resolve()
    if file_kind(path.name) in ("table", "text", "spreadsheet") and not path.is_dir():
        path = path.parent
    stem = path.name
    for suffix in (".gz", ".bz2", ".xz", ".tar", ".zip", ".tgz", ".tbz2", ".tbz", ".txz"):
        if not path.is_dir() and stem.lower().endswith(suffix):
            stem = stem[: -len(suffix)]
    return stem or "source"


class _Source:
    """One reading of one source."""

    def __init__(self, path: Path, options: ReadingOptions, known: KnownClasses) -> None:
        self._path = path
        self._options = options
        self._known = known
        self._stem = source_stem(path)
        self._container: FileContainer = open_container(path, encoding=options.encoding)
        is_archive = not isinstance(self._container, Folder)
        self._around = self._stem if is_archive else None
        self._listing: Listing = read_listing(self._container, self._around)
        set_aside(self._container, self._listing)
        self._passed: Groups = self._listing.passed
        self._lists = SourceLists(path, options, self._container, self._listing)

    def read(self, *, only_listed: bool = False) -> Reading:
        names = SourceNames(self._listing.images, self._listing.prefix)
        layout = self._layout(names)
        given = self._lists.read(names, layout)
        reading = self._with_lists(names, layout, given, only_listed=only_listed)
        unused = options_without_effect(self._options, given, layout, self._container)
        note = encoding_not_needed(self._options, given, self._container)
        return replace(
            reading, unused=unused, warnings=(*reading.warnings, *([note] if note else []))
        )

    def _with_lists(
        self, names: SourceNames, layout: Layout, given: ListResult, *, only_listed: bool
    ) -> Reading:
        matching = given.matching
        if matching is None:
            names = self._without(names, layout.masks, ())
            return self._by_folders(names, layout, given)
        if only_listed:
            places = matching.places
            names = SourceNames((e for e in names if names.name_of(e) in places), names.prefix)
        else:
            names = self._without(names, layout.masks, matching.places)
        splits: Mapping[str, Split] = matching.splits or ByFolder(names, layout.splits)
        return self._reading(
            names,
            given.text,
            matching.labels,
            splits,
            rejections=[*matching.rejections] if only_listed else self._rejections(matching),
            warnings=given.warnings,
            doubts=given.doubts
            or [
                *words_for_no_label(given.unsure, self._known),
                *odd_classes(given.odd, self._known),
            ],
            ignored=() if only_listed else self._passed.ignored(),
        )

    # --- folders ---

    def _layout(self, names: SourceNames) -> Layout:
        """The layout of the folders, by folder name in the source."""
        options = self._options
        if options.labels_from not in (None, *FOLDER_MODES, "none"):
            options = ReadingOptions(None, task=options.task)
        whole = SourceNames(self._listing.images)  # also the folders around everything tell
        layout = read_layout(
            whole.in_source(),
            options,
            known=self._known.labels,
            around=self._around,
            source=self._stem,
        )
        return layout.below(self._listing.prefix)

    def _without(
        self, names: SourceNames, masks: frozenset[str], named: Collection[str]
    ) -> SourceNames:
        """The names of images, without those of masks."""
        dropped = set()
        for entry, name in names.items():
            is_mask = name.rpartition("/")[0] in masks or _is_beside_its_image(entry, names)
            if is_mask and name not in named:
                self._passed.add("masks or annotations of other images, not pictures", name)
                dropped.add(entry)
        if not dropped:
            return names
        return SourceNames((entry for entry in names if entry not in dropped), names.prefix)

    def _by_folders(self, names: SourceNames, layout: Layout, given: ListResult) -> Reading:
        text, labels = layout.text, {folder: (given,) for folder, given in layout.labels.items()}
        if self._options.as_class is not None:
            folders = {name.rpartition("/")[0] for name in names.in_source()}
            labels = dict.fromkeys(folders, (self._options.as_class,))
            text = "every image is of one class, as --as-class says"
        undecided = bool(given.doubts)
        is_bare = not labels and self._options == ReadingOptions(task=self._options.task)
        hints = classes_in_names(names) if is_bare else ()
        copies = () if undecided else changed_copies(layout, self._path)
        return self._reading(
            names,
            given.text if undecided else text,
            ByFolder(names, {} if undecided else labels),
            given.splits or ByFolder(names, layout.splits),
            rejections=[*self._rejections(None), *given.rejections],
            warnings=[*given.warnings, *(() if undecided else layout.warnings), *hints, *copies],
            doubts=given.doubts or offer_beside(layout.doubts, given.offered),
            ignored=self._passed.ignored(),
        )

    # --- together ---

    def _rejections(self, matching: Matching | None) -> list[Rejection]:
        return [*self._listing.rejections, *(matching.rejections if matching else ())]

    def _reading(
        self,
        names: SourceNames,
        layout: str,
        labels: Mapping[str, tuple[str, ...]],
        splits: Mapping[str, Split],
        *,
        rejections: Sequence[Rejection],
        warnings: Iterable[str],
        doubts: Iterable[Doubt],
        ignored: Sequence[Ignored],
    ) -> Reading:
        container = self._container
        open_doubts = (*container.doubts, *doubts)
        if not open_doubts:
            words = _words(labels)
            open_doubts = look_alike_classes(words, self._known)
            notes = singular_and_plural(words, self._known)
            notes += rare_spellings(labels, self._known)
            warnings = [*warnings, *self._known.notes(words), *notes]
        return Reading(
            stem=self._stem,
            container=container,
            layout=layout if names else "no image that can be read",
            names=names,
            labels=labels,
            splits=splits,
            rejections=rejections,
            ignored=ignored,
            warnings=(*container.warnings, *warnings),
            doubts=(*container.damage, *open_doubts),
        )


def _is_beside_its_image(entry: str, names: SourceNames) -> bool:
    """Whether a file is named like the mask of an image beside it."""
    stem = masked_stem(entry)
    if stem is None:
        return False
    suffix = entry.rpartition(".")[2]
    return any(f"{stem}.{one}" in names for one in (suffix, "jpg", "jpeg", "png", "JPG", "bmp"))


def _words(labels: Mapping[str, tuple[str, ...]]) -> set[str]:
    sets = labels.value_set() if isinstance(labels, ByFolder) else {*labels.values()}
    return {label for labels in sets for label in labels}

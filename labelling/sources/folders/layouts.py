"""Read labels and splits from the folders of a source."""

import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from labelling.labels.form import normal_label
from labelling.sources.doubt import Doubt
from labelling.sources.folders.names import is_to_label
from labelling.sources.folders.roles import OF_SERIES, Roles, assign_roles
from labelling.sources.folders.tree import FolderNode, folder_tree
from labelling.sources.names.words import words
from labelling.sources.reading import ReadingOptions, Split

SHOWN_CLASSES = 5
_SHOWN_QUESTIONS = 2
"""The most questions about series of folders: each of a hundred classes may contain the same
one."""

FOLDER_MODES = ("parent", "top", "path")
"""Which of the folders around an image give its class: the innermost, the outermost, or all."""

_JOINT = "_"
"""Joins folders that form one class; a slash would be read as a hierarchy."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Labels and splits of a source by folder: all images of a folder share them.

    Attributes:
        text: a description (``a folder for each class, below train and test``).
        labels: the class by folder; images in other folders have no label.
        splits: the given split by folder.
        masks: folders whose images are masks of others.
        counts: number of images by folder.
        warnings: what was decided without asking.
        doubts: what has to be decided first.
    """

    text: str
    labels: Mapping[str, str]
    splits: Mapping[str, Split]
    masks: frozenset[str]
    counts: Mapping[str, int]
    warnings: Sequence[str] = ()
    doubts: Sequence[Doubt] = ()

    def below(self, prefix: str) -> "Layout":
        """The same layout, with all folders moved below ``prefix``."""
        cut = len(prefix)
        return replace(
            self,
            labels={path[cut:]: label for path, label in self.labels.items()},
            splits={path[cut:]: split for path, split in self.splits.items()},
            masks=frozenset(path[cut:] for path in self.masks),
            counts={path[cut:]: count for path, count in self.counts.items()},
        )

    def counted(self) -> str:
        """The classes with their numbers of images, as text."""
        pictures = {path: n for path, n in self.counts.items() if path not in self.masks}
        return _counted((self.labels.get(path), count) for path, count in pictures.items())


@dataclass(slots=True)
class _Place:
    """A folder with images: the classes around it, from outside in, and its split."""

    node: FolderNode
    chain: tuple[str, ...]
    whole: tuple[str, ...]
    split: Split | None


@dataclass(slots=True)
class _Found:
    places: list[_Place] = field(default_factory=list)
    unlabelled: list[_Place] = field(default_factory=list)
    masks: list[FolderNode] = field(default_factory=list)
    folds: bool = False


def read_layout(
    names: Iterable[str],
    options: ReadingOptions,
    *,
    known: frozenset[str] = frozenset(),
    around: str | None = None,
    source: str = "",
) -> Layout:
    """Read labels and splits from the folders of a source.

    Args:
        names: of the images, relative to the source.
        options: what the user decided.
        known: existing classes; a single folder with such a name is a class.
        around: the name of the archive; a folder of the same name around everything is not a class.
        source: the name of the source, which may describe its folders (``Plate_0042``).

    Returns:
        The layout; open questions are in ``doubts``.
    """
    root = folder_tree(names)
    roles = assign_roles(root, known=known, source=source)
    found = _collect(root)
    _strip_wrappers(found, roles.warnings, around)
    doubts: tuple[Doubt, ...] = ()
    label = _reader(options.labels_from, found)
    if options.labels_from is None and options.as_class is None:
        label = _joined(label, roles.in_parts)
        doubts = tuple(_doubts(found, roles, known))
    labels = {place.node.path: text for place in found.places if (text := label(place))}
    places = [*found.places, *found.unlabelled]
    return Layout(
        text=_described(root, found, labels, options.labels_from),
        labels=labels,
        splits={p.node.path: p.split for p in places if p.split and not found.folds},
        masks=frozenset(node.path for node in found.masks),
        counts={node.path: node.images for node in root.walk() if node.images},
        warnings=tuple(roles.warnings) if options.labels_from is None else (),
        doubts=doubts,
    )


def _collect(root: FolderNode) -> _Found:
    found = _Found()
    pending: list[tuple[FolderNode, tuple[str, ...], Split | None, str]] = [(root, (), None, "")]
    folds = set()
    while pending:
        node, chain, split, role = pending.pop()
        if node.images and role == "masks":
            found.masks.append(node)
        elif node.images:
            place = _Place(node, chain, tuple(node.path.split("/")) if node.path else (), split)
            (found.unlabelled if role == "unlabelled" else found.places).append(place)
        for child in node.children.values():
            # cats/cats: a folder too many, such as after unpacking.
            again = bool(chain) and chain[-1].casefold() == child.label.casefold()
            is_class = child.role == "class" and not again
            below = (*chain, child.label) if is_class else chain
            inherited = role or (child.role if child.role in ("masks", "unlabelled") else "")
            if child.kind == "part" and {"fold", "folds", "kfold", "cv"} & {*words(child.name)}:
                folds.add(child.path)
            pending.append((child, below, child.split or split, inherited))
    # Each fold has another test set: together they give no split.
    found.folds = len(folds) > 1
    return found


def _strip_wrappers(found: _Found, warnings: list[str], around: str | None) -> None:
    """Remove the folders around everything from the chains, because they distinguish nothing."""
    chains = [place.chain for place in found.places if place.chain]
    if not chains:
        return
    prefix = chains[0]
    for chain in chains:
        while chain[: len(prefix)] != prefix:
            prefix = prefix[:-1]
    nexts = {chain[len(prefix)] for chain in chains if len(chain) > len(prefix)}
    depth = len(prefix)
    if len(nexts) < 2 and prefix != ((normal_label(around),) if around else None):
        depth = max(0, depth - 1) if len(nexts) == 1 else 0
    if around and not nexts and prefix == (normal_label(around),):
        warnings.append(
            f"{around}/ has the name of the archive, and so is not read as a class. If it is one: "
            f"--as-class {shlex.quote(prefix[0])}"
        )
    for place in found.places:
        if place.chain and len(place.chain) <= depth and nexts:
            warnings.append(
                f"the images right in {place.node.path}/ are ingested without labels: its folders "
                "are the classes"
            )
        place.chain = place.chain[depth:]


def _reader(mode: str | None, found: _Found) -> Callable[[_Place], str | None]:
    """A function that gives the label of a place."""
    last = mode != "top"
    if mode == "none":
        return lambda place: None
    if mode in FOLDER_MODES and not any(place.chain for place in found.places):
        # All are splits or containers, but the user says that they are classes.
        return lambda place: normal_label(place.whole[-1 if last else 0]) if place.whole else None
    if mode in FOLDER_MODES:
        # The option overrides the rules by which folders count as unlabelled.
        passed = [p for p in found.unlabelled if not any(map(is_to_label, p.whole))]
        for place in passed:
            place.chain = place.chain or (normal_label(place.whole[-1]),)
        found.places += passed
        found.unlabelled = [p for p in found.unlabelled if p not in passed]
    if mode == "path":
        return lambda place: normal_label(_JOINT.join(place.chain)) if place.chain else None
    return lambda place: place.chain[-1 if last else 0] if place.chain else None


# --- what is doubtful -----------------------------------------------------------------------


def _joined(
    label: Callable[[_Place], str | None], classes: Mapping[str, str]
) -> Callable[[_Place], str | None]:
    """Like ``label``, with the folders of one class united."""

    def read(place: _Place) -> str | None:
        name = label(place)
        return name if name is None else classes.get(name, name)

    return read


def _doubts(found: _Found, roles: Roles, known: frozenset[str]) -> Iterator[Doubt]:
    chains = {place.chain for place in found.places if place.chain}
    deepest = max(map(len, chains), default=0)
    if roles.questions:
        series = [asked for asked in roles.questions if asked.endswith(OF_SERIES)]
        left = series[_SHOWN_QUESTIONS:]
        asked = "; ".join(one for one in roles.questions if one not in left)
        asked += f"; {len(left):,} more folders hold such" if left else ""
        yield Doubt(f"{asked}. Which folders are the classes?", _answers(found))
    elif deepest > 1:
        example = next(place for place in found.places if len(place.chain) > 1)
        yield Doubt(
            f"Folders with names are nested ({example.node.path}/): which are the classes?",
            _answers(found),
        )
    elif roles.in_parts:
        yield _in_parts(found, roles.in_parts)
    elif len(chains) == 1 and not {*chains.copy().pop()} & known:
        (name,) = next(iter(chains))
        yield Doubt(
            f"All images with a label lie in one folder, {name!r}: is it a class, or only a "
            "folder?",
            (*_answers(found), ("--as-class NAME", "every image gets this label")),
        )


def _in_parts(found: _Found, classes: Mapping[str, str]) -> Doubt:
    """The question whether several folders belong to one class."""
    label = _joined(_reader(None, found), classes)
    together = _counted((label(place), place.node.images) for place in found.places)
    question = (
        f"{_few([f'{name}/' for name in sorted(classes)])} seem to be named after a class and a "
        "part of its images, so that several have one class: do they?"
    )
    return Doubt(question, (("--yes", together), *_answers(found)))


def _answers(found: _Found) -> tuple[tuple[str, str], ...]:
    answers: list[tuple[str, str]] = []
    innermost = 0
    for mode in FOLDER_MODES:
        copy = _Found([*found.places], [*found.unlabelled])
        label = _reader(mode, copy)
        classes = {place.chain: label(place) for place in copy.places}
        then = _counted((label(p), p.node.images) for p in copy.places)
        # All folders joined are offered only if the innermost ones alone would merge classes.
        apart = len({*classes.values()}) == len(classes) > innermost
        merged = mode == "path" and apart and not _is_grid(classes)
        innermost = len({*classes.values()}) if mode == "parent" else innermost
        if merged or (mode != "path" and then not in dict(answers).values()):
            answers.append((f"--labels-from {mode}", then))
    images = sum(place.node.images for place in (*found.places, *found.unlabelled))
    return (*answers, ("--labels-from none", f"no labels: {_number(images)} without"))


def _is_grid(chains: Collection[tuple[str, ...]]) -> bool:
    """Whether all folders contain the same subfolders (``session_1/`` in each class), so that no
    class needs both names."""
    inner: dict[tuple[str, ...], set[str]] = {}
    for chain in filter(None, chains):
        inner.setdefault(chain[:-1], set()).add(chain[-1])
    return len(inner) > 1 and len(set(map(frozenset, inner.values()))) == 1


def _counted(placed: Iterable[tuple[str | None, int]]) -> str:
    counts: Counter[str] = Counter()
    without = 0
    for label, images in placed:
        if label is None:
            without += images
        else:
            counts[label] += images
    shown = [f"{name} ({count:,})" for name, count in sorted(counts.items())[:SHOWN_CLASSES]]
    more = len(counts) - len(shown)
    text = f"classes: {', '.join(shown)}" + (f" and {more:,} more" if more > 0 else "")
    return text + (f"; {_number(without)} without a label" if without else "")


def _number(images: int) -> str:
    return f"{images:,} image{'' if images == 1 else 's'}"


# --- in words -------------------------------------------------------------------------------


def _described(root: FolderNode, found: _Found, labels: Mapping[str, str], mode: str | None) -> str:
    if mode == "none":
        return "images without labels, as --labels-from none says"
    if not labels:
        folders = [c.name for c in root.children.values() if c.role != "masks"]
        hold = "hold" if len(folders) > 1 else "holds"
        return f"no classes: {_few(folders)} {hold} only images" if folders else "a flat folder"
    by = {
        "parent": " (the innermost)",
        "top": " (the outermost)",
        "path": " (all folders around its images together)",
    }.get(mode or "", "")
    above: set[str] = set()
    below: set[str] = set()
    for place in found.places:
        if label := labels.get(place.node.path):
            _seen_through(root, place.node.path, label, above, below)
    text = f"a folder for each class{by}"
    if above:
        text += f", below {_few(sorted(above))}"
    return text + (f", with the images in {_few(sorted(below))}" if below else "")


def _seen_through(
    root: FolderNode, path: str, label: str, above: set[str], below: set[str]
) -> None:
    node, in_class = root, False
    for part in path.split("/"):
        node = node.children[part]
        in_class = in_class or (node.role == "class" and node.label == label)
        if node.role == "seen through":
            (below if in_class else above).add(node.name)


def _few(names: Sequence[str]) -> str:
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)

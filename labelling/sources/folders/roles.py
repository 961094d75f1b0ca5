"""Decide the role of each folder of a source by its name, its neighbours and its subfolders.

The rules, as in docs/data.md:

- A folder is seen through if its name says nothing about its images: a split (``seg_train``), a
  part (``fold_0``, a date), a container (``images``).
- Such a folder beside folders with names is doubtful (the class ``test`` beside ``control``): the
  user is asked, unless two splits share classes. Then a neighbour that contains the same classes is
  one more part, and one that contains only images has no labels.
- Masks are named so and are beside splits or containers, or their files are named so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from labelling.labels.form import normal_label
from labelling.sources.folders.doubts import NamesInDoubt, has_opposite, listed, look
from labelling.sources.folders.names import (
    Kind,
    holds_albums,
    is_numbered_part,
    is_to_label,
    kind_of,
    may_be_either,
    names_a_mask,
    original_of,
    split_and_rest,
    split_of,
    split_words,
)
from labelling.sources.folders.tree import FolderNode
from labelling.sources.names.class_parts import classes_in_parts
from labelling.sources.names.dates import begins_with_date, has_year
from labelling.sources.names.microscope import are_of_one_series
from labelling.sources.names.partitions import class_in, is_of_classes, is_of_splits, key_and_value
from labelling.sources.names.series import are_hash_prefixes, is_identifier
from labelling.sources.names.splits import sounds_like_split
from labelling.sources.names.words import words

OF_SERIES = "classes, or splits, dates, places, series and copies that do not describe the images"
_WORD = 3
"""The least letters of a word."""


@dataclass(slots=True)
class Roles:
    """Findings beside the roles of the folders: questions and notes, in words.

    Attributes:
        known: the existing classes; their names are not asked about again.
        source: the name of the source.
        questions: open questions.
        warnings: what was decided without asking.
        by_name: folders that are asked about because of their names alone.
        by_class: whether folders are partitions by a column of classes (``label=cat``).
        partitions: partitions by other columns, which are seen through; the first of each.
        in_parts: class by folder name, where several folders seem to be parts of one class
            (``ok_batch1``, ``ok_batch2``).
    """

    known: frozenset[str] = frozenset()
    source: str = ""
    questions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    by_name: NamesInDoubt = field(default_factory=NamesInDoubt)
    by_class: bool = False
    partitions: dict[str, FolderNode] = field(default_factory=dict)
    in_parts: dict[str, str] = field(default_factory=dict)


def assign_roles(
    root: FolderNode, *, known: frozenset[str] = frozenset(), source: str = ""
) -> Roles:
    """Decide the role of every folder below ``root``, and set it in the tree.

    Args:
        root: the tree of folders.
        known: the existing classes.
        source: the name of the source.
    """
    found = Roles(known, source)
    named = filter(None, (key_and_value(node.name) for node in root.walk()))
    found.by_class = any(is_of_classes(key) for key, _ in named)
    _settle(root, found, date_above=False)
    found.questions += found.by_name.questions()
    if found.partitions:
        found.warnings.append(
            f"{listed([*found.partitions.values()])} and the like are partitions by another column "
            "than that of the classes, and are ignored"
        )
    return found


def _settle(node: FolderNode, found: Roles, *, date_above: bool) -> None:
    children = list(node.children.values())
    combined = _splits_with_classes(children)
    common = [*_common_words(children), *words(node.name)]
    are_parts = _are_numbered_parts(children) or _are_initials(children)
    for child in children:
        child.label = normal_label(child.name)
        child.kind = "part" if are_parts else kind_of(child.name, common=common)
        if combined and (both := split_and_rest(child.name)):
            child.kind, child.split, child.label = "name", both[0], normal_label(both[1])
        elif child.kind == "split":
            child.split = split_of(child.name, common)
        _settle_partition(child, found)
        # 2024/05/17: below a year, a number is a month or a day.
        is_part_of_date = date_above and child.name.isdigit() and len(child.name) <= 2
        if is_part_of_date:
            child.kind = "part"
        _settle(child, found, date_above=is_part_of_date or child.kind == "year")
    _settle_series(children)
    _settle_splits(children, common, found)
    _decide(node, children, found)
    node.classes = frozenset(below.label for below in node.top_classes())


def _settle_series(children: Sequence[FolderNode]) -> None:
    """Recognise, from all names together, a series, or classes in several parts each."""
    named = [child for child in children if child.kind in ("name", "numbered", "perhaps container")]
    names = [child.name for child in named]
    kind: Kind | None = "numbered" if are_of_one_series(names) else None
    kind = "name" if classes_in_parts(names) else kind
    for child in named:
        child.kind = kind or child.kind


def _settle_partition(child: FolderNode, found: Roles) -> None:
    """Classify a folder that names its column (``label=cat``, ``split=train``, ``year=2024``)."""
    named = key_and_value(child.name)
    if named is None:
        return
    key, value = named
    kind = kind_of(value) if value else "unlabelled"
    if is_of_classes(key):
        child.label = normal_label(value or child.name)
        child.kind = kind if kind in ("unlabelled", "perhaps unlabelled") else "name"
        child.split = None
    elif is_of_splits(key):
        child.split = split_of(value)
        child.kind = "split" if child.split else "part"
    elif found.by_class:
        child.kind, child.split = "part", None
        found.partitions.setdefault(key, child)
    else:
        child.label = normal_label(class_in(child.name))
        child.kind, child.split = "numbered", None


def _settle_splits(children: Sequence[FolderNode], common: Sequence[str], found: Roles) -> None:
    """Classify names that are a split only beside another split, or may be one of two splits."""
    if any(child.kind == "split" for child in children):
        like_splits = ("split", "perhaps split", "perhaps container", "container", "part", "masks")
        all_alike = all(child.kind in like_splits for child in children)
        for child in children:
            if child.kind == "perhaps split" and all_alike:
                child.kind, child.split = "split", split_of(child.name, common)
    either = [c for c in children if c.split and c.kind == "split" and may_be_either(c.name)]
    firm = {c.split: c for c in children if c.split and c not in either}
    if "val" not in firm:
        return
    for child in either:
        if "test" in firm:
            child.split = None
            continue
        child.split = "test"
        found.warnings.append(
            f"{child.path}/ is read as the test set: {firm['val'].path}/ beside it is the "
            "validation set"
        )


def _common_words(children: Sequence[FolderNode]) -> list[str]:
    """The words that all folders named after a split share (``xray_train``, ``xray_test``)."""
    split_like = [
        words(c.name)
        for c in children
        if any(map(split_words, words(c.name))) and kind_of(c.name) != "perhaps split"
    ]
    splits = {word for found in split_like for word in found if split_words(word)}
    if len(split_like) < 2 or len(splits) < 2:
        return []
    common = set(split_like[0]).intersection(*split_like)
    return [word for word in common if not split_words(word)]


def _are_numbered_parts(children: Sequence[FolderNode]) -> bool:
    """Whether all folder names differ only in a number (``HAM_images_part_1``, ``…_2``)."""
    alike = {tuple(words(child.name)) for child in children}
    if len(children) < 2 or len(alike) > 1 or kind_of(children[0].name) == "album":
        return False
    return is_numbered_part(children[0].name)


def _are_initials(children: Sequence[FolderNode]) -> bool:
    """Whether folders group their subfolders by the first letter (``a/abbey``, ``b/bar``)."""
    return len(children) > 1 and all(
        len(child.name) == 1
        and child.name.isalpha()
        and not child.images
        and all(_begins(below, child.name) for below in child.children)
        for child in children
    )


def _begins(name: str, letter: str) -> bool:
    """Whether a name is a word that begins with a letter; ``a1`` is not a word."""
    first = next(iter(words(name)), "")
    return len(first) >= _WORD and name.casefold().startswith(letter.casefold())


def _splits_with_classes(children: Sequence[FolderNode]) -> bool:
    """Whether all folder names consist of a split and a class (``train_cats``, ``test_dogs``)."""
    both = [split_and_rest(child.name) for child in children]
    found = {pair for pair in both if pair is not None}
    rests = {rest for _, rest in found}
    return None not in both and len({s for s, _ in found}) > 1 and 1 < len(rests) < len(found)


def _decide(node: FolderNode, children: Sequence[FolderNode], found: Roles) -> None:
    asked = len(found.questions)
    through = [c for c in children if c.kind in ("split", "part", "container")]
    _decide_masks(node, children, through)
    _decide_dates_and_numbers(children, through, found)
    samples = [c for c in children if c.kind == "unlabelled" and c.role != "masks"]
    named = [c for c in children if c not in through and c not in samples and c.role != "masks"]
    for child in through:
        child.role = "seen through"
    if named and through:
        _decide_neighbours(through, named, found)
    _decide_samples(samples, named if not through else (), found)
    _decide_images_in_one_folder(through, found)
    _ask_about_strange_splits(children, found)
    _ask_about_photo_service(node, children, found)
    _ask_about_copies([c for c in children if c.role == "class"], found)
    if len(found.questions) == asked:
        found.by_name.look_at(node, found.known, found.source)
        _find_classes_in_parts([c for c in children if c.role == "class"], found)


def _find_classes_in_parts(classes: Sequence[FolderNode], found: Roles) -> None:
    new = [child for child in classes if child.label not in found.known]
    for name, label in classes_in_parts([child.label for child in new]).items():
        found.in_parts[name] = normal_label(label)


def _ask_about_copies(classes: Sequence[FolderNode], found: Roles) -> None:
    known = {child.name: child for child in classes}
    copies = [c for c in classes if original_of(c.name) != c.name and original_of(c.name) in known]
    if copies:
        originals = list({original_of(c.name): known[original_of(c.name)] for c in copies}.values())
        like = "looks like a copy" if len(copies) == 1 else "look like copies"
        found.questions.append(
            f"{listed(copies)} {like} of {listed(originals)} (if so, put the images of each class "
            "into one folder, or merge the classes later: imgclf labels merge)"
        )


def _decide_samples(
    samples: Sequence[FolderNode], classes: Sequence[FolderNode], found: Roles
) -> None:
    """Decide about folders of samples and of unlabelled images; ``classes`` are beside them."""
    unsure = [c for c in samples if not is_to_label(c.name) or has_opposite(c, classes)]
    doubtful = unsure if classes else []
    for child in samples:
        if child in doubtful:
            child.role = "class"
        elif child.classes:
            child.role = "seen through"
        else:
            child.role = "unlabelled"
            if classes:
                found.warnings.append(f"the images of {child.path}/ are ingested without labels")
    if doubtful:
        found.questions.append(
            f"{listed(doubtful)} may hold samples of the classes beside, or images that are not "
            "labelled yet, or be a class"
        )


def _decide_masks(
    node: FolderNode, children: Sequence[FolderNode], through: Sequence[FolderNode]
) -> None:
    for child in children:
        if child.kind != "masks":
            continue
        files = [name for below in child.walk() for name in below.examples]
        named_so = all(map(names_a_mask, files))
        beside = [c for c in children if c is not child]
        among = bool(beside) and all(
            c in through or c.kind in ("masks", "unlabelled") for c in beside
        )
        below_images = not beside and node.images > 0 and words(child.name) != ["mask"]
        if named_so or below_images or (among and through):
            child.role = "masks"


def _decide_dates_and_numbers(
    children: Sequence[FolderNode], through: list[FolderNode], found: Roles
) -> None:
    """Years and numbered folders are parts if they contain the same classes; else the user is
    asked."""
    perhaps = [c for c in children if c.kind in ("year", "numbered")]
    doubtful = []
    for child in perhaps:
        others = [c for c in (*perhaps, *through) if c is not child]
        shares = any(child.classes & c.classes for c in others)
        only_parts = bool(child.children) and not child.images and not child.classes
        if shares or (child.kind == "year" and (child.classes or only_parts)):
            through.append(child)
        elif not child.classes:
            doubtful.append(child)
    vague = ("perhaps container", "perhaps split", "album", "leftover")
    doubtful += [c for c in children if c.kind in vague and c.role != "masks" and not c.classes]
    pictures = [c for c in children if c.role != "masks"]
    if len(children) > 1 and (len(doubtful) == len(pictures) or _are_dated(children, through)):
        found.questions.append(f"{listed(doubtful or children)} may be {OF_SERIES}")
    elif not through and len(children) > 1:
        _ask_about_albums(children, found)
        _ask_about_identifiers(children, found)


def _are_dated(children: Sequence[FolderNode], through: Sequence[FolderNode]) -> bool:
    """Whether all folder names are a few words and a year, or half of them begin with a date, as
    albums do."""
    if through or any(child.classes for child in children):
        return False
    dated = sum(begins_with_date(child.name) for child in children)
    most_begin_so = dated > 1 and 2 * dated >= len(children)
    return most_begin_so or all(has_year(child.name) for child in children)


def _ask_about_albums(children: Sequence[FolderNode], found: Roles) -> None:
    """Ask about folders named as by photo services and backups, beside others that may be
    classes."""
    albums = [
        child
        for child in children
        if not child.classes
        if child.kind == "album" or (child.kind == "year" and words(child.name))
    ]
    if albums:
        found.questions.append(
            f"{listed(albums)} {look(albums, 'an album, an export or a backup')}, which does not "
            "describe the images, and the folders beside may be albums, too"
        )


def _ask_about_identifiers(children: Sequence[FolderNode], found: Roles) -> None:
    """Ask about folders named by a program: hashes and UUIDs."""
    ids = [child for child in children if is_identifier(child.name)]
    if len(ids) == len(children) or are_hash_prefixes([child.name for child in children]):
        found.questions.append(
            f"{listed(children)} look like hashes or identifiers that a program sorts its files by"
        )


def _ask_about_photo_service(
    node: FolderNode, children: Sequence[FolderNode], found: Roles
) -> None:
    """Ask about the albums of Google Photos or a phone, which may not be classes."""
    albums = [c for c in children if c.kind in ("name", "album") and c.role == "class" and c.images]
    if holds_albums(node.name) and albums and not found.questions:
        found.questions.append(f"{listed(albums)} below {node.path}/ may be classes, or albums")


def _ask_about_strange_splits(children: Sequence[FolderNode], found: Roles) -> None:
    """Ask about two or three folders with images, of which one name resembles a split in a language
    that ``names.splits`` does not have."""
    if not 2 <= len(children) <= 3 or any(
        c.children or c.kind not in ("name", "perhaps split", "perhaps container") for c in children
    ):
        return
    if like := [child for child in children if sounds_like_split(child.name)]:
        found.questions.append(
            f"{listed(like)} {look(like, 'a split in another spelling')}, or may be a class, "
            "like what lies beside"
        )


def _decide_neighbours(
    through: list[FolderNode], named: Sequence[FolderNode], found: Roles
) -> None:
    """Decide about folders with names beside folders that are seen through."""
    classes = frozenset[str]().union(*(c.classes for c in through))
    splits = {c.split for c in through if c.split}
    with_classes = [c for c in through if c.classes]
    # photo/dog beside sketch/dog: either level may be the classes, so the user is asked.
    if all(child.kind == "container" for child in with_classes):
        with_classes, classes = [], frozenset()
    shared = any(a.classes & b.classes for a in with_classes for b in with_classes if a is not b)
    is_firm = bool(classes) and (shared or len(splits) > 1)
    known = {label.casefold() for label in classes}
    doubtful = []
    for child in named:
        if child.classes and child.classes <= classes:
            child.role = "seen through"
            found.warnings.append(
                f"{child.path}/ holds the same classes as {listed(with_classes)} beside it, and "
                "is read as another part of the images"
            )
        elif is_firm and not child.classes and child.label.casefold() not in known:
            child.role = "unlabelled"
            found.warnings.append(
                f"the images of {child.path}/ are ingested without labels: beside it, "
                f"{listed(with_classes)} hold the classes (--labels-from parent makes it a class)"
            )
        else:
            doubtful.append(child)
    if doubtful:
        for child in through:
            child.role, child.split = "class", None
        found.questions.append(
            f"{listed(through)} {look(through, 'a split or a mere container of images')}, but "
            f"{listed(doubtful)} beside {look(doubtful, 'a class')}"
        )


def _decide_images_in_one_folder(through: Sequence[FolderNode], found: Roles) -> None:
    """``test/unknown``: Keras requires a folder around unlabelled images."""
    for split in through:
        lone = list(split.top_classes())
        elsewhere = frozenset[str]().union(*(c.classes for c in through if c is not split))
        is_train = split.split in ("train", "val") or split.kind != "split"
        known = {label.casefold() for label in elsewhere}
        if is_train or len(lone) != 1 or len(known) < 2 or lone[0].label.casefold() in known:
            continue
        lone[0].role = "unlabelled"
        split.classes = frozenset()
        found.warnings.append(
            f"the images of {lone[0].path}/ are ingested without labels: it is the only folder "
            "there, and not a class elsewhere (--labels-from parent makes it a class)"
        )

"""What a folder name looks like by itself: a split, a part, a container of images, or a name.

Neighbours and subfolders are considered in ``layouts``.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from labelling.sources.names.leftovers import is_leftover, is_new_folder
from labelling.sources.names.partitions import value_of
from labelling.sources.names.series import is_album, is_photo_service, is_series, may_be_container
from labelling.sources.names.splits import (
    DATA,
    EITHER,
    PARTICLES,
    SHORT_PARTS,
    SPLITS,
    WEAK,
    joined_phrases,
)
from labelling.sources.names.unsorted import is_unsorted, may_be_unsorted
from labelling.sources.names.words import folded, words
from labelling.sources.reading import Split

Kind = Literal[
    "split",
    "part",
    "numbered",
    "year",
    "container",
    "masks",
    "unlabelled",
    "name",
    "perhaps split",
    "perhaps container",
    "perhaps unlabelled",
    "leftover",
    "album",
]
"""What a folder name looks like.

``split``: train, val or test in any spelling. ``part``: a part of the images that says nothing
about them (a fold, a batch, a date). ``numbered``: perhaps a part (``session_2``, ``Monday``).
``year``: perhaps a date, or a date and a name. ``container``: ``images``. ``perhaps split``,
``perhaps container``: only beside others (``query``, ``main``). ``album``: made by a photo program
or a backup (``Photos from 2023``); the user is asked. ``masks``: segmentation masks.
``unlabelled``: samples, or images still to be labelled (``perhaps unlabelled``: or a class,
``unclear``). ``leftover``: a bin, duplicates, old versions. ``name``: anything else, most likely a
class.
"""

_CONTAINERS = {
    *("image", "images", "img", "imgs", "photo", "photos", "pic", "pics", "picture", "pictures"),
    *("data", "dataset", "datasets", "jpg", "jpgs", "jpeg", "jpegs", "png", "pngs", "file"),
    *("files", "frame", "frames", "raw", "original", "originals", "all", "rgb", "dcim", "folder"),
    *("ordner", "bild", "bilder", "daten", "foto", "fotos", "imagenes", "untitled", "resized"),
    *("cropped", "crops", "augmented", "processed", "preprocessed", "unsplash", "download"),
    *("downloads", "upload", "uploads", "input", "inputs"),
}
_FILLERS = {
    *("set", "sets", "seg", "new", "final", "orig", "crop", "aug", "clean", "cleaned", "small"),
    *("full", "the", "my", "of", "for", "and", "copy", "kopie", "dir", "split", "px", "x", "v"),
}
_PARTS = {
    *("fold", "folds", "kfold", "cv", "split", "splits", "part", "parts", "chunk", "chunks"),
    *("shard", "shards", "batch", "batches", "subset", "subsets", "partition", "partitions"),
}
_NUMBERED = {
    *("session", "camera", "cam", "day", "week", "month", "run", "round", "group", "set"),
    *("series", "site", "scene", "video", "clip", "seq", "sequence", "subject", "patient"),
    *("user", "person", "line", "station", "machine", "device", "sensor", "lot", "shift"),
    *("location", "loc", "room", "plate", "experiment", "exp", "trial", "version", "v", "dataset"),
}
_MASKS = {
    *("ground_truth", "groundtruth", "gt", "mask", "masks", "segmentation", "segmentations"),
    *("segmentation_class", "segmentation_object", "annotations", "annotation", "labels", "label"),
    *("bitmasks", "trimaps", "trimap", "segmasks", "seg_masks", "annotations_trimaps"),
}
_SAMPLES = {"sample", "samples", "example", "examples", "demo", "extra", "extras", "inbox"}
_MASK_FILE = re.compile(
    r"[_\-. ](mask|masks|gt|seg|segmentation|label|labels|annot)([_-]?\d+)?$", re.I
)

_CAMERA_FOLDER = re.compile(r"^\d{3}[A-Z][A-Z0-9_]{4}$")  # 100CANON, by the DCF standard
_COPIED = (
    "copy|kopie|copie|copia|cópia|kopia|kopi|kopio|kopya|másolat|копия|копія|копие|副本|拷贝|コピー|のコピー|사본|"
    "복사본|bản sao|salinan|duplicate|duplikat|duplicado|dup|backup|bak|old|alt|vieux|ancien|viejo|antiguo|vecchio|"
    "velho|antigo|oude?|stary|stare|старый|старая|старое|gammal|gammel|旧|古い"
)
_COPY = re.compile(
    r"^(copy of|kopie von|copie de|copia de|copia di|cópia de|kopie van|kopia av|kopi av|копия) +| *\(\d+\)$"
    rf"|([-_ ]+|(?=の))({_COPIED})[ (\d)]*$"
    r"|[-_ ]+(aug|augs|augmented|augmentations?|flipped|rotated|mirrored)[-_ \d]*$"
    r"|^(aug|augmented|flipped|rotated|mirrored)[-_ ]+",
    re.I,
)
_YEAR = re.compile(r"(19|20)\d\d")
_DATES = (
    re.compile(r"^(?P<y>\d{4})[-_. ]?(?P<m>\d{2})[-_. ]?(?P<d>\d{2})(?!\d)"),
    re.compile(r"^(?P<d>\d{2})[-_. ](?P<m>\d{2})[-_. ](?P<y>\d{4})(?!\d)"),
    re.compile(r"^(?P<y>\d{4})[-_.](?P<m>\d{2})$"),
)


def kind_of(name: str, *, common: Sequence[str] = ()) -> Kind:
    """Classify the name of a folder.

    Args:
        name: of the folder.
        common: words to ignore, because all splits beside it share them (``xray_train``,
            ``xray_test``), or the folder above has them, too (``cats/cats_images``).
    """
    found = words(name)
    has_number = any(char.isdigit() for char in name)
    shares = bool(set(found) & _PARTS) and set(found) <= _PARTS | _FILLERS | _CONTAINERS
    rest = [word for word in found if word not in common]
    samples = bool(set(found) & _SAMPLES) and set(found) <= _SAMPLES | _FILLERS
    of_split = split_words(name, common)
    kinds: tuple[tuple[bool, Kind], ...] = (
        ("_".join(found) in _MASKS, "masks"),
        (is_to_label(name), "unlabelled"),
        (bool(of_split) and WEAK.issuperset(of_split), "perhaps split"),
        (bool(of_split), "split"),
        # A day and a subject: an album, if it contains no classes.
        (is_date(name) and any(len(word) > 1 for word in found), "year"),
        (is_date(name), "part"),
        (bool(_YEAR.fullmatch(name.strip())), "year"),
        (shares, "part"),
        (is_album(name, _CONTAINERS), "album"),
        (has_number and len(found) == 1 and found[0] in _NUMBERED, "numbered"),
        (is_series(name, _NUMBERED | _PARTS), "numbered"),
        (bool(_CAMERA_FOLDER.match(name)) or is_new_folder(name), "container"),
        (_is_container(rest or found), "container"),
        (samples, "unlabelled"),
        (may_be_unsorted(name), "perhaps unlabelled"),
        (is_leftover(name), "leftover"),
        (may_be_container(name), "perhaps container"),
    )
    return next((kind for is_it, kind in kinds if is_it), "name")


def holds_albums(name: str) -> bool:
    """Whether the name is that of a photo service's folder of albums (``Google Fotos``)."""
    return is_photo_service(name)


def is_to_label(name: str) -> bool:
    """Whether the name explicitly says that its images are not labelled yet."""
    value = value_of(name)
    return not value or is_unsorted(value)


def split_words(name: str, common: Sequence[str] = ()) -> list[str]:
    """The split words in ``name``; empty if it has other meaningful words."""
    found = joined_phrases(words(name))
    left = [word for word in found if word not in common or word in SPLITS]
    parts = [_segmented(word) for word in left]
    if any(part is None for part in parts):
        return []
    return [word for part in parts for word in part or () if word in SPLITS]


def split_of(name: str, common: Sequence[str] = ()) -> Split | None:
    """The split that a folder's name means; ``None`` if it means none or several."""
    found = {SPLITS[word] for word in split_words(name, common)}
    return found.pop() if len(found) == 1 else None


def may_be_either(name: str) -> bool:
    """Whether the name has a word that may mean validation or test (``eval``)."""
    return not EITHER.isdisjoint(split_words(name))


def split_of_list(file: str) -> Split | None:
    """The split in the name of a list (``trainLabels.csv``, ``labels_test.txt``)."""
    stem = joined_phrases(words(file.partition(".")[0]))
    found = {None if word in EITHER | WEAK else SPLITS[word] for word in stem if word in SPLITS}
    return found.pop() if len(found) == 1 else None


def split_and_rest(name: str) -> tuple[Split, str] | None:
    """Split ``train_cats`` or ``cats-test`` into the split and the rest of the name."""
    for pattern in (r"^(?P<s>[^\W_]+?)[ _.\-]+(?P<r>.+)$", r"^(?P<r>.+)[ _.\-]+(?P<s>[^\W_]+)$"):
        match = re.match(pattern, name)
        word = folded(match["s"]) if match else ""
        split = SPLITS.get(word) if word not in WEAK else None
        if match and split is not None and kind_of(match["r"]) == "name":
            return split, match["r"].strip()
    return None


def original_of(name: str) -> str:
    """The original name of a copy made by a desktop or for training (``cat (2)``, ``cat - Copy``,
    ``cat_aug``); else ``name`` itself."""
    return _COPY.sub("", name)


def is_numbered_part(name: str) -> bool:
    """Whether the name has a word for a part or a container of images, and a number."""
    found = set(words(name))
    return any(char.isdigit() for char in name) and bool(found & (_PARTS | _CONTAINERS))


def is_date(name: str) -> bool:
    """Whether the name begins with a date, or is a year and a month."""
    for pattern in _DATES:
        if match := pattern.match(name.strip()):
            parts = match.groupdict()
            day = int(parts.get("d") or 1)
            if 1900 <= int(parts["y"]) < 2100 and 1 <= int(parts["m"]) <= 12 and 1 <= day <= 31:
                return True
    return False


def names_a_mask(file: str) -> bool:
    """Whether a file's name says that it is a mask of another picture (``001_mask.png``)."""
    return bool(_MASK_FILE.search(file.rpartition("/")[2].rpartition(".")[0]))


def masked_stem(file: str) -> str | None:
    """The stem of the image that a mask belongs to (``benign (1)`` of ``benign (1)_mask.png``);
    ``None`` if the name is not that of a mask."""
    stem = file.rpartition(".")[0]
    found = _MASK_FILE.search(stem.rpartition("/")[2])
    return stem[: -len(found[0])] if found and "label" not in found[1].casefold() else None


def _is_container(found: Sequence[str]) -> bool:
    parts = [_segmented(word, containers=True) for word in found]
    flat = [word for part in parts for word in part or ()]
    return bool(found) and None not in parts and bool(set(flat) & _CONTAINERS)


# Short words make others when joined: "la" and "test" are no "latest".
_IN_ONE = {
    word for word in SPLITS.keys() | DATA if len(word) > 4 or not word.isascii()
} | SHORT_PARTS
_PLAIN = frozenset(_CONTAINERS | _FILLERS)
_ALL = _PLAIN | _IN_ONE
_LONGEST = max(map(len, _ALL))


def _segmented(word: str, *, containers: bool = False) -> Sequence[str] | None:
    """Split ``trainset`` into train and set; ``None`` if it does not consist of known words."""
    if len(word) == 1:
        return [word]
    if word in SPLITS or word in _CONTAINERS or word in _FILLERS:
        return [word] if not (containers and word in SPLITS) else None
    if not containers and (word in DATA or word in PARTICLES):
        return [word]
    return _cut(word, _PLAIN if containers else _ALL)


@lru_cache(maxsize=1024)  # words of class names are often repeated
def _cut(word: str, known: frozenset[str]) -> Sequence[str] | None:
    """``word`` cut into words of ``known``, the longest first; ``None`` if that cannot be done."""
    cuts: list[tuple[str, ...] | None] = [None] * len(word) + [
        ()
    ]  # the cut of what begins at each letter
    for begin in range(len(word) - 1, -1, -1):
        for end in range(min(len(word), begin + _LONGEST), begin, -1):
            rest = cuts[end]
            if rest is not None and word[begin:end] in known:
                cuts[begin] = (word[begin:end], *rest)
                break
    return cuts[0]

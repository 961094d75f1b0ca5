"""Lists with image numbers that ``images.txt`` beside them explains, as in CUB-200-2011 and
NABirds: ``train_test_split.txt``, ``image_class_labels.txt``."""

import re
from collections.abc import Mapping

from labelling.sources.lists.files.finder import folder_of
from labelling.sources.lists.files.index import base_name, has_image_suffix
from labelling.sources.lists.list_format import ListFile, ListReading, Statement, Surroundings
from labelling.sources.names.columns import split_of
from labelling.sources.reading import ReadingOptions, Split

_IMAGES, _CLASSES = "images.txt", "classes.txt"
_LINE = re.compile(r"(\S+)[ \t]+(\S.*)")
_OF_SPLITS = re.compile("split|partition|is_?train|is_?test", re.I)
_OF_LABELS = re.compile(r"(class|label)", re.I)


class NumberedImages:
    """One such list, joined with ``images.txt``."""

    name = "a list by the numbers of images.txt"

    def read(
        self, file: ListFile, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Join the list with ``images.txt`` and ``classes.txt``.

        Args:
            file: the list: its name and its bytes.
            options: what the user decided; with columns given, the list is not read here.
            source: the files around the list; ``images.txt`` and ``classes.txt`` are read from it.

        Returns:
            The labels or splits by path; ``None`` if the file is not such a list.
        """
        base = base_name(file.name)
        is_one = base != _IMAGES and (_OF_SPLITS.search(base) or _OF_LABELS.search(base))
        if not is_one or not base.casefold().endswith(".txt") or options.columns:
            return None
        labels, images = _pairs(file.data), _beside(file.name, _IMAGES, source)
        are_known = bool(labels) and labels.keys() <= images.keys()
        if not are_known or not all(map(has_image_suffix, images.values())):
            return None
        if _OF_SPLITS.search(base):
            return self._splits(file.name, labels, images)
        names = _beside(file.name, _CLASSES, source)
        if not {*labels.values()} <= names.keys():
            return None
        statements = [
            Statement(f"{file.name}:{number}", images[key], (names[value],))
            for number, (key, value) in enumerate(labels.items(), 1)
        ]
        return ListReading(f"{self.name}, with the names of {_CLASSES}", statements)

    def _splits(
        self, name: str, labels: Mapping[str, str], images: Mapping[str, str]
    ) -> ListReading | None:
        meant: dict[str, Split | None] = {value: split_of(value) for value in labels.values()}
        warnings = []
        if meant.keys() == {"0", "1"}:
            # CUB's README: "a value of 1 or 0 denotes that the file is in the training or test set".
            is_test = "is_test" in name.casefold()
            meant = {"1": "test", "0": "train"} if is_test else {"1": "train", "0": "test"}
            warnings.append(f"1 was read as {meant['1']}, 0 as {meant['0']}")
        if None in meant.values():
            return None
        statements = [
            Statement(f"{name}:{number}", images[key], None, meant[value])
            for number, (key, value) in enumerate(labels.items(), 1)
        ]
        return ListReading(f"{self.name}, splits", statements, warnings=warnings)


def _beside(name: str, other: str, source: Surroundings) -> dict[str, str]:
    """The texts by number of another list in the same folder; empty if there is none."""
    folder = folder_of(name)
    path = f"{folder}/{other}" if folder else other
    data = source.read(path) if path in source.files else None
    return _pairs(data) if data is not None else {}


def _pairs(data: bytes) -> dict[str, str]:
    """Lines of a number and a text; empty if there are other lines, or duplicate numbers."""
    lines = [line.strip() for line in data.decode("utf-8-sig", "replace").splitlines()]
    found = [_LINE.fullmatch(line) for line in lines if line]
    pairs = {match[1]: match[2] for match in found if match}
    return pairs if len(pairs) == len(found) else {}

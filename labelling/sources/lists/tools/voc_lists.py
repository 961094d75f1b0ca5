"""Pascal VOC's lists of classes: ``ImageSets/Main/cat_trainval.txt``, one for each class.

http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html: a line for each image of the
set, with 1 (it shows the class), -1 (it does not) or 0 (it shows only objects of the class that are
marked as difficult, which no evaluation counts). An image may show several classes.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from labelling.sources.lists.files.finder import folder_of
from labelling.sources.lists.files.index import FileIndex, base_name
from labelling.sources.lists.list_format import (
    ListFile,
    ListReading,
    ListRefusedError,
    Surroundings,
)
from labelling.sources.lists.statements import Statements, count_of
from labelling.sources.reading import ReadingOptions, Split

_NAME = re.compile(r"(.+)_(train|val|trainval|test)(?:\d{4})?\.txt", re.IGNORECASE)
_LINE = re.compile(r"(\S.*?)[ \t]+([+-]?1|0)")
_SPLITS: Mapping[str, Split | None] = {"train": "train", "val": "val", "test": "test"}
_MAIN = "imagesets/main"
_OTHER_TASKS = re.compile(r"(?:^|/)imagesets/(action|layout|segmentation)$", re.IGNORECASE)
_HEAD = 1 << 14

_DIFFICULT = (
    "Pascal VOC marks what it shows of a class as difficult (0), so that it is not known whether "
    "the class applies; write 1 or -1"
)
_DIFFERENT = "the lists of one class say different things of it"


@dataclass(slots=True)
class _Image:
    """What the lists state about one image: by class, and the place of the first one."""

    place: str
    values: dict[str, str] = field(default_factory=dict)
    different: set[str] = field(default_factory=set)
    splits: set[Split] = field(default_factory=set)


class VocLists:
    """All lists of classes in one folder, read as one list, since the labels of an image are in all
    of them."""

    name = "Pascal VOC's lists of classes"

    def read(
        self, file: ListFile, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read all lists of classes in the folder of ``file`` as one.

        Args:
            file: the list: its name and its bytes.
            options: what the user decided.
            source: the files around the list; the other lists of the folder are read from it.

        Returns:
            What the lists say; only a warning for a list that is read with another; ``None`` if it
            is no such list.

        Raises:
            ListRefusedError: the list is of another task of Pascal VOC (actions, person layout).
        """
        if other := _OTHER_TASKS.search(folder_of(file.name)):
            return _of_another_task(file.name, other[1].casefold(), source)
        if not _NAME.fullmatch(base_name(file.name)) or not _may_be_ours(file.data):
            return None
        lists = dict(_lists(file, source))
        classes = {_class_of(name) for name in lists}
        if file.name not in lists or (len(classes) < 2 and not is_main(folder_of(file.name))):
            return None
        first = min(lists)
        if file.name != first and not options.name_list(file.name):
            return ListReading(self.name, (), warnings=[f"read together with {first}"])
        statements = Statements(file.name, options)
        images = _images_of(folder_of(file.name))
        for name, image in _images(lists).items():
            _say(statements, name, image, images)
        text = f"{count_of(len(classes), 'class', 'es')} in {count_of(len(lists), 'file')}"
        return statements.reading(f"{self.name} ({text})")


def _of_another_task(name: str, task: str, source: Surroundings) -> ListReading | None:
    """Handle a list of another task of Pascal VOC: skip it beside lists of classes, else refuse it,
    except for those of segmentation, which only name images."""
    if class_lists(source.files, f"{folder_of(folder_of(name))}/Main"):
        text = f"lists of Pascal VOC's task {task}, beside those of its classes"
        return ListReading(VocLists.name, (), warnings=[text])
    if task == "segmentation":
        return None
    raise ListRefusedError(
        f"{name}: Pascal VOC's task {task}, which is about persons in an image, and gives no "
        "label for whole images"
    )


def is_main(folder: str) -> bool:
    """Whether a folder is where Pascal VOC keeps these lists."""
    return folder.casefold().endswith(_MAIN)


def class_lists(files: FileIndex, folder: str) -> list[str]:
    """The files in a folder that are named like such lists."""
    return sorted(name for name in files.texts_in(folder) if _NAME.fullmatch(base_name(name)))


def _lists(file: ListFile, source: Surroundings) -> Iterator[tuple[str, str]]:
    """The lists of classes in the folder of one of them, with their text."""
    names = {file.name, *class_lists(source.files, folder_of(file.name))}
    for name in sorted(names):
        data = file.data if name == file.name else source.read(name)
        if data is not None and _may_be_ours(data):
            lines = _text(data).splitlines()
            if all(map(_LINE.fullmatch, filter(None, map(str.strip, lines)))):
                yield name, "\n".join(lines)


def _may_be_ours(data: bytes) -> bool:
    """Whether the first lines are images with 1, -1 or 0, of which one is -1."""
    head = _text(data[:_HEAD]).splitlines()[: None if len(data) <= _HEAD else -1]
    lines = [line.strip() for line in head if line.strip()]
    found = [_LINE.fullmatch(line) for line in lines]
    return bool(lines) and all(found) and any(line.endswith("-1") for line in lines)


def _text(data: bytes) -> str:
    return data.decode("utf-8-sig", "replace")


def _class_of(name: str) -> str:
    found = _NAME.fullmatch(base_name(name))
    return found[1] if found else ""


def _images(lists: Mapping[str, str]) -> dict[str, _Image]:
    """The statements of all lists, by image."""
    images: dict[str, _Image] = {}
    for name, text in lists.items():
        named = _NAME.fullmatch(base_name(name))
        split = _SPLITS.get(named[2].casefold()) if named else None
        for number, line in enumerate(text.split("\n"), 1):
            if not (found := _LINE.fullmatch(line.strip())):
                continue
            image = images.setdefault(found[1], _Image(f"{name}:{number}"))
            value = found[2].removeprefix("+")
            if image.values.setdefault(_class_of(name), value) != value:
                image.different.add(_class_of(name))
            if split:
                image.splits.add(split)
    return images


def _images_of(folder: str) -> str:
    """The folder of Pascal VOC's images, since masks in other folders have the same names."""
    return f"{folder[: -len(_MAIN)]}JPEGImages/" if is_main(folder) else ""


def _say(statements: Statements, file: str, image: _Image, images: str) -> None:
    """Add one statement for an image, or reject it with the reason."""
    difficult = [name for name, value in image.values.items() if value == "0"]
    if image.different or difficult:
        named = ", ".join(sorted(image.different or difficult))
        reason = _DIFFERENT if image.different else _DIFFICULT
        statements.reject(f"{image.place} {file}: {named}", reason)
        return
    labels = [name for name, value in image.values.items() if value == "1"]
    split = next(iter(image.splits)) if len(image.splits) == 1 else None
    statements.add(image.place, f"{images}{file}", labels, split, or_file=file)

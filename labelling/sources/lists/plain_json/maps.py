"""JSON that maps images to labels, or labels to images, as people and competitions write it.

``{"a.jpg": "cat"}``, ``{"a.jpg": ["cat", "dog"]}``, ``{"cat": ["a.jpg", "b.jpg"]}``, each also
below or above ``train``, ``val`` and ``test``. ``{"animal": {"cat": ["a.jpg"]}}`` is a hierarchy.
Where splits stand in the place of labels, they are splits: see ``splits``.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from labelling.sources.lists.columns.other_columns import is_called_split
from labelling.sources.lists.files.index import FileIndex, base_name
from labelling.sources.lists.list_format import ListReading, ListRefusedError, Surroundings
from labelling.sources.lists.plain_json.document import JsonDocument, Repeated
from labelling.sources.lists.plain_json.label_texts import (
    CLASS_NAME_KEYS,
    LabelTexts,
    class_names_in,
    read_label_texts,
)
from labelling.sources.lists.plain_json.splits import are_splits, lists_by_split, splits_by_file
from labelling.sources.lists.statements import (
    Statements,
    as_label,
    names_image,
    shown,
    split_of,
)
from labelling.sources.reading import ReadingOptions, Split

_SAMPLE = 200
_ABOUT = ("info", "meta", "metadata", "licenses")

Part = tuple[Split | None, Mapping[str, Any]]


class JsonMaps:
    """An object whose keys, or whose lists, name images."""

    name = "a JSON map of images and labels"

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read an object that maps images to labels, labels to images, or either to splits.

        Args:
            document: the list, decoded record by record.
            options: what the user decided.
            source: the files around the list; their names tell which keys are images.

        Returns:
            What the map says; ``None`` if neither keys nor lists name images.

        Raises:
            ListRefusedError: the object is a hierarchy of labels, splits the images in several ways,
                or cannot be used as a whole.
        """
        value = document.value
        if not isinstance(value, dict) or not value:
            return None
        parts = _parts(document.name, value, source.files)
        statements = Statements(document.name, options)
        if all(_names_of_images(part, source.files) for _, part in parts):
            if len(parts) == 1 and are_splits(document.name, parts[0][1].values(), options):
                return splits_by_file(parts[0][1], statements)
            texts = _label_texts(document.name, value, parts, options, source)
            _read_by_file(document.name, parts, texts, statements)
            understood = ", ".join(["JSON, a label for each image", *texts.understood])
            return statements.reading(understood, texts.warnings)
        if all(_lists_of_images(part, source.files) for _, part in parts):
            if len(parts) == 1 and are_splits(document.name, parts[0][1], options):
                return lists_by_split(parts[0][1], statements)
            _read_by_label(document.name, parts, statements)
            return statements.reading("JSON, a list of images for each label")
        _refuse_levels(document.name, parts, source.files)
        return None


def _parts(name: str, value: Mapping[str, Any], files: FileIndex) -> list[Part]:
    """The splits of the object with their maps, or the one map in it, or the object itself."""
    splits = {key: split_of(key) for key in value}
    if all(splits.values()) and all(isinstance(part, dict) and part for part in value.values()):
        return [(splits[key], part) for key, part in value.items()]
    if len(value) > 1 and (below := _splits_below(name, value)):
        return below
    inner = [
        part
        for key, part in value.items()
        if isinstance(part, dict) and part and key not in (*_ABOUT, *CLASS_NAME_KEYS)
    ]
    if len(inner) == 1 and (_names_of_images(inner[0], files) or _lists_of_images(inner[0], files)):
        return [(None, inner[0])]
    return [(None, value)]


def _splits_below(name: str, value: Mapping[str, Any]) -> list[Part]:
    """The same for labels above splits: ``{"cat": {"train": ["a.jpg"], "test": ["b.jpg"]}}``."""
    found: dict[Split, dict[str, list[Any]]] = {}
    several = all(map(is_called_split, value))
    for label, part in value.items():
        if not isinstance(part, dict) or not part:
            return []
        for key, files in part.items():
            if (split := split_of(key)) is None or not isinstance(files, list):
                return []
            found.setdefault(split, {}).setdefault(label, []).extend(files)
    if several:
        raise ListRefusedError(
            f"{name} splits the images in {len(value)} ways ({', '.join(list(value)[:3])} …); keep one "
            'of them: {"train": ["FILE", …], "test": ["FILE", …]}'
        )
    return [*found.items()]


def _label_texts(
    name: str,
    value: Mapping[str, Any],
    parts: list[Part],
    options: ReadingOptions,
    source: Surroundings,
) -> LabelTexts:
    given = {as_label(label) for _, part in parts for label in part.values()}
    for _, part in parts:
        for labels in part.values():
            given.update(map(as_label, labels if isinstance(labels, list) else ()))
    texts = [text for text in given if text]
    return read_label_texts(name, texts, options.task, source, class_names_in(value))


def _is_image(text: object, files: FileIndex) -> bool:
    if not isinstance(text, str):
        return False
    return names_image(text) or bool(files.by_base_without_suffix(base_name(text)))


def _names_of_images(part: Mapping[str, Any], files: FileIndex) -> bool:
    """Whether the keys are images, and the values may be labels."""
    sample = list(islice(part.items(), _SAMPLE))
    keys = sum(_is_image(key, files) for key, _ in sample)
    values = [repr(value) for _, value in sample]
    numbers = all(key.isdecimal() and key == str(int(key)) for key, _ in sample)
    if numbers and len(set(values)) == len(values):
        return False  # names of classes by number, though images have numbers as names, too
    plain = [value for _, value in sample if not isinstance(value, dict)]
    return 2 * keys > len(sample) and len(plain) == len(sample) and not any(map(_is_box, plain))


def _is_box(value: object) -> bool:
    """Whether a value is a list of lists or of decimal numbers, and so no label."""
    return isinstance(value, list) and any(isinstance(item, list | dict | float) for item in value)


def _lists_of_images(part: Mapping[str, Any], files: FileIndex) -> bool:
    """Whether every value is a list, and most of the items name images."""
    if not all(isinstance(value, list) for value in part.values()):
        return False
    sample = [item for value in part.values() for item in value[:_SAMPLE]]
    return bool(sample) and 2 * sum(_is_image(item, files) for item in sample) > len(sample)


def _read_by_file(name: str, parts: list[Part], texts: LabelTexts, statements: Statements) -> None:
    for split, part in parts:
        repeated = part.repeated if isinstance(part, Repeated) else ()
        for file, label in part.items():
            if file in repeated:
                statements.reject(f"{name} {file}", "given twice; write each image once")
                continue
            given = label if isinstance(label, list) else [label]
            means = [texts.labels.get(as_label(one) or "", (one,)) for one in given]
            is_unlabelled = not isinstance(label, list) and (label in (None, "") or means == [None])
            labels = None if is_unlabelled else [one for each in means for one in each or ()]
            statements.add(name, file, labels, split)


def _read_by_label(name: str, parts: list[Part], statements: Statements) -> None:
    for split, part in parts:
        labels: dict[str, dict[str, None]] = defaultdict(dict)
        for label, file in _pairs(part):
            if isinstance(file, str):
                labels[file][label] = None
            else:
                statements.reject(f"{name} {label}: {shown(file)}", "not a file name of an image")
        for file, given in labels.items():
            statements.add(f"{name} {next(iter(given))}", file, list(given), split)


def _pairs(part: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    return ((label, file) for label, files in part.items() for file in files)


def _refuse_levels(name: str, parts: list[Part], files: FileIndex) -> None:
    for _, part in parts:
        inner = [value for value in part.values() if isinstance(value, dict) and value]
        if len(inner) == len(part) and all(_lists_of_images(value, files) for value in inner):
            top = next(iter(part))
            raise ListRefusedError(
                f"{name} is a hierarchy of labels ({top} > {', '.join(list(part[top])[:3])}), and a model here has classes of one "
                "level; write the wanted level as "
                f'{{"LABEL": ["FILE", …]}}, or a table of file,label'
            )

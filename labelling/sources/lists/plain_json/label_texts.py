"""The meaning of labels in JSON: several labels in one text, numbers with names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from labelling.labels.schema import Task
from labelling.sources.lists.labels.cells import read_label_cells
from labelling.sources.lists.list_format import Surroundings
from labelling.sources.lists.tables.class_names import find_class_names

CLASS_NAME_KEYS = (
    "classes",
    "class_names",
    "classNames",
    "categories",
    "label_names",
    "names",
    "id2label",
)


@dataclass(slots=True)
class LabelTexts:
    """The labels by the text that stands for them.

    Attributes:
        labels: by text; ``None``: the text states nothing.
        understood: how they were read, in words.
        warnings: what was decided without asking.
    """

    labels: Mapping[str, tuple[str, ...] | None]
    understood: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def class_names_in(value: Mapping[str, Any]) -> dict[str, str]:
    """The names of classes by number, from the object that has the labels."""
    for part in (value.get(key) for key in CLASS_NAME_KEYS):
        if isinstance(part, dict):
            pairs = part.items()
            if all(isinstance(number, int) for _, number in pairs):
                return {str(number): name for name, number in pairs}
            return {number: name for number, name in pairs if isinstance(name, str)}
        if isinstance(part, list) and part:
            if all(isinstance(name, str) for name in part):
                return {str(number): name for number, name in enumerate(part)}
            entries = [item for item in part if isinstance(item, dict)]
            return {
                str(item["id"]): str(item["name"])
                for item in entries
                if {"id", "name"} <= set(item)
            }
    return {}


def read_label_texts(
    name: str,
    texts: Iterable[str],
    task: Task,
    source: Surroundings,
    names: Mapping[str, str],
) -> LabelTexts:
    """Read labels like those of a table.

    Args:
        name: of the list.
        texts: the different labels as they are written.
        task: whether an image may have several labels.
        source: the files around the list, where names of classes may be.
        names: names of classes by number that the list itself gives.

    Raises:
        ListRefusedError: the separator of several labels is unclear.
    """
    cells = read_label_cells(dict.fromkeys(texts, name), task)
    by_text = {text: labels or None for text, labels in cells.labels.items()}
    found = LabelTexts(by_text, warnings=list(cells.warnings))
    if cells.separator:
        found.understood.append(f"several labels separated by {cells.separator!r}")
    given = {label for labels in cells.labels.values() for label in labels or ()}
    if not given or not all(map(str.isdecimal, given)):
        return found
    if given <= names.keys():
        found.understood.append("names of classes in the same file")
    else:
        beside, unused = find_class_names(name, sorted(given, key=int), source)
        if beside is None:
            found.warnings.append(unused or "the labels are numbers, and nothing names them")
            return found
        names = beside.names
        found.understood.append(f"names of classes from {beside.file}")
    found.labels = {
        text: tuple(names[label] for label in labels) if labels else labels
        for text, labels in cells.labels.items()
    }
    return found

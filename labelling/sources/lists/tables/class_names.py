"""Names of classes that a list only numbers, from another file."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from labelling.sources.lists.files.finder import folder_of
from labelling.sources.lists.files.index import base_name
from labelling.sources.lists.list_format import ListRefusedError, Surroundings
from labelling.sources.lists.tables.huggingface import classes_of_card
from labelling.sources.lists.text.dialect import Dialect, lines_of, rows_of
from labelling.sources.lists.text.encoding import decode_list
from labelling.sources.lists.text.table import trimmed
from labelling.sources.names.words import words

_STEMS = (
    *("classes", "class_names", "classnames", "class_list", "classlist", "class_map"),
    *("class_mapping", "class_dict", "class_indices", "class_to_idx", "labels", "label_names"),
    *("label_map", "labelmap", "label_mapping", "id2label", "label2id", "index_to_name"),
    *("idx_to_class", "names", "categories", "category_names"),
)
_MAP = re.compile(r"(label|class|categor).*(map|dict|name|to|id|num|index|idx)", re.IGNORECASE)
_MAPS = 20
_OF_CLASSES = frozenset(
    {
        "class",
        "classes",
        "category",
        "categories",
        "label",
        "labels",
        "name",
        "names",
        "list",
        "map",
    }
)
_SUFFIXES = (".txt", ".names", ".csv", ".tsv", ".json")


@dataclass(frozen=True, slots=True)
class ClassNames:
    """Names of classes by number, and the file that has them.

    ``counted``: the file only lists names, numbered from this number on.
    """

    file: str
    names: Mapping[str, str]
    counted: int | None = None


def find_class_names(
    list_name: str, ids: Sequence[str], source: Surroundings, column: str = ""
) -> tuple[ClassNames | None, str | None]:
    """Look for the names of classes beside a list and at the source's top.

    Args:
        list_name: of the list with the numbers.
        ids: the different numbers in it.
        source: the files around it.
        column: the title of the numbers' column, as a data set card names it.

    Returns:
        The names, if one file has all of them unambiguously; else a message about a file that was
        not used.
    """
    found: list[ClassNames] = []
    unused = None
    for name in _beside(list_name, source):
        data = source.read(name)
        if data is None:
            continue
        try:
            pairs, counted = _pairs(name, decode_list(name, data).text)
        except ListRefusedError:
            continue
        if pairs and set(ids) <= pairs.keys():
            found.append(ClassNames(name, pairs, counted))
        elif counted is None or not pairs:
            continue
        elif set(ids) <= (shifted := {str(int(at) + 1): each for at, each in pairs.items()}).keys():
            found.append(ClassNames(name, shifted, 1))
    found += _of_cards(list_name, column, ids, source)
    for each in found:
        # A plain list of n names: without the numbers 0 and n, it is unclear where counting begins.
        if each.counted == 0 and "0" not in ids and len(each.names) > 1:
            unused = (
                f"{each.file} was not used: it is not known whether its names count from 0 or 1"
            )
            found = [other for other in found if other is not each]
    orders = {tuple(each.names[one] for one in ids) for each in found}
    if len(orders) == 1:
        return found[0], None
    if found:
        files = " and ".join(each.file for each in found)
        unused = f"{files} give the classes different names; none was used"
    return None, unused


def is_class_table(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a table only names classes: a column of distinct whole numbers and one of distinct
    names."""
    body = [row for row in rows if row]
    if len(body) > 1 and not any(cell.isdecimal() for cell in body[0]):
        body = body[1:]
    if not body or any(len(row) != 2 for row in body):
        return False
    first, second = zip(*body, strict=True)
    for ids, names in ((first, second), (second, first)):
        if all(each.isdecimal() for each in ids) and not any(each.isdecimal() for each in names):
            return len(set(ids)) == len(ids) and len(set(names)) == len(names)
    return False


def _beside(list_name: str, source: Surroundings) -> Iterator[str]:
    for folder in dict.fromkeys((folder_of(list_name), "")):
        for stem in _STEMS:
            for suffix in _SUFFIXES:
                path = f"{folder}/{stem}{suffix}" if folder else f"{stem}{suffix}"
                yield from (name for name in source.files.by_path(path) if name != list_name)
        # categories_places365.txt, style_class.txt beside style_train.csv: as of JSON below.
        for name in source.files.texts_in(folder):
            if _called_after(name, list_name) and name != list_name:
                yield name
        # label_num_to_disease_map.json: taken only if it names just these numbers, as each is.
        others = [name for name in source.files.json_in(folder) if _MAP.search(base_name(name))]
        yield from (name for name in sorted(others)[:_MAPS] if name != list_name)


def _called_after(name: str, list_name: str) -> bool:
    """Whether a text has a word for classes in its name, and else the name of the list
    (``style_class.txt`` beside ``style_train.csv``)."""
    name_words = set(words(base_name(name).rpartition(".")[0]))
    others = name_words - _OF_CLASSES
    return len(others) < len(name_words) and others <= set(words(base_name(list_name)))


def _of_cards(
    list_name: str, column: str, ids: Sequence[str], source: Surroundings
) -> Iterator[ClassNames]:
    """The names in a Hugging Face data set card."""
    for folder in dict.fromkeys((folder_of(list_name), "")):
        for name in source.files.by_path(f"{folder}/README.md" if folder else "README.md"):
            classes = classes_of_card((source.read(name) or b"").decode("utf-8", "replace"))
            if set(ids) <= (names := classes.get(column, {})).keys():
                yield ClassNames(name, names)


def _pairs(name: str, text: str) -> tuple[dict[str, str], int | None]:
    """Names by number; the second value is 0 if names were only listed, and are counted from 0,
    else ``None``."""
    if name.casefold().endswith(".json"):
        return _of_json(text), None
    lines = lines_of(text)
    for separator in "\t,; ":
        rows = [trimmed(row.cells) for row in rows_of(lines, Dialect(separator)) if not row.flaw]
        if is_class_table(rows):
            return _of_rows(rows), None
    if name.casefold().endswith((".csv", ".tsv")):
        return {}, None
    names = [line.strip() for line in lines if line.strip()]
    return {str(at): each for at, each in enumerate(names)}, 0


def _of_rows(rows: list[list[str]]) -> dict[str, str]:
    pairs = {}
    for one, other in rows:
        if one.isdecimal() or other.isdecimal():
            ids, name = (one, other) if one.isdecimal() else (other, one)
            pairs[str(int(ids))] = name
    return pairs


def _of_json(text: str) -> dict[str, str]:
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    if isinstance(content, list):
        # A list has an order, and programs count from 0.
        return {str(at): each for at, each in enumerate(content) if isinstance(each, str)}
    if not isinstance(content, dict):
        return {}
    if all(isinstance(each, int) for each in content.values()):
        return {str(each): name for name, each in content.items()}
    return {
        ids: name if isinstance(name, str) else str(name[-1])
        for ids, name in content.items()
        if isinstance(name, str) or (isinstance(name, list) and name)
    }

"""Folders named like partitions of a table (``split=train/label=cat``), as by Hive, Spark and
Arrow."""

import re
from urllib.parse import unquote

from labelling.sources.names.columns import LABEL_COLUMNS, LEVEL_COLUMNS, plain

_PARTITION = re.compile(r"(?P<key>[^\W\d][\w .\-]*?)=(?P<value>.+)")
_NULL = "__HIVE_DEFAULT_PARTITION__"
_SPLITS = frozenset(
    {"split", "splits", "datasplit", "subset", "set", "partition", "fold", "usage", "phase"}
)
_TELLS_NOTHING = frozenset({"yes", "no", "true", "false", "y", "n", "t", "f", "none", "null"})


def key_and_value(name: str) -> tuple[str, str] | None:
    """The column and the value in the name of a partition; ``None`` if it is not such a name.

    The value may be empty.
    """
    if not (found := _PARTITION.fullmatch(name)):
        return None
    value = unquote(found["value"])  # Hive writes a slash in a value as %2F
    return found["key"], "" if value == _NULL else value


def value_of(name: str) -> str:
    """The value in the name of a partition; any other name is returned unchanged."""
    found = key_and_value(name)
    return found[1] if found else name


def is_of_classes(key: str) -> bool:
    """Whether a column is named like one of classes, or of another level of them."""
    return plain(key) in LABEL_COLUMNS | LEVEL_COLUMNS


def is_of_splits(key: str) -> bool:
    """Whether a column is named like one of splits."""
    return plain(key) in _SPLITS


def class_in(name: str) -> str:
    """The class name of a partition: its value, or the whole name if the value alone says nothing
    (``defect=yes``, ``level=3``)."""
    value = value_of(name)
    tells = any(map(str.isalpha, value)) and value.casefold() not in _TELLS_NOTHING
    return value if tells else name

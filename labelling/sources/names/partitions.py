"""Folders called as partitions of a table (``split=train/label=cat``), as Hive, Spark and Arrow do."""

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
    """The column and the value that the name of a partition gives; ``None`` if it is called as none.

    The value of a partition without one is empty.
    """
    if not (found := _PARTITION.fullmatch(name)):
        return None
    value = unquote(found["value"])  # Hive writes a slash in a value as %2F
    return found["key"], "" if value == _NULL else value


def value_of(name: str) -> str:
    """The value in the name of a partition; any other name itself."""
    found = key_and_value(name)
    return found[1] if found else name


def is_of_classes(key: str) -> bool:
    """Whether a column is called as one of classes, or of another level of them, is."""
    return plain(key) in LABEL_COLUMNS | LEVEL_COLUMNS


def is_of_splits(key: str) -> bool:
    """Whether a column is called as one of splits is."""
    return plain(key) in _SPLITS


def class_in(name: str) -> str:
    """What a partition by any column is called as a class: its value, unless that says nothing by
    itself (``defect=yes``, ``level=3``)."""
    value = value_of(name)
    tells = any(map(str.isalpha, value)) and value.casefold() not in _TELLS_NOTHING
    return value if tells else name

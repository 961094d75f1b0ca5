"""Lists whose names differ only in the split: ``style_train.csv`` and ``style_val.csv``."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from labelling.sources.lists.files.index import base_name
from labelling.sources.names.columns import split_of

_WORDS = re.compile(r"([^\W_]+)")
_PATTERN = re.compile(r"[*?]")


def is_pattern(name: str) -> bool:
    """Whether a name stands for several lists (``style_*.csv``)."""
    return bool(_PATTERN.search(name))


def fits(name: str, pattern: str) -> bool:
    """Whether the name of a list matches a pattern."""
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def families(names: Sequence[str]) -> dict[str, Sequence[str]]:
    """Group lists: by a pattern if each of its lists is of another split, else by name."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_without_split(name), []).append(name)
    several: dict[str, Sequence[str]] = {}
    for pattern, lists in found.items():
        fitting = [name for name in names if fits(name, pattern)]
        if len(lists) > 1 and fitting == lists:
            several[pattern] = lists
        else:
            several |= {name: [name] for name in lists}
    return several


def _without_split(name: str) -> str:
    """The name with a star in place of its one word for a split, if it has other words."""
    base = base_name(name)
    stem, dot, suffix = base.rpartition(".")
    parts = _WORDS.split(stem)
    words = [at for at, part in enumerate(parts) if _WORDS.fullmatch(part)]
    of_splits = [at for at in words if split_of(parts[at])]
    if len(of_splits) != 1 or len(words) < 2 or is_pattern(name):
        return name
    parts[of_splits[0]] = "*"
    return name[: -len(base)] + "".join(parts) + dot + suffix

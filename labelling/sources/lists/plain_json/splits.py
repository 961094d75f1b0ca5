"""Splits in JSON, without labels: ``{"train": ["a.jpg"]}`` and ``{"a.jpg": "train"}``."""

from collections.abc import Iterable, Mapping
from typing import Any

from labelling.labels.foreign_text import visible
from labelling.sources.lists.columns.other_columns import is_called_split
from labelling.sources.lists.list_format import ListReading, ListRefusedError
from labelling.sources.lists.statements import Statements, as_label, shown, split_of
from labelling.sources.reading import ReadingOptions

_SHOWN = 3


def are_splits(name: str, words: Iterable[object], options: ReadingOptions) -> bool:
    """Whether the values in place of labels are splits.

    Args:
        name: of the list.
        words: the values.
        options: what the user decided.

    Raises:
        ListRefusedError: only some are splits, or the list is named like splits and has numbers,
            such as folds.
    """
    texts = dict.fromkeys(text for word in words if (text := as_label(word)))
    splits = {word: split_of(word) for word in texts}
    if texts and all(splits.values()):
        return True
    if options.name_list(name):
        return False
    named = [word for word, split in splits.items() if split]
    if len({splits[word] for word in named}) > 1 and "train" in splits.values():
        others = [word for word in texts if word not in named]
        raise ListRefusedError(
            f"{name}: {_listed(named)} look like splits, {_listed(others)} like labels or folds; "
            'write splits as {"train": ["FILE", …]} without others. If all are labels: '
            f"--labels-from {name}"
        )
    if texts and is_called_split(name) and all(word.isdecimal() for word in texts):
        raise ListRefusedError(
            f"{name} has a name of splits and gives numbers ({_listed([*texts])}): folds, or "
            'labels? Write splits as {"train": ["FILE", …]}. If they are labels: '
            f"--labels-from {name}"
        )
    return False


def _listed(words: list[str]) -> str:
    more = ", …" if len(words) > _SHOWN else ""
    return visible(", ".join(words[:_SHOWN])) + more


def lists_by_split(lists: Mapping[str, Any], statements: Statements) -> ListReading:
    """Read a list of images for each split."""
    for split, files in lists.items():
        for file in files:
            if isinstance(file, str):
                statements.add(f"{statements.name} {split}", file, None, split_of(split))
            else:
                statements.reject(
                    f"{statements.name} {split}: {shown(file)}", "not a file name of an image"
                )
    return statements.reading("JSON, a list of images for each split, no labels")


def splits_by_file(splits: Mapping[str, Any], statements: Statements) -> ListReading:
    """Read a split for each image."""
    for file, split in splits.items():
        statements.add(f"{statements.name} {file}", file, None, split_of(split))
    return statements.reading("JSON, a split for each image, no labels")

"""Test sets in which all images have one label: a real one, or a placeholder of hidden labels."""

from collections.abc import Sequence
from dataclasses import replace

from labelling.sources.doubt import Doubt
from labelling.sources.lists.files.index import without_suffix
from labelling.sources.lists.list_format import ListReading, Statement
from labelling.sources.lists.statements import count_of
from labelling.sources.names.columns import split_of_list

_ENOUGH = 3
_PLACEHOLDERS = frozenset(
    (
        *("hidden", "masked", "secret", "withheld", "private", "dummy", "placeholder", "blank"),
        *("fill me", "fillme", "to predict", "to be predicted", "predict", "unlabeled test", "xxx"),
        *(
            "versteckt",
            "geheim",
            "verborgen",
            "verdeckt",
            "platzhalter",
            "caché",
            "masqué",
            "secreto",
        ),
        *(
            "oculto",
            "nascosto",
            "segreto",
            "verborgen",
            "geheim",
            "ukryte",
            "tajne",
            "gizli",
            "скрыто",
        ),
        *("隐藏", "保密", "隠し", "非公開", "비공개", "숨김"),
    )
)
"""Placeholders, if no image outside of the test set has that label."""

Lists = Sequence[tuple[str, ListReading]]


def without_hidden_labels(lists: Lists) -> tuple[Lists, list[Doubt]]:
    """Remove the one label that all images of a test set have if it is a placeholder of hidden
    labels; it may be one if other images have several labels.

    Args:
        lists: pairs of name and reading.

    Returns:
        The lists without labels that are clearly placeholders; and the question whether others are.
    """
    tests = [(name, item) for name, reading in lists for item in _tests(name, reading)]
    places = {id(item) for _, item in tests}
    others = {
        item.labels
        for _, reading in lists
        for item in reading.statements
        if item.labels is not None and id(item) not in places
    }
    labels = {item.labels for _, item in tests if item.labels is not None}
    if len(tests) < _ENOUGH or len(labels) != 1 or len(others) < 2:
        return lists, []
    (label,) = labels
    shown = " and ".join(map(repr, label or ())) or "none of the labels"
    if label and len(label) == 1 and label not in others and _plain(label[0]) in _PLACEHOLDERS:
        return [(name, _hidden(name, reading, places, shown)) for name, reading in lists], []
    apart = {name for name, _ in tests}
    mixed = any(
        name in apart and id(item) not in places
        for name, reading in lists
        for item in reading.statements
    )
    if mixed and label in others and not all(map(str.isdecimal, label)):
        return lists, []  # in one table with the others it is the name of a class
    return lists, [_asked([*dict.fromkeys(name for name, _ in tests)], len(tests), shown, lists)]


def _tests(name: str, reading: ListReading) -> list[Statement]:
    """The statements with a label about images of a test set."""
    whole = any(split_of_list(part) == "test" for part in without_suffix(name).split("/"))
    return [
        item
        for item in reading.statements
        if item.labels is not None and (item.split == "test" or (whole and not item.split))
    ]


def _hidden(name: str, reading: ListReading, places: set[int], shown: str) -> ListReading:
    statements = [
        replace(item, labels=None) if id(item) in places else item for item in reading.statements
    ]
    hidden = sum(id(item) in places for item in reading.statements)
    if not hidden:
        return reading
    note = f"{shown} of {count_of(hidden, 'test image')}, and of no other: read as not labelled"
    return replace(reading, statements=statements, warnings=(*reading.warnings, note))


def _asked(names: Sequence[str], count: int, shown: str, lists: Lists) -> Doubt:
    question = (
        f"All {count_of(count, 'test image')} of {', '.join(names)} have {shown}, where the other "
        "images have several: is that their label, or a placeholder for a hidden one? If it is a "
        "placeholder, empty those cells"
    )
    rest = [name for name, _ in lists if name not in names]
    answers = [("--yes", f"{shown} is their label")]
    if len(rest) == 1:
        answers.append((f"--labels-from {rest[0]}", "the test images are ingested without labels"))
    return Doubt(question, (*answers, ("--labels-from none", "no labels")))


def _plain(label: str) -> str:
    return label.casefold().strip(" <>[](){}_-.*").replace("_", " ")

"""The kind of a column's cells: labels, yes and no, scores, numbers, texts."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise

from labelling.labels.foreign_text import visible
from labelling.sources.lists.labels.yes_and_no import NO, TRUE_OR_FALSE, YES

ONE_FOR_EACH = "has a different value for nearly every image"

_NOT_KNOWN = frozenset({"", "-1", "-1.0", "?", "u", "nan"})

_MOST_NUMBERS = 200
"""The most different whole numbers, with gaps, that are read as numbers of classes."""

_FEW_ROWS = 10
_INDEX_ROWS = 5
"""With fewer rows, whole numbers without gaps may be classes with one image each."""
_SOME_ROWS = 20
_WORDS_OF_A_CAPTION = 7
_WORDS_OF_A_NAME = 2
_SHOWN = 4
_NAME_AND_BOX = 5
_ONE_IN_A_LIST = re.compile(r"""\[\s*["']([^"'\\,]+)["']\s*\]$""")
_BOX = re.compile(r"^[\[({]\s*['\"]?[\w ]*['\"]?\s*[:=]?\s*[\[({]?\s*-?\d+(\.\d+)?\s*[,;]")


def is_yes_or_no(values: Sequence[str]) -> bool:
    """Whether a column says whether a class applies: yes, no, or not known."""
    folded = {value.casefold() for value in values}
    return bool(folded & (YES | NO)) and folded <= YES | NO | _NOT_KNOWN


def are_true_or_false(labels: Collection[str]) -> bool:
    """Whether labels are only words for yes and no."""
    return bool(labels) and all(label.casefold() in TRUE_OR_FALSE for label in labels)


def is_score(values: Sequence[str]) -> bool:
    """Whether a column holds numbers from 0 to 1, not only 0 and 1."""
    numbers = [number(value) for value in values if value]
    scores = [each for each in numbers if each is not None and 0 <= each <= 1]
    return len(scores) == len(numbers) > 0 and any(0 < each < 1 for each in scores)


def is_counter(values: Sequence[str]) -> bool:
    """Whether a column numbers the rows."""
    if not all(value.isdecimal() for value in values):
        return False
    counts = [int(value) for value in values]
    return all(later > earlier for earlier, later in pairwise(counts))


def is_index(values: Sequence[str]) -> bool:
    """Whether a column numbers the rows in any order: distinct whole numbers."""
    if len(values) < _INDEX_ROWS or not all(map(str.isdecimal, values)):
        return False
    numbers = sorted(map(int, values))
    if len({*numbers}) < len(numbers):
        return False
    return len(numbers) >= _FEW_ROWS or numbers[-1] - numbers[0] == len(numbers) - 1


def is_numeric(values: Sequence[str]) -> bool:
    """Whether all non-empty cells are numbers."""
    filled = [value for value in values if value]
    return bool(filled) and all(number(value) is not None for value in filled)


def first_number(values: Sequence[str]) -> int | None:
    """The smallest of whole numbers; ``None`` if a column holds anything else."""
    filled = [value for value in values if value]
    numbers = [
        each for value in filled if (each := number(value)) is not None and each == each // 1
    ]
    return int(min(numbers)) if len(numbers) == len(filled) > 0 else None


def number(value: str) -> float | None:
    """Parse a number, also with a decimal comma."""
    try:
        return float(value.replace(",", ".", 1))
    except ValueError:
        return None


def same_partition(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two columns group the rows in the same way, under other names."""
    pairs = set(zip(one, other, strict=True))
    return len(pairs) == len(set(one)) == len(set(other)) > 1


def are_sentences(values: Sequence[str]) -> bool:
    """Whether most texts are longer than class names: ``a photo of a cat``."""
    filled = {value for value in values if value}
    return 2 * sum(len(value.split()) > _WORDS_OF_A_NAME for value in filled) > len(filled)


def unlike_labels(values: Sequence[str], task: str, *, named: bool = False) -> str | None:
    """Why a column does not look like labels.

    Args:
        values: its cells.
        task: whether an image may have several labels.
        named: whether it is named like a column of labels.

    Returns:
        What it holds instead, as text; ``None`` if it may hold labels.
    """
    filled = [value for value in values if value]
    if is_numeric(filled):
        return _unlike_numbers(filled, named=named)
    different = set(filled)
    if task == "multi_label":
        different = {part for value in different for part in re.split(r"[|;,\s]+", value) if part}
    if sum(len(value.split()) for value in filled) > _WORDS_OF_A_CAPTION * len(filled):
        return f"holds texts ({_some(filled)})"
    return _one_for_each(filled, len(different))


def _unlike_numbers(filled: Sequence[str], *, named: bool) -> str | None:
    numbers = [each for value in filled if (each := number(value)) is not None]
    whole = {int(each) for each in numbers if each == each // 1}
    if any(each != each // 1 for each in numbers):
        return f"holds numbers with decimals ({_some(filled)})"
    without_gaps = len(whole) >= 0.9 * (max(whole) - min(whole) + 1)
    if len(whole) > _MOST_NUMBERS and not without_gaps:
        return f"holds {len(whole):,} different numbers ({_some(filled)})"
    if named and without_gaps and len(whole) < len(filled):
        return None  # class numbers, many of them rare
    return _one_for_each(filled, len(whole))


def _one_for_each(filled: Sequence[str], different: int) -> str | None:
    own = len(filled) >= _FEW_ROWS and different >= len(filled)
    if own or (len(filled) >= _SOME_ROWS and different > len(filled) / 2):
        return f"{ONE_FOR_EACH} ({_some(filled)})"
    return None


def looks_like_boxes(values: Sequence[str]) -> bool:
    """Whether cells hold lists of numbers: positions of objects."""
    filled = [value for value in values if value]
    found = sum(bool(_BOX.match(value)) or _are_named_boxes(value) for value in filled)
    return bool(filled) and found > len(filled) / 2


def _are_named_boxes(value: str) -> bool:
    """Whether a cell holds one or several groups of a class and four numbers: ``n01440764 10 10 50
    50``."""
    tokens = value.split()
    if not tokens or len(tokens) % _NAME_AND_BOX:
        return False
    rest = [token for at, token in enumerate(tokens) if at % _NAME_AND_BOX]
    return all(number(token) is not None for token in rest)


def shown_classes(values: Sequence[str]) -> str:
    """The classes that a column would give: ``3 classes: cat (12), dog (9), …``."""
    counts = Counter(_without_brackets(value) for value in values if value)
    classes = [f"{visible(value[:40])} ({count:,})" for value, count in counts.most_common(_SHOWN)]
    more = ", …" if len(counts) > _SHOWN else ""
    word = "class" if len(counts) == 1 else "classes"
    return f"{len(counts):,} {word}: {', '.join(classes)}{more}"


def _some(values: Sequence[str]) -> str:
    shown = map(_without_brackets, dict.fromkeys(values[:_SHOWN]))
    return ", ".join(visible(value[:40]) for value in shown)


def _without_brackets(value: str) -> str:
    """A list of one label, as in JSON, as that label."""
    match = _ONE_IN_A_LIST.match(value)
    return match[1] if match else value

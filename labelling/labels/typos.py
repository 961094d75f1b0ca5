"""Rare labels that are probably mistyped: one edit away from a commoner label."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from labelling.labels.form import look_alikes

RARE = 3
"""Images of a rare label, at most."""

TIMES = 3
"""How many times as many images the other label has, at least."""

SHORTEST = 5
"""Letters of either label, at least: many short words are one letter apart (cat, bat, car)."""


@dataclass(frozen=True, order=True)
class Typo:
    """A rare label, and a commoner one that was perhaps meant."""

    label: str
    meant: str


def probable_typos(images: Mapping[str, int]) -> list[Typo]:
    """Find rare labels that differ from a commoner one by one letter or by two neighbours swapped.

    Real words may differ so (``mouse``, ``moose``), so they are only named to the user. Labels with
    anything but letters are left out (``type1`` and ``type2`` are classes), and so are those that
    ``look_alikes`` groups (upper and lower case, accents, singular and plural).

    Args:
        images: label, in its normal form, to its number of images.

    Returns:
        The pairs, sorted; of several commoner labels the commonest.
    """
    words = {label for label in images if len(label) >= SHORTEST and label.isalpha()}
    near: dict[str, set[str]] = defaultdict(set)  # what is left without a letter -> labels
    for word in words:
        for key in _without_a_letter(word):
            near[key].add(word)
    found = []
    for word in words:
        if not 0 < images[word] <= RARE:
            continue
        others = set().union(*(near[key] for key in _without_a_letter(word)))
        meant = [
            other
            for other in others
            if images[other] >= TIMES * images[word]
            and _is_one_edit(word.casefold(), other.casefold())
            and not look_alikes((word, other))
        ]
        if meant:
            found.append(Typo(word, max(meant, key=lambda other: (images[other], other))))
    return sorted(found)


def _without_a_letter(word: str) -> Iterator[str]:
    """Yield the word, and the word without each of its letters, in lower case."""
    word = word.casefold()
    yield word
    for index in range(len(word)):
        yield word[:index] + word[index + 1 :]


def _is_one_edit(one: str, other: str) -> bool:
    if len(one) != len(other):
        return min(one, other, key=len) in _without_a_letter(max(one, other, key=len))
    at = [index for index, pair in enumerate(zip(one, other, strict=True)) if len({*pair}) > 1]
    if len(at) == 2:
        first, second = at
        return second == first + 1 and one[first] + one[second] == other[second] + other[first]
    return len(at) == 1

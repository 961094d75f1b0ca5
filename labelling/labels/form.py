"""The normal form of labels, and labels that look alike.

Every reader of labels (folders, lists, settings, Label Studio, corrections, ``imgclf labels``) uses
:func:`normal_label`, so that encodings of one word never become two classes.
"""

import itertools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

_NOTHING = re.compile("[\u00ad\u200b\u200e\u200f\u2060\ufeff]")
"""Soft hyphen, zero-width spaces, direction marks, byte order mark: left over from web pages and
spreadsheets. (Characters that change the direction of a text are refused: ``label_flaw``.)"""

_JOINER = re.compile("[\u200c\u200d]")
_JOINS = frozenset({"Lo", "Mc", "Mn", "Sk", "So"})
"""Unicode categories next to which a joiner has a meaning: Arabic and Indian letters, emoji."""

_BLANKS = re.compile(r"[ \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_SELECTORS = re.compile("[\ufe00-\ufe0f]")
_ACCENTS = re.compile("[\u0300-\u036f]")
"""Without Indian and Semitic vowel signs, which distinguish words."""

_SEPARATORS = re.compile(r"(?<=[^\W\d_])[ _-]+(?=[^\W_])|(?<=\d)[ _-]+(?=[^\W\d_])")
"""Between letters, or a letter and a digit: ``1-2`` is not 12, and ``-1`` is not 1."""


def normal_label(label: str) -> str:
    """The normal form of ``label``: Unicode NFC, without invisible characters, single spaces inside
    and none around. Case stays."""
    if label.isascii():
        return _one_space(label)
    text = unicodedata.normalize("NFC", _NOTHING.sub("", label))
    while _JOINER.search(text):  # composing an accent may leave a joiner without a meaning
        kept = "".join(char for place, char in enumerate(text) if _means(text, place))
        if kept == text:
            break
        text = unicodedata.normalize("NFC", kept)
    return _one_space(text)


def _one_space(text: str) -> str:
    return _BLANKS.sub(" ", text).strip()


def _means(text: str, place: int) -> bool:
    """Whether the character at ``place`` is not a joiner, or a joiner between two characters that
    it joins."""
    if not _JOINER.match(text[place]):
        return True
    around = text[max(place - 1, 0) : place] + text[place + 1 : place + 2]
    return len(around) == 2 and all(unicodedata.category(char) in _JOINS for char in around)


@dataclass(frozen=True, slots=True)
class LookAlikes:
    """Labels that are easily confused.

    Attributes:
        labels: two or more, sorted.
        reason: what they differ in, in words (``upper and lower case``).
        is_doubt: whether they are probably one class, so that the user is asked. Singular and
            plural are only listed.
    """

    labels: tuple[str, ...]
    reason: str
    is_doubt: bool


def look_alikes(labels: Iterable[str], new: Collection[str] | None = None) -> list[LookAlikes]:
    """Group the labels that look alike.

    Args:
        labels: any labels; those with the same normal form are one label.
        new: only groups with one of these.

    Returns:
        The groups, doubtful ones first, sorted by labels.
    """
    wanted = None if new is None else {normal_label(label) for label in new}
    alike: dict[str, set[str]] = defaultdict(set)
    for label in {normal_label(label) for label in labels}:
        alike[_under(_ALL, label)].add(label)
    found = [
        LookAlikes(tuple(sorted(group)), _difference(group), is_doubt=True)
        for group in alike.values()
        if len(group) > 1
    ]
    found += [
        LookAlikes(tuple(sorted(alike[one] | alike[many])), "singular and plural", is_doubt=False)
        for one in alike
        for many in _plurals(one)
        if many in alike
    ]
    if wanted is not None:
        found = [group for group in found if wanted & {*group.labels}]
    return sorted(found, key=lambda group: (not group.is_doubt, group.labels))


# --- what labels may differ in -------------------------------------------------------------


def _without_accents(label: str) -> str:
    return _ACCENTS.sub("", unicodedata.normalize("NFD", label))


def _plain_letters(label: str) -> str:
    """Replace characters that look like ASCII ones by these (Unicode TR 39), and split ligatures.
    ASCII characters stay: ``0`` and ``O`` may be two classes."""
    text = unicodedata.normalize("NFKC", _SELECTORS.sub("", label))
    return text if text.isascii() else "".join(map(_plain, text))


@cache
def _plain(char: str) -> str:
    if char.isascii():
        return char
    if unicodedata.category(char) == "Pd":
        return "-"
    from confusable_homoglyphs.confusables import confusables_data  # 0.2 s, seldom needed

    alike = [item["c"] for item in confusables_data.get(char, ()) if item["c"].isascii()]
    return min(alike, key=lambda text: (len(text), text.islower() != char.islower()), default=char)


_DIFFERENCES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("upper and lower case", str.casefold),
    ("spaces, hyphens and underscores", lambda label: _SEPARATORS.sub("", label)),
    ("accents", _without_accents),
    ("letters that look the same", _plain_letters),
)
_ALL = (3, 2, 0, 1)
"""The order in which they are applied: each works on the result of the one before."""


def _under(chosen: Sequence[int], label: str) -> str:
    for index in _ALL:
        if index in chosen:
            label = _DIFFERENCES[index][1](label)
    return label


def _difference(group: Collection[str]) -> str:
    """The fewest differences that explain the group, in words."""
    for size in range(1, len(_DIFFERENCES) + 1):
        for chosen in itertools.combinations(range(len(_DIFFERENCES)), size):
            if len({_under(chosen, label) for label in group}) == 1:
                return " and ".join(_DIFFERENCES[index][0] for index in chosen)
    raise AssertionError("a group has one key under all of them")


def _plurals(word: str) -> tuple[str, ...]:
    if len(word) < 3 or not word[-1].isalpha():
        return ()
    ending = (f"{word[:-1]}ies",) if word.endswith("y") else ()
    return (f"{word}s", f"{word}es", *ending)

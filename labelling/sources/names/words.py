"""The words of a name, normalised for comparison with lists of words."""

import re
import unicodedata
from functools import lru_cache

# Letters that Unicode does not decompose, though keyboards and file systems write them plainly.
_PLAIN = str.maketrans({"ı": "i", "ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D",
                        "ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ð": "d", "þ": "th"})  # fmt: skip
_TOKEN = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_]+")


def _plain(name: str) -> str:
    if name.isascii():
        return name
    # Marks are not letters to `re`, and would cut the words of Hindi or Thai into pieces; joiners
    # (Cf) show nothing.
    decomposed = unicodedata.normalize("NFKD", name).translate(_PLAIN)
    return "".join(
        char
        for char in decomposed
        if unicodedata.category(char)[0] != "M"
        if unicodedata.category(char) != "Cf"
    )


def folded(name: str) -> str:
    """``name`` without accents, case and signs, for comparison with lists of words."""
    return _plain(name).casefold()


def words(name: str) -> list[str]:
    """The words of a name, without numbers (``TrainingSet_2`` → training, set)."""
    return list(_words(name))


@lru_cache(maxsize=1024)  # many rules ask for the words of the same name
def _words(name: str) -> tuple[str, ...]:
    found = _TOKEN.findall(_plain(name))
    return tuple(token.casefold() for token in found if not token.isdigit())

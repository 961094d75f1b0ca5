"""Signs that bytes were decoded in the wrong encoding: implausible words."""

import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache

from labelling.sources.lists.text.alphabets import letters_of_no_language

EAST_ASIAN = {
    "gb18030": ("gb2312", ((0xA1, 0xA3), (0xA6, 0xA9), (0xB0, 0xD7))),
    "big5": ("big5", ((0xA1, 0xA3), (0xA4, 0xC6))),
    "cp932": ("shift_jis", ((0x81, 0x83), (0x88, 0x97))),
    "euc_jp": ("euc_jp", ((0xA1, 0xA5), (0xB0, 0xCF))),
    "cp949": ("euc_kr", ((0xA1, 0xA5), (0xB0, 0xC8))),
}
"""By encoding, the standard behind it and the first bytes of its characters in daily use: signs and
the first level. Not the Japanese letters in the Chinese standard, which Chinese texts have not."""

_SIGNS = frozenset("Cc Cf Co Cn Sk Sm So Zs No Nd Pi Pf".split())  # noqa: SIM905 - a table
_SIGNS_OF_ONE_BYTE = _SIGNS | {"Ps", "Pe", "Po"}
_IN_WORDS = frozenset("°’·¿¡")
"""Signs that do not occur inside words: beside letters, the encoding is wrong. (East Asian texts
have them between words, since they have no spaces.)"""


def foreign_words(text: str) -> Iterator[str]:
    """The words of ``text`` with non-ASCII characters."""
    for part in "".join(char if _inside_word(char) else " " for char in text).split():
        if not part.isascii():
            yield part


def count_oddities(words: Iterable[str], encoding: str) -> int:
    """Count implausible features of words decoded in ``encoding``: mixed scripts, signs among
    letters, a capital after a small letter, letters of no single language, characters out of
    use."""
    words = list(words)
    odd = sum(_in_word(word, encoding) for word in words)
    return odd + letters_of_no_language(words, encoding)


def _in_word(word: str, encoding: str) -> int:
    found = 0
    earlier = ""
    signs = _SIGNS if encoding in EAST_ASIAN else _SIGNS_OF_ONE_BYTE
    for char in word:
        category = unicodedata.category(char)
        if not char.isascii():
            found += 2 * (category in signs and char not in _IN_WORDS)
            found += 2 * (category == "Sc" and earlier.isalpha())
            found += encoding in EAST_ASIAN and not _is_common(char, encoding)
        if earlier and not (char.isascii() and earlier.isascii()):
            mixed = _script(char) and _script(earlier) and _script(char) != _script(earlier)
            capital = category == "Lu" and unicodedata.category(earlier) == "Ll"
            found += bool(mixed) + capital + (earlier.isdigit() and char.isalpha())
        earlier = char
    return found


def _inside_word(char: str) -> bool:
    return char.isalnum() if char.isascii() else not char.isspace()


@lru_cache(maxsize=4096)
def _script(char: str) -> str | None:
    """The script of a letter, as far as scripts do not go together in a word."""
    if unicodedata.category(char)[0] not in "LM":
        return None
    name = unicodedata.name(char, "").partition(" ")[0].partition("-")[0]
    if name in ("HIRAGANA", "KATAKANA"):
        return "CJK"
    return None if name == "COMBINING" else name


@lru_cache(maxsize=4096)
def _is_common(char: str, encoding: str) -> bool:
    standard, levels = EAST_ASIAN[encoding]
    try:
        code = char.encode(standard)
    except UnicodeEncodeError:
        return False
    return len(code) == 2 and any(low <= code[0] <= high for low, high in levels)

"""Detect the encoding of names in archives that do not declare it.

Windows writes names in the country's code page, old Unix programs in theirs, macOS in UTF-8 without
the flag. Detectors for whole texts are unreliable for a few words. Here, every encoding that can
decode all names is scored by the plausibility of the resulting words (``name_letters``); the best
is used if the second is far behind, else the user is asked.
"""

import codecs
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

from labelling.sources.containers.name_letters import ABSURD_BITS, ASCII_BITS, RARE_BITS, letters

MARGIN_BITS = 7.0
"""The second best encoding must be this much less plausible (2^7 = 128 times)."""

PLAUSIBLE_BITS = 18.5
"""The most bits that the non-ASCII characters of a word may cost on average."""

SAMPLE = 400
"""The number of different words that are scored."""

OFFERED = 4

_NO_CHARACTERS = {"Cc", "Cn", "Co", "Cs"}
_LATIN = {"western", "central", "turkish"}
_VOWELS = "aeiouyäöüAEIOUYÄÖÜ"
_SWITCH_BITS = 8.0
_CASE_BITS = 6.0
_ACCENTS_BITS = 5.0
_BARE_BITS = 6.0
_MULTIBYTE_BITS = 8.0


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An encoding. ``prior`` in bits: how rare archives without the flag are in it."""

    name: str
    codec: str
    languages: tuple[str, ...]
    prior: float


_CANDIDATES = (
    _Candidate("utf-8", "utf-8", (), 0.0),
    _Candidate("cp437", "cp437", ("western",), 0.0),
    _Candidate("cp850", "cp850", ("western",), 2.0),
    _Candidate("gbk", "gb18030", ("chinese",), 4.0),
    _Candidate("cp932", "cp932", ("japanese",), 4.0),
    _Candidate("cp866", "cp866", ("cyrillic",), 5.0),
    _Candidate("big5", "cp950", ("chinese_traditional",), 5.0),
    _Candidate("cp949", "cp949", ("korean",), 5.0),
    _Candidate("cp1251", "cp1251", ("cyrillic",), 7.0),
    _Candidate("cp852", "cp852", ("central",), 8.0),
    _Candidate("cp857", "cp857", ("turkish",), 7.0),
    _Candidate("cp874", "cp874", ("thai",), 9.0),
    _Candidate("cp862", "cp862", ("hebrew",), 8.0),
    _Candidate("cp737", "cp737", ("greek",), 6.0),
    _Candidate("cp720", "cp720", ("arabic",), 8.0),
    _Candidate("cp1252", "cp1252", ("western",), 9.0),
    _Candidate("cp1250", "cp1250", ("central",), 10.0),
    _Candidate("cp1253", "cp1253", ("greek",), 8.0),
    _Candidate("cp1254", "cp1254", ("turkish",), 10.0),
    _Candidate("cp1255", "cp1255", ("hebrew",), 10.0),
    _Candidate("cp1256", "cp1256", ("arabic",), 10.0),
    _Candidate("euc-jp", "euc_jp", ("japanese",), 10.0),
    _Candidate("koi8-r", "koi8_r", ("cyrillic",), 10.0),
)
_EVERY_LANGUAGE = tuple(dict.fromkeys(name for each in _CANDIDATES for name in each.languages))


@dataclass(frozen=True, slots=True)
class NameEncoding:
    """The detected encoding of names.

    Attributes:
        encoding: the most plausible one, by Python's name; ``None`` if none is.
        certain: whether no other is nearly as plausible.
        readings: the plausible encodings, as ``--encoding`` takes them, with examples of decoded
            names.
    """

    encoding: str | None
    certain: bool
    readings: tuple[tuple[str, tuple[str, ...]], ...]


def guess_encoding(names: Collection[bytes]) -> NameEncoding:
    """Score the encodings that the names may be in.

    Args:
        names: raw paths, some of which are not ASCII.
    """
    words = _words(names)
    weighed: dict[tuple[str, ...], _Weighed] = {}
    for candidate in _CANDIDATES:
        texts = _decoded(words, candidate.codec)
        if texts is None:
            continue
        found = _Weighed.of(texts, candidate)
        if texts not in weighed or found.bits < weighed[texts].bits:
            weighed[texts] = found
    ranked = sorted(weighed.values(), key=lambda item: item.bits)
    plausible = [item for item in ranked if item.plausible]
    readings = tuple((item.candidate.name, item.texts[:3]) for item in plausible[:OFFERED])
    if not plausible:
        return NameEncoding(None, certain=False, readings=())
    best, others = plausible[0], [item for item in ranked if item is not plausible[0]]
    certain = not others or others[0].bits - best.bits >= MARGIN_BITS
    return NameEncoding(best.candidate.codec, certain, readings)


def known_encoding(name: str) -> str | None:
    """The text codec that ``--encoding`` names; ``None`` if it is unknown."""
    try:
        info = codecs.lookup(name)
    except LookupError:
        return None
    return info.name if getattr(info, "_is_text_encoding", True) else None


def _words(names: Collection[bytes]) -> list[bytes]:
    """The different path segments with non-ASCII bytes, without suffixes."""
    found: dict[bytes, None] = {}
    for name in names:
        segments = name.split(b"/")
        segments[-1] = segments[-1].rpartition(b".")[0] or segments[-1]
        found.update((segment, None) for segment in segments if not segment.isascii())
        if len(found) >= SAMPLE:
            break
    return list(found)


def _decoded(words: list[bytes], codec: str) -> tuple[str, ...] | None:
    try:
        return tuple(word.decode(codec) for word in words)
    except UnicodeDecodeError:
        return None


@dataclass(frozen=True, slots=True)
class _Weighed:
    """The words decoded by an encoding, and their cost in bits."""

    texts: tuple[str, ...]
    candidate: _Candidate
    bits: float
    plausible: bool

    @classmethod
    def of(cls, texts: tuple[str, ...], candidate: _Candidate) -> "_Weighed":
        bits = [_bits(text, candidate) for text in texts]
        plausible = all(map(_is_plausible, texts, bits))
        return cls(texts, candidate, candidate.prior + sum(bits), plausible)


def _is_plausible(text: str, bits: float) -> bool:
    text = unicodedata.normalize("NFC", text)
    if any(unicodedata.category(char) in _NO_CHARACTERS for char in text):
        return False
    foreign = sum(not char.isascii() for char in text)
    return bits - (len(text) - foreign) * ASCII_BITS <= foreign * PLAUSIBLE_BITS


def _bits(text: str, candidate: _Candidate) -> float:
    text = unicodedata.normalize("NFC", text)  # macOS decomposes letters with accents
    if candidate.languages:
        return min(_language_bits(text, language) for language in candidate.languages)
    fewest = min(_language_bits(text, language) for language in _EVERY_LANGUAGE)
    if all(char.isascii() or ord(char) > 0x7FF for char in text):
        # Three bytes in another encoding are hardly ever valid UTF-8: letters of any language
        # count.
        return min(fewest, sum(_multibyte_bits(char) for char in text))
    return fewest


def _multibyte_bits(char: str) -> float:
    if char.isascii():
        return ASCII_BITS
    return _MULTIBYTE_BITS if _is_letter(char) or ord(char) > 0xFFFF else ABSURD_BITS


def _language_bits(text: str, language: str) -> float:
    """The cost in bits of a word in a language."""
    known = letters(language)
    total, before = 0.0, ""
    for char in text:
        if char.isascii():
            total += ASCII_BITS if char.isprintable() else ABSURD_BITS
        elif (bits := known.get(char)) is not None:
            total += bits
        else:
            total += RARE_BITS if char.isalpha() else ABSURD_BITS
        if before:
            total += _seam(before, char)
        before = char
    if text.startswith("ß"):
        total += _ACCENTS_BITS
    if language in _LATIN and not any(char.isascii() and char.isalpha() for char in text):
        total += _BARE_BITS
    return total


def _seam(before: str, after: str) -> float:
    """The cost in bits of two adjacent characters."""
    if not (_is_letter(before) and _is_letter(after)) or (before + after).isascii():
        return 0.0
    if after == "ß" and before not in _VOWELS:
        return _ACCENTS_BITS
    if _is_latin(before) != _is_latin(after):
        return _SWITCH_BITS
    if before.islower() and after.isupper():
        return _CASE_BITS
    both = not before.isascii() and not after.isascii()
    return _ACCENTS_BITS if both and _is_latin(before) and before != after else 0.0


def _is_letter(char: str) -> bool:
    return char.isalpha() or unicodedata.category(char)[0] == "M"


def _is_latin(char: str) -> bool:
    return char.isascii() or unicodedata.name(char, "").startswith("LATIN")

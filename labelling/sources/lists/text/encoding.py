"""Decode the text of a list, detecting its encoding or asking for it."""

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from labelling.labels.foreign_text import visible
from labelling.sources.doubt import Doubt
from labelling.sources.lists.list_format import ListRefusedError
from labelling.sources.lists.text.oddities import EAST_ASIAN, count_oddities, foreign_words

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks. That of UTF-32 begins like that of UTF-16, so it is checked first."""

_CANDIDATES = {
    "cp1252": "cp1252", "iso8859-1": "cp1252", "iso8859-15": "iso8859-15",
    "cp1250": "cp1250", "iso8859-2": "iso8859-2", "cp1251": "cp1251", "koi8-r": "koi8-r",
    "cp1253": "cp1253", "cp1254": "cp1254", "cp1255": "cp1255", "cp1256": "cp1256",
    "cp1257": "cp1257", "cp1258": "cp1258", "cp874": "cp874", "tis-620": "cp874",
    "mac-roman": "mac-roman", "cp437": "cp437", "cp850": "cp850", "cp852": "cp852",
    "cp866": "cp866", "gb18030": "gb18030", "gbk": "gb18030", "gb2312": "gb18030",
    "big5": "big5", "cp932": "cp932", "shift_jis": "cp932", "euc_jp": "euc_jp",
    "cp949": "cp949", "euc_kr": "cp949",
}  # fmt: skip
"""Encodings in which programs save tables, by Python's names, and the one that stands for each."""

_SAMPLE_BYTES = 1 << 16
_SHOWN_WORDS = 3
_SHOWN_READINGS = 6

_RARE = frozenset(
    ("cp1257", "cp1258", "cp874", "koi8-r", "cp866", "cp437", "cp850", "cp852", "mac-roman")
)
"""Rare encodings, which must not be chosen by chance."""

_CLOSE = 0.35
_CLOSE_IN_ASIA = 0.2
"""Shares of the best confidence from which on another reading is as good; the second is for two
East Asian encodings."""

_UTF8_LINES = 3

_NULLS = 0.2
"""The least share of null bytes among the second bytes of UTF-16: file names are mostly ASCII."""

_TELLING = 3
"""A reading with this many more oddities is wrong."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The text of a list.

    Attributes:
        text: the text, without byte order mark.
        encoding: the encoding used.
        warning: what was decided without asking.
        doubt: the question between equally good readings; ``text`` is that of the first answer.
    """

    text: str
    encoding: str
    warning: str | None = None
    doubt: Doubt | None = None


def decode_list(name: str, data: bytes, encoding: str | None = None) -> Decoded:
    """Decode a list.

    Args:
        name: of the list, for messages.
        data: its bytes.
        encoding: the encoding that the user named.

    Returns:
        The text, and what was not certain about it.

    Raises:
        ListRefusedError: it is not in the encoding named, or no text at all.
    """
    if encoding is not None:
        return Decoded(_decode_as(name, data, encoding), encoding)
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return Decoded(_decode_as(name, data, codec).removeprefix("\ufeff"), codec)
    if wide := _wide(data):
        return Decoded(wide[0], wide[1])
    if b"\0" in data:
        raise ListRefusedError(
            f"{name} holds null bytes: it is no text; save the table as CSV (UTF-8)"
        )
    try:
        return Decoded(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        return _by_its_words(name, data)


def _decode_as(name: str, data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        raise ListRefusedError(
            f"--encoding {encoding}: no encoding of this name; for example utf-8, cp1252, utf-16"
        ) from None
    except UnicodeError as error:
        at = error.start if isinstance(error, UnicodeDecodeError) else len(data)
        line = data.count(b"\n", 0, at) + 1
        raise ListRefusedError(
            f"{name}:{line} is not {encoding} (byte {at}: {data[at : at + 4]!r}); "
            "name another with --encoding, or save the file as UTF-8"
        ) from None


def _wide(data: bytes) -> tuple[str, str] | None:
    """Detect UTF-16 without a byte order mark: every second byte of its ASCII characters is
    null."""
    head = data[:_SAMPLE_BYTES]
    first, second = head[0::2].count(0), head[1::2].count(0)
    if (
        len(data) % 2
        or max(first, second) < _NULLS * len(head) / 2
        or 9 * min(first, second) > max(first, second)
    ):
        return None
    codec = "utf-16-be" if first > second else "utf-16-le"
    try:
        text = data.decode(codec)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else (text, codec)


# --- 8-bit encodings, which nothing in the file names ------------------------------------


@dataclass(frozen=True, slots=True)
class _Reading:
    """A decoded sample: ``confidence`` is chardet's, ``oddities`` the number of implausible
    features."""

    encoding: str
    confidence: float
    words: tuple[str, ...]
    oddities: int


def _by_its_words(name: str, data: bytes) -> Decoded:
    lines = _telling_lines(data)
    # Of readings with as few oddities, chardet's likeliest is first: sorting keeps the order.
    ranked = sorted(_readings(b"\n".join(lines)), key=lambda reading: reading.oddities)
    while ranked and not _decodes(data, ranked[0].encoding):
        ranked.pop(0)
    if not ranked:
        raise ListRefusedError(
            f"{name} is in an unknown encoding; save it as UTF-8, or name its encoding "
            "with --encoding"
        )
    best = ranked[0]
    _refuse_half_utf8(name, lines, best.encoding)
    # If several encodings give the same text, the most common one names it.
    order = list(_CANDIDATES.values())
    same = [reading.encoding for reading in ranked if reading.words == best.words]
    encoding = min((codec for codec in same if _decodes(data, codec)), key=order.index)
    text = data.decode(encoding)
    rivals = [
        reading
        for reading in ranked
        if reading.words != best.words
        and _may_be(reading, best)
        and _decodes(data, reading.encoding)
    ]
    if rivals:
        return Decoded(
            text, encoding, doubt=_doubt(name, [replace(best, encoding=encoding), *rivals])
        )
    shown = visible(", ".join(best.words[:_SHOWN_WORDS]))
    warning = f"not UTF-8; read as {encoding} ({shown}). If this is wrong, name it with --encoding"
    return Decoded(text, encoding, warning)


def _may_be(reading: _Reading, best: _Reading) -> bool:
    """Whether ``reading`` may be right instead of ``best``."""
    if reading.oddities != best.oddities:
        few = reading.oddities < best.oddities + _TELLING
        return few and reading.confidence > best.confidence
    # By chance, bytes seldom decode to frequent two-byte characters.
    if reading.encoding in EAST_ASIAN:
        asian = best.encoding in EAST_ASIAN
        return not asian or reading.confidence >= _CLOSE_IN_ASIA * best.confidence
    by_chance = best.encoding in _RARE and reading.encoding not in _RARE
    return by_chance or reading.confidence >= _CLOSE * best.confidence


def _refuse_half_utf8(name: str, lines: Sequence[bytes], encoding: str) -> None:
    """Refuse a list some of whose lines are UTF-8, and are implausible in the encoding of the
    others."""
    utf8 = [line for line in lines if _decodes(line, "utf-8")]
    text = "\n".join(line.decode(encoding, "replace") for line in utf8)
    # Text in another encoding is hardly ever valid UTF-8 in so many lines.
    many = len(utf8) >= _UTF8_LINES and 2 * len(utf8) >= len(lines)
    if not many and not count_oddities(foreign_words(text), encoding):
        return
    other = next((line for line in lines if line not in utf8), b"")
    raise ListRefusedError(
        f"{name} is UTF-8 in some lines ({visible(utf8[0].decode()[:60])}) and not in others "
        f"({other[:60]!r}): correct it, or give one encoding with --encoding"
    )


def _doubt(name: str, readings: Sequence[_Reading]) -> Doubt:
    answers: dict[tuple[str, ...], tuple[str, str]] = {}
    for reading in readings:
        shown = visible(", ".join(reading.words[:_SHOWN_WORDS]))
        answers.setdefault(reading.words, (f"--encoding {reading.encoding}", shown))
    return Doubt(
        f"{name} is not UTF-8, and more than one encoding fits. Which is it?",
        tuple(answers.values())[:_SHOWN_READINGS],
    )


def _telling_lines(data: bytes) -> list[bytes]:
    """The distinct lines of ``data`` that are not ASCII, up to the size of a sample."""
    taken: dict[bytes, None] = {}
    size = 0
    for line in data.replace(b"\r", b"\n").split(b"\n"):
        if line.isascii() or line in taken:
            continue
        taken[line] = None
        size += len(line) + 1
        if size > _SAMPLE_BYTES:
            break
    return list(taken)


def _readings(sample: bytes) -> Iterator[_Reading]:
    """All decodings of ``sample``, the most likely first."""
    import chardet

    guesses: dict[str, float] = {}
    for guess in chardet.detect_all(sample, ignore_threshold=True):
        try:
            codec = codecs.lookup(str(guess["encoding"])).name
        except LookupError:
            continue
        if stands := _CANDIDATES.get(codec):
            guesses.setdefault(stands, float(guess["confidence"]))
    for codec in _CANDIDATES.values():
        guesses.setdefault(codec, 0.0)
    for codec in sorted(guesses, key=lambda codec: -guesses[codec]):
        try:
            text = sample.decode(codec)
        except UnicodeDecodeError:
            continue
        words = tuple(dict.fromkeys(foreign_words(text)))
        yield _Reading(codec, guesses[codec], words, count_oddities(words, codec))


def _decodes(data: bytes, codec: str) -> bool:
    try:
        data.decode(codec)
    except UnicodeDecodeError:
        return False
    return True

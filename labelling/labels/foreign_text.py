"""Text from outside (labels, file names, annotators, error messages): escape it, and validate
labels."""

import re
import unicodedata

MAX_LABEL_CHARACTERS = 200
"""Characters of a label; longer ones do not fit tables, plots and buttons."""

MAX_LABEL_BYTES = 400
"""Bytes of a label in UTF-8, where a character has one to four."""

_JOINERS = "\u200c\u200d"
"""Persian and Indian words, and emoji of several parts, are written with these."""

_BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Fillers: letters and symbols by category, but invisible
(Default_Ignorable_Code_Point, and the blank of Braille)."""

_HIDDEN = frozenset({"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"})
"""Unicode categories of invisible characters: control characters, direction marks, line separators,
surrogates (https://www.unicode.org/reports/tr44/)."""

_TAGS = re.compile("[\U000e0020-\U000e007f\ufe00-\ufe0f]")
"""Parts of flags and of emoji styles: harmless, and visible as part of these."""

_STRAY = re.compile(
    f"^[{_JOINERS}]|[{_JOINERS}]$|(?<![\U0001f3f4\U000e0020-\U000e007e])[\U000e0020-\U000e007f]"
)
"""Joiners that join nothing, and tags without a flag: different labels with them look the same."""

_MODIFIERS = frozenset({"Cf", "Mn", "Me", "Zs"})
"""Categories of characters that modify another one, or are blank."""


def visible(text: str, *, lines: bool = False) -> str:
    r"""Write control and other hidden characters of ``text`` as escapes such as ``\x1b``.

    Args:
        text: any text.
        lines: whether line breaks stay.

    Returns:
        The text, safe to show in terminals and pages.
    """
    return "".join(
        char if not _is_hidden(char) or (lines and char == "\n") else _escaped(char)
        for char in text
    )


def label_flaw(label: str) -> str | None:
    """Why ``label`` is not a valid label under any schema; ``None`` if it is one."""
    if not label.strip():
        return "a label is empty"
    shown = visible(label if len(label) <= 40 else f"{label[:40]}…")
    hidden = next((char for char in label if _is_hidden(char)), None)
    if hidden is not None:
        return f"the label {shown!r} holds {_name(hidden)}; take it out"
    if stray := _STRAY.search(label):
        return f"the label {shown!r} holds {_name(stray[0])}; take it out"
    if all(unicodedata.category(char) in _MODIFIERS for char in label):
        return f"the label {shown!r} shows nothing ({shown!a}); give it a letter or a sign"
    size = len(label.encode("utf-8"))
    if len(label) > MAX_LABEL_CHARACTERS or size > MAX_LABEL_BYTES:
        return (
            f"the label {shown!r} has {len(label)} characters ({size} bytes); at most "
            f"{MAX_LABEL_CHARACTERS} characters and {MAX_LABEL_BYTES} bytes are taken: shorten it"
        )
    return None


def _is_hidden(char: str) -> bool:
    if char in _BLANKS:
        return True
    if char.isprintable() or char in _JOINERS:
        return False
    return unicodedata.category(char) in _HIDDEN and not _TAGS.match(char)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _name(char: str) -> str:
    if char in "\r\n\v\f\x85\u2028\u2029":
        return "a line break"
    kind = "a control character" if ord(char) < 0xA0 else "an invisible character"
    return f"{kind} ({_escaped(char)})"

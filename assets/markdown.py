"""Markdown for Dagster's pages, with all text from outside escaped.

Labels, file names, annotators' names and messages about them come from outside; an image or a
link in them would make the browser of the reader send requests.
"""

import re
from collections.abc import Iterable, Sequence

from labelling.labels.foreign_text import visible

# Inline markup (https://spec.commonmark.org/0.31.2/#inlines, and GitHub's ~), an underscore
# only at the edge of a word, and block markup at the beginning of a line.
_ACTIVE = re.compile(r"([\\`*\[\]<>!|&~])|(?<![^\W_])(_)|(_)(?![^\W_])")
_BLOCK = re.compile(r"^(\s*)(\d*)([#+\-=>.)])")

# Text that GitHub's dialect links without markup, even if its punctuation is escaped
# (https://github.github.com/gfm/#autolinks-extension-); an invisible word joiner prevents it.
_BARE_LINK = re.compile(r"\b(https?|ftp|www|mailto|xmpp)(?=[:.])|(?<=\S)(?=@)", re.IGNORECASE)
_JOINER = "\u2060"


class Markdown(str):
    """Text that is already Markdown and is not escaped again."""

    __slots__ = ()


def prose(text: str) -> Markdown:
    """Escape ``text`` so that Markdown shows it literally, on one line."""
    unlinked = _BARE_LINK.sub(lambda match: match[0] + _JOINER, visible(text))
    escaped = _ACTIVE.sub(r"\\\g<0>", unlinked)
    return Markdown(_BLOCK.sub(r"\1\2\\\3", escaped))


def code(text: str) -> Markdown:
    """Write ``text`` as a code span; :func:`table` escapes the pipes in it."""
    shown = visible(text)
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    # Markdown strips one space at either end; without it a backtick would join the fence.
    padding = " " if shown.startswith(("`", " ")) or shown.endswith(("`", " ")) or not shown else ""
    # The pipe is escaped in _cell: only in a table does it need it.
    return Markdown(f"{fence}{padding}{shown}{padding}{fence}")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Markdown:
    """Write a table.

    Args:
        columns: the header cells, not escaped.
        rows: the cells; text that is not ``Markdown`` is escaped.

    Returns:
        The table, without a trailing line break.
    """
    head = f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"
    lines = (f"| {' | '.join(map(_cell, row))} |" for row in rows)
    return Markdown("\n".join([head, *lines]))


def bullets(items: Iterable[str]) -> Markdown:
    """Write a bulleted list, one item a line; an item that is not ``Markdown`` is escaped."""
    return Markdown("\n".join(f"- {_inline(item)}" for item in items))


def _inline(value: object) -> str:
    return value if isinstance(value, Markdown) else prose(str(value))


def _cell(value: object) -> str:
    if isinstance(value, Markdown) and value.startswith("`"):
        return value.replace("|", "\\|")
    return _inline(value)

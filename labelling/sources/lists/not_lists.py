"""Texts that name images and are known to hold no labels: directory listings, chats."""

import re
from collections.abc import Sequence

_TIME = r"\d{1,2}[:.]\d{2}([:.]\d{2})?(\s?[AaPp]\.?\s?[Mm]\.?)?"
_DAY = r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}"
_KINDS = (
    (re.compile(r"[-dlbcps][-rwxsStT]{9}\S?\s"), "ls -l"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\s+\d+ \S"), "aws s3 ls"),
    (re.compile(rf"{_DAY}\s+{_TIME}\s+(<DIR>|[\d.,\u00a0\u202f]+)\s+\S"), "dir"),
    (re.compile(r"\d+\s+\d{2,4}-\d\d-\d\d \d\d:\d\d\s+\S"), "unzip -l"),
)
_CHAT = re.compile(rf"[\u200e\u200f]?\[?{_DAY},?\s{_TIME}\]?( -)?\s[^:]+: ")
_MOST = 0.5


def what_else(lines: Sequence[str]) -> str | None:
    """The kind of a text, if most of its lines are of a kind that is known to hold no labels.

    Args:
        lines: its first lines.
    """
    filled = [line.strip() for line in lines if line.strip()]
    for form, program in _KINDS:
        if sum(bool(form.match(line)) for line in filled) > _MOST * len(filled):
            return f"a listing of files (as of {program}), which holds no labels"
    # Messages may have several lines.
    if (
        filled
        and _CHAT.match(filled[0])
        and sum(bool(_CHAT.match(line)) for line in filled) > 0.3 * len(filled)
    ):
        return "a chat, which holds no labels"
    return None

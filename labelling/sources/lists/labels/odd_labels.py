"""Labels that look damaged by a program, or uncertain."""

import html
import re
from collections import Counter
from collections.abc import Collection, Mapping

from labelling.sources.containers.misread import misread

_ERROR = re.compile(r"#(REF|NAME|VALUE|DIV/0|NUM|NULL|SPILL|BEZUG|WERT|NOM)[!?]?$", re.IGNORECASE)
_FORMULA = re.compile(r'=("|[A-Z]+\()')
_OBJECT = re.compile(r"[{\[].*[\"'].*[}\]]$", re.DOTALL)
_DATE = re.compile(r"([A-Z][a-zäé]{2}\.?-\d{2}|\d{1,2}[-.] ?[A-Z][a-zäé]{2}\.?)$")
_ENTITY = re.compile(r"&#?\w+;")
_MARKS = " ?*!.~"
_HEDGES = (
    "maybe perhaps probably possibly likely unsure uncertain presumably vielleicht eventuell evtl "
    "wahrscheinlich vermutlich unsicher peut-être probablement incertain quizás probablemente "
    "forse probabilmente talvez provavelmente misschien możliwe возможно"
)
_HEDGE = "|".join(sorted(map(re.escape, [*_HEDGES.split(), "tal vez", "not sure"])))
_HEDGED = re.compile(
    rf"(?:({_HEDGE})[\s_:]+(?P<a>.+)|(?P<b>.+?)[\s_,]*[(\[{{]\s*({_HEDGE}|\?+)\s*[)\]}}]"
    rf"|(?P<c>.+?)[\s_,]+({_HEDGE}))",
    re.IGNORECASE,
)
_SIGNS = re.compile(
    r"\s*[/&+\\]\s*|\s+(?:and|or|und|oder|et|ou|y|e|o|og|och|vs\.?|with|mit)\s+", re.IGNORECASE
)


_SURENESS = re.compile(
    r"(?P<stem>.*[^\W\d_].*?)(?:[\s_,;]*(?P<sign>[:=@(\[{])\s*|[\s_,;-]+)"
    r"(?P<number>(?:100|\d{1,2})(?:[.,]\d+)?\s*%|0?[.,]\d+|1[.,]0+|100|\d{2})\s*[)\]}]?"
)
"""``cat 90%``, ``dog (0.87)``, ``cat: 90``: a label with a confidence."""


def odd_labels(labels: Collection[str]) -> Mapping[str, str]:
    """The labels of a list that are asked about, with the reason.

    Args:
        labels: all labels of the list.
    """
    found = {label: why for label in labels if (why := _why(label, labels))}
    found |= dict.fromkeys(_unsure(labels), "with a confidence?")
    dates = [label for label in labels if _DATE.match(label)]
    if len(dates) < len(labels):  # Excel turns MARCH1 into Mar-01, and leaves other words
        found.update(dict.fromkeys(dates, "a date, made by a spreadsheet from another word?"))
    return found


def _unsure(labels: Collection[str]) -> list[str]:
    """Labels that end in a confidence: of classes with several numbers, or of more than one
    class."""
    ends = {label: end for label in sorted(labels) if (end := _SURENESS.fullmatch(label))}
    # 10 and 20 may be counts; a share, or a number after a colon or in brackets, is not.
    shares = {label: end for label, end in ends.items() if not end["number"].isdigit()}
    signed = {label for label, end in ends.items() if end["sign"]}
    stems = Counter(_stem(end) for end in ends.values())
    plain = {label.casefold() for label in labels}
    if sum(label in signed or label in shares for label in ends) < len(ends):
        ends = shares
    if len(stems) == 1 and not stems.keys() & plain:
        return []  # milk 1.5%, milk 3.5%: variants of one thing
    is_pattern = (
        stems.keys() & plain or len(ends) == len(labels) or max(stems.values(), default=0) > 1
    )
    bracketed = [label for label in shares if label in signed]
    return list(ends) if is_pattern else bracketed


def _stem(end: re.Match[str]) -> str:
    return str(end["stem"]).strip().casefold()


_FORMS = (
    (_ERROR, "an error of a spreadsheet"),
    (_FORMULA, "a formula of a spreadsheet"),
    (_OBJECT, "an object or a list"),
)


def _why(label: str, labels: Collection[str]) -> str | None:
    if reason := next((why for form, why in _FORMS if form.match(label)), None):
        return reason
    if _ENTITY.search(label) and html.unescape(label) != label:
        return f"HTML for {html.unescape(label)}"
    if (meant := misread(label)) is not None:
        return f"{meant} in a wrong encoding" if meant else "damaged by a wrong encoding"
    if hedged := _HEDGED.fullmatch(label):
        stem = (hedged["a"] or hedged["b"] or hedged["c"]).strip()
        if stem in labels or hedged["c"] is None:
            return f"{stem}, with a word of uncertainty"
    parts = [part for part in _SIGNS.split(label) if part]
    if len(parts) > 1 and all(part in labels for part in parts):
        return f"several labels ({', '.join(parts)})?"
    stem = label.rstrip(_MARKS)
    return f"{stem} with a mark" if stem != label and stem in labels else None

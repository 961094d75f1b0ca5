"""Labels that look damaged, or unsure: what a program left behind, rather than what somebody wrote."""

import html
import re
from collections.abc import Collection, Mapping

from labelling.sources.misread import misread

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


def odd_labels(labels: Collection[str]) -> Mapping[str, str]:
    """Of the labels of a list those that are asked about, and why each.

    Args:
        labels: all of them.
    """
    found = {label: why for label in labels if (why := _why(label, labels))}
    dates = [label for label in labels if _DATE.match(label)]
    if len(dates) < len(labels):  # Excel makes Mar-01 of MARCH1, and leaves other words
        found.update(dict.fromkeys(dates, "a date, as spreadsheets make of other words?"))
    return found


_FORMS = (
    (_ERROR, "an error of a spreadsheet"),
    (_FORMULA, "a formula of a spreadsheet"),
    (_OBJECT, "an object or a list"),
)


def _why(label: str, labels: Collection[str]) -> str | None:
    if told := next((why for form, why in _FORMS if form.match(label)), None):
        return told
    if _ENTITY.search(label) and html.unescape(label) != label:
        return f"HTML for {html.unescape(label)}"
    if (meant := misread(label)) is not None:
        return f"{meant} in a wrong encoding" if meant else "damaged by a wrong encoding"
    if hedged := _HEDGED.fullmatch(label):
        stem = (hedged["a"] or hedged["b"] or hedged["c"]).strip()
        if stem in labels or hedged["c"] is None:
            return f"{stem}, with a word of doubt"
    parts = [part for part in _SIGNS.split(label) if part]
    if len(parts) > 1 and all(part in labels for part in parts):
        return f"several labels ({', '.join(parts)})?"
    stem = label.rstrip(_MARKS)
    return f"{stem} with a mark" if stem != label and stem in labels else None

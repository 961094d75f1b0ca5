"""Names with the date of the pictures, in any form: ``2019 Kroatien``, ``Alpen 07-2021``."""

import re

from labelling.sources.names.words import words

_Y = r"(?:19|20)\d\d"
_M = r"(?:0?[1-9]|1[0-2])"
_D = r"(?:0?[1-9]|[12]\d|3[01])"
_SEP = r"[-_. /]"
_YEARS_AT_FRONT = re.compile(rf"^[\[(]?{_Y}(-(?:{_Y}|\d\d))?[\])]?(?:\s*[-_.,:–—]\s*|\s+|年)(?=\D)")
_NUMBER_OF_MODEL = re.compile(r"\d\d|[^\W\d_]\d|\d[^\W\d_]")  # 1998 Porsche 911, 2001 BMW X5
_DATES = (
    re.compile(rf"(?<!\d){_Y}{_SEP}{_M}(?:{_SEP}{_D})?(?!\d)"),
    re.compile(rf"(?<!\d){_D}\.\s?{_M}\.\s?(?:{_Y}|\d\d)?(?!\d)"),
    re.compile(rf"(?<!\d){_D}(?P<s>[-_/]){_M}(?P=s)(?:{_Y}|\d\d)(?!\d)"),
    re.compile(rf"(?<!\d){_M}(?P<s>[-_/]){_D}(?P=s){_Y}(?!\d)"),
    re.compile(rf"(?<!\d)(?:0[1-9]|1[0-2]){_SEP}{_Y}(?!\d)"),
    re.compile(r"^\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?=[-_ .])"),
    re.compile(r"^\d\d(?P<s>[-_.])(?:0[1-9]|1[0-2])(?P=s)(?:0[1-9]|[12]\d|3[01])(?!\d)"),
    re.compile(r"(?<!\d)[‘’'´`]\d\d(?![\ds])"),
    re.compile(r"\d{1,4}\s?[年월月]\s?\d{0,2}|\d{4}\s?년"),
)
_YEAR = re.compile(rf"(?<!\d){_Y}(?!\d)")
_YEARS = re.compile(rf"(?<!\d){_Y}(\s?[-–/]\s?({_Y}|\d\d))?(?!\d)")
_MOST_WORDS = 3


def is_dated(name: str, months: frozenset[str]) -> bool:
    """Whether a name has a date, or a year at the front or beside a month.

    Args:
        name: of the folder.
        months: names of months and seasons, in the form of ``words``.
    """
    name = name.strip()
    if _year_in_front(name) or any(pattern.search(name) for pattern in _DATES):
        return True
    return bool(_YEAR.search(name)) and not months.isdisjoint(words(name))


def begins_with_date(name: str) -> bool:
    """Whether a name begins with a date or a year, and goes on."""
    name = name.strip()
    return _year_in_front(name) or any(pattern.match(name) for pattern in _DATES)


def _year_in_front(name: str) -> bool:
    found = _YEARS_AT_FRONT.match(name)
    return found is not None and not _NUMBER_OF_MODEL.search(name[found.end() :])


def has_year(name: str) -> bool:
    """Whether a name is a few words and a year: an album's (``Kroatien 2019``), or a product's."""
    name = name.strip()
    others = _YEARS.sub("", name)
    is_short = 0 < len(words(others)) <= _MOST_WORDS
    return bool(_YEAR.search(name)) and is_short and not any(map(str.isdigit, others))

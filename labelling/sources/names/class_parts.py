"""Folders named after a class and a part of its images: ``ok_batch1``, ``ok_batch2``, ``nok_batch1``."""

import re
from collections import Counter
from collections.abc import Collection, Mapping

from labelling.sources.names.words import folded

_PARTS = (
    "batch|batches|part|parts|fold|chunk|shard|subset|session|camera|cam|day|week|run|round|set|"
    "series|site|scene|video|clip|seq|sequence|subject|patient|user|person|lot|shift|station|"
    "machine|device|sensor|location|loc|room|plate|experiment|exp|trial|version|hospital|annotator|"
    "replicate|rep|scan|roll|take|charge|serie|lauf|kamera|tag|woche|teil|paket|schicht|messung|lote|"
    "lotto|dia|jour|giorno|sesion|sesión|partie|parte"
)
_SIGNS = r"[ _.\-]*"
_FORMS = (
    re.compile(rf"(?P<name>.+?)[ _.\-]+(?:{_PARTS}){_SIGNS}(?:\d+|[A-Za-z])", re.I),
    re.compile(rf"(?:{_PARTS}){_SIGNS}(?:\d+|[A-Z])[ _.\-]+(?P<name>.+)", re.I),
    re.compile(r"(?P<name>.*[^\W\d])[ _.\-]+(?:19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d"),
)


def classes_in_parts(names: Collection[str]) -> Mapping[str, str]:
    """The class by folder name, if all names consist of a class and a part, and at least one of
    several classes has several folders; else empty.

    Args:
        names: of folders beside one another.
    """
    spelled: dict[str, str] = {}
    found: dict[str, str] = {}
    parts = 0
    for name in names:
        match = next(filter(None, (form.fullmatch(name.strip()) for form in _FORMS)), None)
        parts += match is not None
        text = match["name"].strip(" _.-") if match else name
        found[name] = spelled.setdefault(folded(text), text)
    folders = Counter(found.values())
    # Two such names among many are a coincidence.
    is_rule = 2 * parts >= len(found) and any(count > 1 for count in folders.values())
    return found if is_rule and len(folders) > 1 else {}

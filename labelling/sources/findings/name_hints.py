"""A hint about labels in file names (``cat.17.jpg``), which are never read."""

import re
from collections import Counter
from collections.abc import Sequence

from labelling.sources.folders.names import kind_of
from labelling.sources.source_names import SourceNames

_FIRST_WORD = re.compile(r"([^\W\d_]{3,})[ ._\-]*\(?\d+\)?\.\w+$")
_OF_CAMERAS = {"img", "dsc", "dscn", "dscf", "pict", "pxl", "mvimg", "gopr", "screenshot", "scan"}
_MOST = 0.9
_CLASSES = 50


def classes_in_names(names: SourceNames) -> Sequence[str]:
    """A hint if nearly all file names consist of one of a few words and a number."""
    found: Counter[str] = Counter()
    for name in names.in_source():
        if match := _FIRST_WORD.match(name.rpartition("/")[2]):
            found[match[1].casefold()] += 1
    words = [word for word, count in found.items() if count > 1 and kind_of(word) == "name"]
    words = sorted(word for word in words if word not in _OF_CAMERAS)
    if not 1 < len(words) <= _CLASSES or sum(found[word] for word in words) < _MOST * len(names):
        return ()
    shown = ", ".join(words[:5]) + (" …" if len(words) > 5 else "")
    return [
        f"the names of the files begin with {shown}, which is not read as labels: put the images "
        "into a folder for each class, or write a CSV with the columns file,labels"
    ]

"""Detect a hierarchy of labels (``animal/dog``), which a flat classifier cannot learn."""

from collections import defaultdict
from collections.abc import Iterable

_SEPARATORS = ("->", "→", "::", ">", "/", "\\")


def hierarchy_in(labels: Iterable[str]) -> str | None:
    """A message that the labels are paths of a hierarchy, with the remedy; ``None`` if they are
    not.

    They are if most of them contain the same separator, and two of them have the same first part: a
    single ``n/a`` or ``T-shirt/top`` is a name.
    """
    distinct = sorted(set(labels))
    for separator in _SEPARATORS:
        children: dict[str, set[str]] = defaultdict(set)
        for label in distinct:
            parts = [part.strip() for part in label.split(separator)]
            if len(parts) > 1 and all(parts) and not _is_number(label):
                children[parts[0]].add(label)
        parted = sum(map(len, children.values()))
        shared = next((sorted(group) for group in children.values() if len(group) > 1), None)
        if shared and 2 * parted > len(distinct):
            last = shared[0].split(separator)[-1].strip()
            return (
                f"the labels are a hierarchy ({', '.join(shared[:3])}), and a model here has "
                f"classes of one level; write the wanted level ({last!r} for {shared[0]!r}), or "
                "one name for the whole path without the separator"
            )
    return None


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()

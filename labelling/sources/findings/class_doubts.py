"""Questions and notes about the classes of a source, from folders or lists."""

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from labelling.labels.form import look_alikes
from labelling.labels.known_classes import KnownClasses
from labelling.labels.typos import probable_typos
from labelling.sources.doubt import Doubt

_SHOWN = 5
COMMON = 1000
"""Images that a known class is taken to have: how many it has is not looked up here."""


def words_for_no_label(words: Sequence[str], known: KnownClasses) -> list[Doubt]:
    """A question about words in lists that may mean "no label", unless they are known classes."""
    new = [word for word in dict.fromkeys(words) if known.counts_as(word) not in known.labels]
    if not new:
        return []
    shown = ", ".join(map(repr, new[:5]))
    rest = "no labels; remove those lines, or empty their cells, to use the others"
    question = f"Is {shown} a class, or does it say that there is no label?"
    answers = (("--yes", "a class like the others"), ("--labels-from none", rest))
    return [Doubt(question, answers)]


def odd_classes(odd: Mapping[str, str], known: KnownClasses) -> list[Doubt]:
    """A question about labels in lists that look damaged, unless they are known classes."""
    new = [label for label in odd if known.counts_as(label) not in known.labels]
    if not new:
        return []
    shown = ", ".join(f"{label[:60]!r} ({odd[label]})" for label in new[:5])
    more = f" and {len(new) - 5} more" if len(new) > 5 else ""
    question = f"Are these labels right: {shown}{more}?"
    answers = (
        ("--yes", "they are classes as they are"),
        ("--labels-from none", "no labels; correct them in the list to use them"),
    )
    return [Doubt(question, answers)]


def look_alike_classes(words: Iterable[str], known: KnownClasses) -> tuple[Doubt, ...]:
    """A question about new classes that look like another one, new or known, and are probably the
    same."""
    new = {known.counts_as(word) for word in words}
    fresh = new - known.labels
    alike = [group for group in look_alikes({*new, *known.labels}, fresh) if group.is_doubt]
    if not alike:
        return ()
    groups = [f"{' / '.join(map(repr, group.labels))} ({group.reason})" for group in alike]
    more = f" and {len(groups) - 5} more" if len(groups) > 5 else ""
    keep = "each stays a class of its own; `imgclf labels merge` makes them one later"
    return (
        Doubt(
            f"Some classes look alike: {'; '.join(groups[:5])}{more}. Are they different?",
            (("--yes", keep), ("--labels-from none", "no labels; give them one name first")),
        ),
    )


def rare_spellings(labels: Mapping[str, tuple[str, ...]], known: KnownClasses) -> list[str]:
    """A note about rare new labels that are one letter from a commoner one, or from a known class.

    Args:
        labels: file to its labels.
        known: the classes that exist already; each of them counts as common.
    """
    images: Counter[str] = Counter()
    for kind, count in Counter(labels.values()).items():
        for label in {known.counts_as(label) for label in kind}:
            images[label] += count
    most = max(images.values(), default=0)
    found = probable_typos({**images, **dict.fromkeys(known.labels, COMMON + most)})
    found = [typo for typo in found if typo.label not in known.labels]
    if not found:
        return []
    shown = ", ".join(
        f"{typo.label!r} ({images[typo.label]}) beside {typo.meant!r}" for typo in found[:_SHOWN]
    )
    more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    merge = (
        f"imgclf labels merge {shlex.quote(found[0].label)} --into {shlex.quote(found[0].meant)}"
    )
    return [
        f"a label of few images is one letter from another: {shown}{more}. If it is a typing "
        f"error, merge them afterwards: {merge}"
    ]


def singular_and_plural(words: Iterable[str], known: KnownClasses) -> list[str]:
    """A note about classes that are singular and plural of one word.

    It is not a question: ``glass`` and ``glasses`` are different things, and classes can be merged
    later.
    """
    new = {known.counts_as(word) for word in words}
    fresh = new - known.labels
    pairs = [g.labels for g in look_alikes({*new, *known.labels}, fresh) if not g.is_doubt]
    if not pairs:
        return []
    shown = ", ".join(" and ".join(map(repr, labels)) for labels in pairs[:_SHOWN])
    more = f" and {len(pairs) - _SHOWN:,} more" if len(pairs) > _SHOWN else ""
    one, *others = sorted(pairs[0], key=len)
    merge = f"imgclf labels merge {shlex.join(others)} --into {shlex.quote(one)}"
    return [
        f"these are separate classes: {shown}{more} (singular and plural). If they are one class, "
        f"merge them afterwards: {merge}"
    ]

"""Compare the labels of lists with folders of classes."""

import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from labelling.sources.doubt import Doubt
from labelling.sources.folders.layouts import Layout
from labelling.sources.lists.files.families import families
from labelling.sources.names.words import folded

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Compared:
    """The result of a comparison: warnings or a question."""

    warnings: Sequence[str] = ()
    doubts: Sequence[Doubt] = ()


def compare_with_folders(
    lists: Sequence[str], labels: Mapping[str, tuple[str, ...]], layout: Layout
) -> Compared:
    """Compare labels of lists with those of folders, if both are clear.

    A list takes precedence if it agrees with the folders, with other spellings of some classes or
    with more labels. If not, one of them may not be classes, and names cannot tell which: codes and
    cameras may correspond one to one with the folders, too.

    Args:
        lists: their names.
        labels: their labels, by image.
        layout: what the folders say.
    """
    if layout.doubts or len({*layout.labels.values()}) < 2 or not labels:
        return Compared()
    pairs: Counter[tuple[tuple[str, ...], str]] = Counter()
    for file, given in labels.items():
        if (folder := layout.labels.get(file.rpartition("/")[0])) is not None and given:
            pairs[given, folder] += 1
    in_folders = sum(layout.counts[path] for path in layout.labels)
    if all(folder in given for given, folder in pairs) and pairs:
        return Compared(_more_in_folders(in_folders, pairs.total(), "the same labels"))
    if _is_renaming(pairs, in_folders) and any(spelled_alike(*names) for names in pairs):
        return Compared(_renamed(pairs, lists, in_folders))
    return Compared(doubts=(_question(pairs, lists, labels, layout),))


def spelled_alike(labels: tuple[str, ...], folder: str) -> bool:
    """Whether a label equals a folder name except for case, signs, leading numbers and an ending,
    as programs change names that a file system does not accept."""
    label, name = (
        "".join(filter(str.isalnum, folded(text))) for text in ("|".join(labels), folder)
    )
    if not label or label.isdigit() or name.isdigit():
        return not label or label == name
    label, name = label.lstrip("0123456789"), name.lstrip("0123456789")
    return label.startswith(name) or name.startswith(label)


def _is_renaming(pairs: Counter[tuple[tuple[str, ...], str]], in_folders: int) -> bool:
    """Whether each label corresponds to one folder; pairs that occur only once prove nothing."""
    seen_again = pairs.total() > len(pairs) or pairs.total() == in_folders
    return len(pairs) > 1 and seen_again and one_to_one(pairs)


def _renamed(
    pairs: Counter[tuple[tuple[str, ...], str]], lists: Sequence[str], in_folders: int
) -> list[str]:
    shown = [f"{'|'.join(given)} ({folder})" for given, folder in list(pairs)[:_SHOWN]]
    more = f" and {len(pairs) - _SHOWN:,} more" if len(pairs) > _SHOWN else ""
    note = (
        f"{names_in_short(lists)} and the folders name the classes differently, and the names of "
        f"the list are used: {', '.join(shown)}{more}; --labels-from parent uses those of the "
        "folders"
    )
    return [note, *_more_in_folders(in_folders, pairs.total(), "the same classes")]


def _more_in_folders(in_folders: int, in_lists: int, same: str) -> list[str]:
    if in_folders <= in_lists:
        return []
    return [
        f"the folders give {same}, and label {in_folders - in_lists:,} more images: "
        "--labels-from parent uses theirs"
    ]


def _question(
    pairs: Counter[tuple[tuple[str, ...], str]],
    lists: Sequence[str],
    labels: Mapping[str, tuple[str, ...]],
    layout: Layout,
) -> Doubt:
    names = names_in_short(lists)
    if pairs:
        by_folder = [
            f"{'|'.join(in_list)} in {folder}/ ({count:,})"
            for (in_list, folder), count in pairs.most_common(_SHOWN)
        ]
        more = " …" if len(pairs) > _SHOWN else ""
        how = (
            "name the classes differently" if _is_renaming(pairs, 0) else "label images differently"
        )
        question = f"{names} and the folders {how} ({', '.join(by_folder)}{more})"
    else:
        question = f"{names} labels only images outside the class folders"
    counts = Counter(label for in_list in labels.values() for label in in_list)
    shown = [f"{label} ({count:,})" for label, count in counts.most_common(_SHOWN)]
    classes = f"classes: {', '.join(shown)}{' …' if len(counts) > _SHOWN else ''}"
    option = f"--labels-from {lists[0]}" if len(lists) == 1 else "--yes"
    answers = ((option, f"as in the list, {classes}"), ("--labels-from parent", layout.counted()))
    return Doubt(f"{question}: which are right?", answers)


def offer_folders(doubts: Sequence[Doubt], layout: Layout) -> list[Doubt]:
    """``doubts`` about lists, with the classes of the folders as an additional answer."""
    if layout.doubts or not layout.labels:
        return [*doubts]
    found = []
    for doubt in doubts:
        offered = [option for option, _ in doubt.answers]
        about_labels = any(option.startswith(("--columns", "--labels-from")) for option in offered)
        answers = doubt.answers
        if about_labels and "--labels-from parent" not in offered:
            answers = (*answers, ("--labels-from parent", layout.counted()))
        found.append(Doubt(doubt.question, answers))
    return found


def offer_lists(doubts: Sequence[Doubt], clear: Sequence[str]) -> list[Doubt]:
    """``doubts`` about lists, with unambiguous lists as additional answers."""
    found = []
    for doubt in doubts:
        offered = {option for option, _ in doubt.answers}
        more = list_answers(clear)[:_SHOWN]
        answers = [*doubt.answers, *(each for each in more if each[0] not in offered)]
        # "No labels" stays the last answer.
        answers.sort(key=lambda answer: answer[0] == "--labels-from none")
        found.append(Doubt(doubt.question, tuple(answers)))
    return found


def offer_beside(doubts: Sequence[Doubt], lists: Sequence[str]) -> list[Doubt]:
    """``doubts`` about folders, with the texts that give labels as additional answers."""
    return offer_lists(doubts, lists) if lists else [*doubts]


def list_answers(lists: Sequence[str]) -> list[tuple[str, str]]:
    """Lists as answers to a question; those that differ only in the split as one answer."""
    return [
        (
            f"--labels-from {shlex.quote(named)}",
            "this list, and no other" if len(those) == 1 else f"only {names_in_short(those)}",
        )
        for named, those in families(lists).items()
    ]


def one_to_one(pairs: Collection[tuple[object, object]]) -> bool:
    """Whether no value on one side occurs with two on the other."""
    return len({a for a, _ in pairs}) == len(pairs) == len({b for _, b in pairs})


def names_in_short(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more

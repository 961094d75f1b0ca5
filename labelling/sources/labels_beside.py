"""Labels in a file beside each image, in a source with a list of labels: the list takes
precedence."""

from collections.abc import Mapping, Sequence

from labelling.sources.doubt import Doubt
from labelling.sources.lists.files.finder import folder_of
from labelling.sources.lists.list_format import ListReading
from labelling.sources.lists_and_folders import one_to_one

BEHIND_A_LIST = "labels in a file beside each image, which are not read where a list gives labels"

Lists = Sequence[tuple[str, ListReading]]

_SHOWN = 3


def set_apart(lists: Lists) -> tuple[Lists, Lists]:
    """The lists to read, and the files beside images that are not read."""
    beside = [each for each in lists if each[1].beside]
    others = [each for each in lists if not each[1].beside]
    labelled = any(r.doubts or any(item.labels for item in r.statements) for _, r in others)
    return (others, beside) if beside and labelled else (lists, [])


def compare_with_beside(
    lists: Lists, labels: Mapping[str, tuple[str, ...]], beside: Lists
) -> list[Doubt]:
    """Compare lists with the labels in files beside the images.

    Args:
        lists: the lists that were read.
        labels: their labels, by image.
        beside: the files that were set apart.

    Returns:
        The question which are right; empty if the classes of both correspond one to one, and no
        file beside an image labels more than the lists.
    """
    pairs: set[tuple[object, object]] = set()
    for name, reading in beside:
        for item in reading.statements:
            folder = folder_of(name)
            pairs.add((labels.get(f"{folder}/{item.file}" if folder else item.file), item.labels))
    if None not in {given for given, _ in pairs} and one_to_one(pairs):
        return []
    question = (
        f"{beside[0][0]} and {len(beside) - 1:,} more files beside images label them differently "
        f"than {lists[0][0]}, or label more. Which are right? If the files beside images are, "
        "remove the list"
    )
    given = [
        (f"--labels-from {name}", "this list, and no other")
        for name, reading in lists
        if any(item.labels for item in reading.statements)
    ]
    none = ("--labels-from none", "the images are ingested without labels")
    return [Doubt(question, (*given[:_SHOWN], none))]

"""Questions about which column of a table names the images or the labels."""

from labelling.labels.foreign_text import visible
from labelling.sources.doubt import Doubt
from labelling.sources.lists.columns.column_facts import ColumnFacts
from labelling.sources.lists.columns.values import shown_classes

MOST_ANSWERS = 6


def which_file(facts: ColumnFacts, files: list[int], labels: list[int]) -> Doubt:
    """Build the question which column names the images.

    Args:
        facts: of the table.
        files: numbers of the columns that may name images.
        labels: numbers of the columns that may hold labels; each answer has the first.

    Returns:
        The question with its answers.
    """
    answers = [
        (facts.titled.option(at, label), f"images: {visible(', '.join(facts.values[at][:2]))}")
        for at in files[:MOST_ANSWERS]
        for label in labels[:1]
    ]
    answers.append(("--labels-from none", "no labels"))
    return Doubt(f"Which column of {facts.table.name} names the images?", tuple(answers))


def which_label(facts: ColumnFacts, file: int, choice: list[int]) -> Doubt:
    """Build the question which column holds the labels.

    Args:
        facts: of the table.
        file: number of the column that names the images.
        choice: numbers of the columns that may hold labels.

    Returns:
        The question with its answers.
    """
    answers = [
        (facts.titled.option(file, at), shown_classes(facts.values[at]))
        for at in choice[:MOST_ANSWERS]
    ]
    question = f"Which column of {facts.table.name} holds the labels?"
    if facts.are_levels(choice):
        question = (
            f"The columns {facts.titled.all_of(choice)} of {facts.table.name} are levels of a "
            "hierarchy, and a model here has classes of one level: which one?"
        )
    elif facts.task == "multi_label":
        whole = facts.titled.several(file, choice)
        answers.append((whole, "several labels for an image, those of all these columns"))
    return Doubt(question, tuple(answers))

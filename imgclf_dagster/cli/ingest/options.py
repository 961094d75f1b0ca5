"""Parse the options of ``imgclf ingest`` that say how to read a source, and answers to doubts."""

import csv
import shlex
from collections.abc import Sequence
from dataclasses import replace

import typer

from labelling.labels.foreign_text import label_flaw
from labelling.labels.form import normal_label
from labelling.sources.doubt import Doubt
from labelling.sources.reading import ReadingOptions

YES = "--yes"
NAME = "NAME"
"""Placeholder in an answer for a name that the user has to give."""


def parsed_columns(given: str | None) -> tuple[str, ...] | None:
    """Parse ``--columns``: names or numbers of columns, separated by commas; ``None`` if not given.

    The first is the column of images, the others are columns of labels. A name with a comma is
    quoted, as in CSV.

    Raises:
        typer.BadParameter: there are fewer than two, or one is empty.
    """
    if given is None:
        return None
    names = [name.strip() for name in next(csv.reader([given]), [])]
    if len(names) < 2 or not all(names):
        raise typer.BadParameter(
            f"{given!r} are not two columns; give the one with images and the one with labels: "
            "--columns filename,species, or their numbers: --columns 1,3. Several columns of "
            "labels: --columns filename,tag1-tag3"
        )
    return tuple(names)


def parsed_class(given: str | None) -> str | None:
    """Return a class name in its normal form; ``None`` if not given.

    Raises:
        typer.BadParameter: it cannot be a class name.
    """
    if given is None:
        return None
    label = normal_label(given)
    if flaw := label_flaw(label):
        raise typer.BadParameter(flaw)
    return label


def with_answer(options: ReadingOptions, answer: str) -> ReadingOptions:
    """Return the options with an answer to a doubt, such as ``--labels-from parent``, applied.

    Raises:
        typer.BadParameter: the answer has an invalid value, or an option that cannot be applied
            here.
    """
    words = shlex.split(answer)
    for option, value in zip(words[::2], words[1::2], strict=True):
        if option == "--columns":
            options = replace(options, columns=parsed_columns(value))
        elif option == "--as-class":
            options = replace(options, as_class=parsed_class(value), labels_from=None, columns=None)
        elif option == "--encoding":
            options = replace(options, encoding=value)
        elif option == "--labels-from":
            read = value not in ("parent", "top", "path", "none")  # then it names a list
            options = replace(options, labels_from=value, columns=options.columns if read else None)
        else:
            raise typer.BadParameter(f"{answer}: stop here and give this option")
    return options


def undecided(doubts: Sequence[Doubt], *, yes: bool) -> list[Doubt]:
    """Return the doubts that are still open, without those that ``--yes`` settles if it is given."""
    return [doubt for doubt in doubts if not (yes and settled_by_yes(doubt))]


def settled_by_yes(doubt: Doubt) -> bool:
    """Whether ``--yes`` is one of the answers to a doubt."""
    return any(option == YES for option, _ in doubt.answers)

"""A label at the head of each block of lines, as spreadsheets save merged cells: never negatives."""

import pytest

from labelling.sources.doubt import Doubt
from labelling.sources.reading import ReadingOptions
from tests.unit.labelling.sources.lists_of_tests import ListedSource, labels

pytestmark = pytest.mark.unit

MANY = tuple(f"{at:02}.jpg" for at in range(24))
TASKS = ("single_label", "multi_label")


def table(cells: list[str], more: str = "") -> str:
    rows = [f"{cell};{name}{more}\n" for name, cell in zip(MANY, cells, strict=False)]
    return "".join([f"Klasse;Datei{more and ';Los'}\n", *rows])


def doubts(data: str, **options) -> list[Doubt]:
    return list(ListedSource({"l.csv": data}, MANY, ReadingOptions(**options)).read("l.csv").doubts)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "blocks",
    [
        [("Riss", 8), ("Pore", 8), ("OK", 8)],
        [("Riss", 20), ("OK", 4)],
        [("Riss", 3), ("Pore", 9), ("Riss", 5), ("OK", 6), ("Pore", 1)],
    ],
)
def test_blanks_below_each_label_are_asked_about(task: str, blocks: list) -> None:
    cells = [cell for label, size in blocks for cell in (label, *[""] * (size - 1))]
    data = table(cells)
    (doubt,) = doubts(data, task=task)
    assert "as a spreadsheet saves merged cells" in doubt.question
    blank = 24 - len(blocks)
    meaning = (
        "negatives, to which no label applies" if task == "multi_label" else "not labelled yet"
    )
    assert doubt.answers == (
        ("--columns Datei,Klasse", f"the {blank} are {meaning}"),
        ("--labels-from none", "no labels"),
    )
    reported = labels(data, *MANY, name="l.csv", task=task, columns=("Datei", "Klasse"))
    assert [label for label in reported.values() if label] == [label for label, _ in blocks]


def test_many_blocks_of_which_some_are_of_one_line() -> None:
    images = tuple(f"{at:03}.jpg" for at in range(3_000))
    sizes = [1 if at % 9 == 0 else 3 for at in range(1_000)]
    cells = [cell for at, size in enumerate(sizes) for cell in (f"c{at % 7}", *[""] * (size - 1))]
    data = "".join(f"{name},{cell}\n" for name, cell in zip(images, cells, strict=False))
    reading = ListedSource({"l.csv": "file,label\n" + data}, images).read("l.csv")
    assert "merged cells" in reading.doubts[0].question


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "cells",
    [
        ["a", "b", "a", "b", *[""] * 20],  # begun
        ["", "a", *["", "", "a"] * 7, "b"],  # here and there, and not at the head
        ["a", "b", "", "a", "b", "", *["a", "b"] * 9],  # some are missing
        ["a", *["b"] * 22, ""],
    ],
)
def test_other_blanks_are_what_they_were(task: str, cells: list[str]) -> None:
    assert doubts(table(cells), task=task) == []


def test_one_label_and_nothing_below_it() -> None:
    data = table(["a", *[""] * 23])
    assert doubts(data) == []
    assert "merged cells" in doubts(data, task="multi_label")[0].question

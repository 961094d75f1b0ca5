"""Columns that say how often each class is there: offered together, so that none is lost."""

import pytest

from labelling.sources.lists.list_format import ListRefusedError
from labelling.sources.reading import ReadingOptions
from tests.unit.labelling.sources.lists_of_tests import ListedSource, labels

pytestmark = pytest.mark.unit

MANY = tuple(f"{at:02}.jpg" for at in range(24))


def table(header: str, *columns: tuple) -> str:
    rows = [
        ",".join([image, *(str(column[at % len(column)]) for column in columns)])
        for at, image in enumerate(MANY)
    ]
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize(
    ("header", "option"),
    [("file,cats,dogs,birds", "file,cats-birds"), ("file,Katzen,Hunde,Vögel", "file,Katzen-Vögel")],
)
def test_counts_are_offered_together_and_read_as_yes(header: str, option: str) -> None:
    data = table(header, (0, 2, 1), (1, 0), (1, 0, 0, 0, 0))
    (doubt,) = (
        ListedSource({"l.csv": data}, MANY, ReadingOptions(task="multi_label")).read("l.csv").doubts
    )
    answers = dict(doubt.answers)
    assert answers[f"--columns {option}"].startswith("3 classes: ")
    reported = labels(
        data, *MANY, name="l.csv", task="multi_label", columns=tuple(option.split(","))
    )
    cats, dogs, birds = header.split(",")[1:]
    assert reported[MANY[0]] == f"{dogs}|{birds}"
    assert reported[MANY[1]] == cats
    assert reported[MANY[3]] == ""


def test_numbers_of_something_else_are_no_counts() -> None:
    data = table("file,weight,cat,dog", (1.5, 2, 0), (1, 0), (1, 1, 0))
    with pytest.raises(ListRefusedError, match="does not hold only 0 and 1"):
        labels(data, *MANY, name="l.csv", task="multi_label", columns=("file", "weight-dog"))


@pytest.mark.parametrize("title", ["n", "frame", "content.n", "verified_by_two"])
def test_one_column_of_1_for_every_image_is_no_class_beside_labels(title: str) -> None:
    data = table(f"file,animal,{title}", ("cat", "dog"), (1,))
    for task in ("single_label", "multi_label"):
        assert labels(data, *MANY, name="l.csv", task=task)[MANY[1]] == "dog"

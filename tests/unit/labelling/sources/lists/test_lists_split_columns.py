"""Columns of a table that say the split of an image: never classes, and not lost without a word."""

import pytest

from labelling.sources.lists.list_format import ListReading
from labelling.sources.reading import ReadingOptions
from tests.unit.labelling.sources.lists_of_tests import ListedSource

pytestmark = pytest.mark.unit

MANY = tuple(f"{at:02}.jpg" for at in range(24))


def source(header: str, *columns, **options) -> ListedSource:
    rows = [
        ",".join([image, *(str(column[at % len(column)]) for column in columns)])
        for at, image in enumerate(MANY)
    ]
    data = "\n".join([header, *rows]) + "\n"
    return ListedSource({"l.csv": data}, MANY, ReadingOptions(**options))


def read(header: str, *columns, **options) -> ListReading:
    reading = source(header, *columns, **options).read("l.csv")
    assert reading is not None
    return reading


def splits(header: str, *columns, **options) -> list[str | None]:
    found = source(header, *columns, **options).match()
    assert {label for text in found.labels.values() for label in text} <= {"cat", "dog", "bird"}
    return [found.splits.get(image) for image in MANY[:4]]


PETS = ("cat", "dog")
ONE_HOT = ((1, 0, 1), (0, 1, 1))


@pytest.mark.parametrize(
    ("title", "values", "expected"),
    [
        ("is_test", (1, 0, 0, 0), ["test", "train", "train", "train"]),
        ("isTest", ("TRUE", "FALSE"), ["test", "train", "test", "train"]),
        ("is_train", (1, 1, 0), ["train", "train", "test", "train"]),
        ("is_training_image", (1, 0), ["train", "test", "train", "test"]),
        ("used for validation", ("x", "", ""), ["val", "train", "train", "val"]),
        ("is_valid", ("True", "False", "False"), ["val", "train", "train", "val"]),
        ("test_set", ("yes", "no"), ["test", "train", "test", "train"]),
        ("test", (0, 0, 1), ["train", "train", "test", "train"]),
        ("ist Test", ("ja", "nein"), ["test", "train", "test", "train"]),
        ("es_prueba", ("sí", "no"), ["test", "train", "test", "train"]),
        ("partition", (0, 0, 1, 2), ["train", "train", "val", "test"]),
        ("set", ("T", "T", "V", "E"), ["train", "train", "val", "test"]),
        ("split", ("tr", "te"), ["train", "test", "train", "test"]),
    ],
)  # fmt: skip
def test_a_column_says_splits_beside_labels(title: str, values: tuple, expected: list[str]) -> None:
    assert splits(f"file,label,{title}", PETS, values) == expected


@pytest.mark.parametrize("title", ["is_test", "is_train", "in_val", "Test-Set", "isTest"])
@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_a_flag_of_a_split_is_no_class(title: str, task: str) -> None:
    either = ((1, 0), (0, 1))
    found = source(f"file,cat,dog,{title}", *either, (1, 0, 0), task=task).match()
    assert found.labels[MANY[0]] == ("cat",)
    assert set(found.splits.values()) <= {"train", "val", "test"}
    assert len(set(found.splits.values())) == 2


def test_several_flags_are_splits_if_no_image_is_in_two() -> None:
    header = "file,cat,dog,train,val,test"
    flags = ((1, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
    options = {"task": "multi_label"}
    assert splits(header, *ONE_HOT, *flags, **options) == ["train", "train", "val", "test"]
    flags = ((1, 0, 0, 0), (0, 0, 1, 0))
    header = "file,cat,dog,is_train,is_test"
    assert splits(header, *ONE_HOT, *flags, **options) == ["train", "val", "test", "val"]


@pytest.mark.parametrize("title", ["train", "val", "test", "prueba"])
def test_a_class_may_be_called_like_a_split(title: str) -> None:
    """A train is a vehicle: both readings are offered, and each is what it says."""
    columns = (*ONE_HOT, (1, 0, 0, 0))
    header = f"file,cat,bird,{title}"
    (doubt,) = read(header, *columns, task="multi_label").doubts
    assert f"{title} is called like a split" in doubt.question
    options = [option.removeprefix("--columns ") for option, _ in doubt.answers]
    assert options == ["file,cat-bird", f"file,cat-{title}", "--labels-from none"]
    for option in options[:2]:
        notes = read(header, *columns, task="multi_label", columns=tuple(option.split(",")))
        texts = {label for item in notes.statements for label in item.labels or ()}
        assert texts == {"cat", "bird", title} - ({title} if option == options[0] else set())


@pytest.mark.parametrize("values", [(0, 1, 2, 3, 4), ("A", "B"), (0, 1)])
@pytest.mark.parametrize("title", ["fold", "partition", "subset"])
def test_a_column_of_splits_that_is_not_understood_is_reported(title: str, values: tuple) -> None:
    reading = read(f"file,label,{title}", PETS, values)
    assert any(f"the column {title} has a name of splits" in w for w in reading.warnings)
    assert splits(f"file,label,{title}", PETS, values) == [None] * 4


def test_valid_of_most_lines_says_which_count() -> None:
    """fastai's ``is_valid`` is true of the validation set, which is the smaller part."""
    (doubt,) = read("file,label,is_valid", PETS, ("True", "True", "True", "False")).doubts
    assert "which lines count" in doubt.question
    (doubt,) = read("file,label,valid", PETS, ("True", "False", "False")).doubts
    assert "which lines count" in doubt.question


def test_one_of_several_columns_applies_and_another_beside_them() -> None:
    """In single_label, what is offered names the columns of classes."""
    columns = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0, 0), (1, 0, 0, 0, 0))
    header = "file,cat,dog,bird,is_train,flash"
    for task in ("single_label", "multi_label"):
        (doubt,) = read(header, *columns, task=task).doubts
        assert "exactly one applies to each image" in doubt.question
        assert doubt.answers[0][0] == "--columns file,cat-bird"
        reported = source(header, *columns, task=task, columns=("file", "cat-bird")).match()
        assert [reported.labels[image] for image in MANY[:3]] == [("cat",), ("dog",), ("bird",)]
        assert reported.splits[MANY[0]] == "train"


def test_classes_of_which_some_exclude_one_another_are_classes() -> None:
    """The weather of satellite pictures, and what is seen on them."""
    columns = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0, 0), (1, 0, 0, 0, 0), (1, 0))
    reading = read("file,clear,haze,cloudy,road,water,field", *columns, task="multi_label")
    assert not reading.doubts


@pytest.mark.parametrize("title", ["sum", "total", "Summe"])
def test_a_row_of_sums_is_named_where_images_are_called_like_numbers(title: str) -> None:
    images = tuple(f"{at}.jpg" for at in range(24))
    rows = "".join(f"{name},{at % 2},{1 - at % 2},1\n" for at, name in enumerate(images))
    data = f"file,cat,dog,{title}\n{rows}TOTAL,12,12,24\n"
    reading = ListedSource({"l.csv": data}, images).read("l.csv")
    assert not reading.doubts
    assert [item.labels for item in reading.statements[:2]] == [("dog",), ("cat",)]
    assert [item.name for item in reading.rejections] == ["l.csv:26"]

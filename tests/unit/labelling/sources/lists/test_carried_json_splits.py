"""Splits in JSON are splits, not classes."""

import json

import pytest

from labelling.sources.lists.json_lists import JsonLists
from labelling.sources.lists.list_format import ListFile, ListReading, ListRefusedError
from labelling.sources.reading import ReadingOptions
from tests.carried import around
from tests.unit.labelling.sources.lists_of_tests import ListedSource

pytestmark = pytest.mark.unit


def read(
    value: object, name: str = "x.json", options: ReadingOptions | None = None
) -> ListReading | None:
    files = around("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    file = ListFile(name, json.dumps(value).encode())
    return JsonLists().read(file, options or ReadingOptions(), files)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
@pytest.mark.parametrize(
    "value",
    [
        {"train": ["a.jpg", "b.jpg"], "val": ["c.jpg"], "test": ["d.jpg"]},
        {"training": ["a", "b"], "validation": ["c"], "testing": ["d"]},
        {"Train": ["a.jpg", "b.jpg"], "Dev": ["c.jpg"], "Holdout": ["d.jpg"]},
        {"a.jpg": "train", "b.jpg": "train", "c.jpg": "val", "d.jpg": "test"},
        {"a": "trn", "b": "trn", "c": "valid", "d": "tst"},
        {"version": {}, "splits": {"a.jpg": "train", "b.jpg": "train", "c": "val", "d": "test"}},
        {"splits": {"train": ["a.jpg", "b.jpg"], "val": ["c.jpg"], "test": ["d.jpg"]}},
    ],
)
def test_splits_alone_are_no_classes(value: object, task: str) -> None:
    found = read(value, options=ReadingOptions(task=task))
    assert found is not None
    assert {item.file[0]: (item.labels, item.split) for item in found.statements} == {
        "a": (None, "train"),
        "b": (None, "train"),
        "c": (None, "val"),
        "d": (None, "test"),
    }
    assert not found.names_only
    assert "no labels" in found.understood


def test_labels_above_splits_are_read_with_them() -> None:
    value = {"cat": {"train": ["a.jpg"], "test": ["b.jpg"]}, "dog": {"train": ["c.jpg", "d.jpg"]}}
    found = read(value)
    assert found is not None
    assert {item.file: (item.labels, item.split) for item in found.statements} == {
        "a.jpg": (("cat",), "train"),
        "b.jpg": (("cat",), "test"),
        "c.jpg": (("dog",), "train"),
        "d.jpg": (("dog",), "train"),
    }


@pytest.mark.parametrize(
    "splits",
    [
        {"train": ["a.jpg", "b.jpg", "c.jpg"], "test": ["d.jpg"]},
        {"a.jpg": "train", "b.jpg": "train", "c.jpg": "train", "d.jpg": "test"},
    ],
)
def test_they_go_with_the_labels_of_another_list(splits: object) -> None:
    labels = {"a.jpg": {"class": "cat", "by": "x"}, "d.jpg": {"class": "dog", "by": "x"}}
    source = ListedSource({"labels.json": json.dumps(labels), "s.json": json.dumps(splits)})
    matching = source.match()
    assert matching.labels == {"a.jpg": ("cat",), "d.jpg": ("dog",)}
    assert (matching.splits["a.jpg"], matching.splits["d.jpg"]) == ("train", "test")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({"train": ["a.jpg"], "test": ["b.jpg"], "unlabeled": ["c.jpg", "d.jpg"]}, "x.json"),
        ({"a.jpg": "train", "b.jpg": "test", "c.jpg": "cat"}, "x.json"),
        ({"0": ["a.jpg", "b.jpg"], "1": ["c.jpg", "d.jpg"]}, "folds.json"),
        ({"a.jpg": 0, "b.jpg": 1, "c.jpg": 2, "d.jpg": 0}, "split.json"),
    ],
)
def test_what_may_be_either_is_refused_and_the_option_reads_labels(
    value: object, name: str
) -> None:
    with pytest.raises(ListRefusedError, match=f"--labels-from {name}"):
        read(value, name)
    notes = read(value, name, ReadingOptions(labels_from=name))
    assert notes is not None
    assert all(item.labels for item in notes.statements)


def test_a_class_may_be_called_as_a_split_is_beside_others() -> None:
    found = read({"train": ["a.jpg"], "car": ["b.jpg"], "tram": ["c.jpg"]})
    assert found is not None
    assert {item.labels for item in found.statements} == {("train",), ("car",), ("tram",)}


def test_several_ways_to_deal_are_refused() -> None:
    fold = {"train": ["a.jpg", "b.jpg"], "val": ["c.jpg"]}
    with pytest.raises(ListRefusedError, match="in 2 ways"):
        read({"fold_0": fold, "fold_1": {"train": ["b.jpg", "c.jpg"], "val": ["a.jpg"]}})

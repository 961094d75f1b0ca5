"""Folders called as partitions of a table are: ``split=train/label=cat``."""

import pytest

from labelling.sources.folders.layouts import Layout, read_layout
from labelling.sources.reading import ReadingOptions

pytestmark = pytest.mark.unit


def layout(folders: str, **options: str) -> Layout:
    """One image in each folder."""
    names = [f"{folder}/1.jpg" for folder in folders.split()]
    return read_layout(names, ReadingOptions(**options))


@pytest.mark.parametrize(
    "key", ["label", "class", "category", "species", "Class_Name", "diagnosis"]
)
@pytest.mark.parametrize("options", [{}, {"labels_from": "parent"}])
def test_a_column_of_classes_gives_the_class(key: str, options: dict[str, str]) -> None:
    found = layout(f"{key}=cat {key}=red%20fox", **options)
    assert found.doubts == ()
    assert found.labels == {f"{key}=cat": "cat", f"{key}=red%20fox": "red fox"}


@pytest.mark.parametrize("key", ["split", "subset", "set", "fold", "Partition"])
def test_a_column_of_splits_gives_the_split(key: str) -> None:
    found = layout(f"{key}=train/label=a {key}=valid/label=b {key}=test/label=a")
    assert found.doubts == ()
    assert set(found.splits.values()) == {"train", "val", "test"}
    assert set(found.labels.values()) == {"a", "b"}


def test_names_of_classes_are_what_the_column_says_that_they_are() -> None:
    assert set(layout("label=train label=2024 label=images").labels.values()) == {"train", "2024", "images"}  # fmt: skip


@pytest.mark.parametrize("order", ["{other}/label={label}", "label={label}/{other}"])
def test_other_columns_are_passed_over_beside_a_class_and_told(order: str) -> None:
    paths = [order.format(other=o, label=c) for o in ("site=a", "site=b") for c in ("cat", "dog")]
    found = layout(" ".join(paths))
    assert (found.doubts, set(found.labels.values())) == ((), {"cat", "dog"})
    assert any("site=a/" in text and "are ignored" in text for text in found.warnings)


@pytest.mark.parametrize("folders", ["year=2023 year=2024", "site=a site=b"])
def test_other_columns_alone_are_asked_about(folders: str) -> None:
    (doubt,) = layout(folders).doubts
    assert {"--labels-from parent", "--labels-from none"} <= dict(doubt.answers).keys()


def test_a_column_that_is_not_known_gives_its_values_for_who_says_so() -> None:
    assert layout("animal=cat animal=dog").doubts
    answer = layout("animal=cat animal=dog", labels_from="parent").labels.values()
    assert set(answer) == {"cat", "dog"}
    flags = layout("broken=yes broken=no", labels_from="parent").labels.values()
    assert set(flags) == {"broken=yes", "broken=no"}


def test_two_levels_of_classes_are_asked_about() -> None:
    (doubt,) = layout("family=felidae/species=cat family=canidae/species=dog").doubts
    answers = dict(doubt.answers)
    assert "cat (1), dog (1)" in answers["--labels-from parent"]
    assert "canidae (1), felidae (1)" in answers["--labels-from top"]


def test_no_value_is_no_label_and_told() -> None:
    found = layout("label=cat label=dog label=__HIVE_DEFAULT_PARTITION__ label=unsorted")
    assert (found.doubts, set(found.labels.values())) == ((), {"cat", "dog"})
    assert "the images of label=unsorted/ are ingested without labels" in found.warnings

"""Splits that a source brings: what is kept of them, and what is said."""

from pathlib import Path

import pytest

from assets.dataset.splits.given_splits import (
    given_splits,
    given_table,
    may_be_dealt_to,
    record_given_splits,
    withdraw_given_splits,
)
from labelling.labels.given_splits import given_splits_text
from object_store.store import ObjectStore

pytestmark = pytest.mark.unit

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=(tmp_path / "store").as_uri())
    store.ensure()
    return store


def test_given_splits_are_kept_and_said_once(store: ObjectStore) -> None:
    splits = {A: "train", B: "test"}
    assert record_given_splits(store, splits, source="x", of_source={"train", "test"}) == 2
    assert record_given_splits(store, splits, source="x", of_source={"train", "test"}) == 0
    assert given_splits(store) == {A: ("train", ("train", "val")), B: ("test", ("test",))}


def test_the_newest_statement_counts_and_the_older_one_stays(store: ObjectStore) -> None:
    whole = {"train", "val", "test"}
    record_given_splits(store, {A: "train"}, source="x", of_source=whole)
    assert record_given_splits(store, {A: "val", C: "test"}, source="y", of_source=whole) == 2
    assert given_splits(store) == {A: ("val", ("val",)), C: ("test", ("test",))}
    assert given_table(store).read()["split"].to_pylist() == ["train", "val", "test"]


def test_given_splits_can_be_taken_back_and_given_again(store: ObjectStore) -> None:
    record_given_splits(store, {A: "train", B: "test"}, source="x", of_source={"train", "test"})
    assert withdraw_given_splits(store) == 2
    assert withdraw_given_splits(store) == 0
    assert given_splits(store) == {}
    assert record_given_splits(store, {A: "train"}, source="x", of_source={"train", "test"}) == 1
    assert given_splits(store) == {A: ("train", ("train", "val"))}
    assert given_table(store).read().num_rows == 5


def test_what_a_source_lacks_is_dealt_out_of_its_train_set() -> None:
    assert may_be_dealt_to("train", {"train", "test"}) == ("train", "val")
    assert may_be_dealt_to("train", {"train", "val"}) == ("train", "test")
    assert may_be_dealt_to("train", {"train", "val", "test"}) == ("train",)
    assert may_be_dealt_to("test", {"test"}) == ("test",)


def test_a_split_that_is_none_is_refused(store: ObjectStore) -> None:
    with pytest.raises(ValueError, match="dev"):
        record_given_splits(store, {A: "dev"}, source="x", of_source={"train"})
    with pytest.raises(ValueError, match="test"):
        record_given_splits(store, {A: "test"}, source="x", of_source={"train"})
    assert given_splits(store) == {}


def test_the_summary_says_why_given_splits_are_not_used_and_how_to_keep_them() -> None:
    (text,) = given_splits_text({"train": 1200, "test": 30}, keep=False)
    assert "train 1,200, test 30" in text
    assert "near-duplicates share a split" in text
    assert "--keep-splits" in text
    assert given_splits_text({}, keep=False) == given_splits_text({}, keep=True) == []


def test_the_summary_says_out_of_what_a_missing_split_is_dealt() -> None:
    kept, dealt = given_splits_text({"train": 120, "test": 30}, keep=True)
    assert "train 120, test 30" in kept
    assert dealt == (
        "It gives no validation set: validation images are dealt out of its training set"
    )
    assert len(given_splits_text({"train": 9, "val": 3, "test": 3}, keep=True)) == 1
    assert "not trained on" in given_splits_text({"test": 3}, keep=True)[1]


def test_images_in_no_split_are_counted_and_their_folders_named() -> None:
    (text,) = given_splits_text({"train": 6}, keep=False, without=4, where=["extra/"])
    assert "(train 6, in no split 4)" in text
    kept = given_splits_text({"train": 6, "test": 3}, keep=True, without=4, where=["extra/", "b/"])
    assert "(train 6, test 3, in no split 4)" in kept[0]
    assert "No split is given for 4 images (in extra/, b/)" in kept[1]
    assert "dealt out of its training set" in kept[2]

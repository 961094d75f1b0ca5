"""What is said of classes that are short, and of near-duplicate groups."""

import pyarrow as pa
import pytest

from assets.dataset.splits.class_floor import (
    ALIKE,
    BOUND,
    LACKING,
    UNEVEN,
    count_classes,
    floor_reasons,
    remedy,
)
from assets.dataset.splits.forecast import dealt_again
from assets.dataset.splits.group_report import suspect_groups
from assets.policies import SplitPolicy

pytestmark = pytest.mark.unit

FLOORS = {"train": 2, "val": 1, "test": 1}


def manifest(*rows: tuple[str, str, str]) -> pa.Table:
    """Images of (labels, split, group)."""
    return pa.table(
        {
            "labels": pa.array([row[0].split() for row in rows], pa.list_(pa.string())),
            "split": [row[1] for row in rows],
            "group_id": [row[2] for row in rows],
            "raw_key": [f"raw/{number:03}.png" for number in range(len(rows))],
        }
    )


def each(label: str, **counts: int) -> list[tuple[str, str, str]]:
    """Images that are each a group of their own."""
    return [
        (label, split, f"{label} {split} {number}")
        for split, count in counts.items()
        for number in range(count)
    ]


def test_images_are_counted_by_label_and_split():
    counts = count_classes(
        manifest(
            ("cat", "train", "1"), ("cat dog", "train", "1"), ("cat", "test", "2"), ("", "val", "3")
        )
    )
    assert {name: count.images for name, count in counts.items()} == {
        "cat": {"train": 2, "val": 0, "test": 1},
        "dog": {"train": 1, "val": 0, "test": 0},
    }
    assert (counts["cat"].total, counts["cat"].groups) == (3, {"1", "2"})


def test_classes_at_their_floor_are_well():
    rows = manifest(*each("cat", train=2, val=1, test=1), *each("dog", train=9, val=9, test=9))
    assert floor_reasons(["cat", "dog"], count_classes(rows), FLOORS)[:2] == ([], "")


def test_the_floor_says_how_many_images_of_which_classes_are_missing():
    rows = manifest(*each("cat", train=2, val=1, test=1), *each("dog", train=1, test=1))
    short, helps, numbers = floor_reasons(["cat", "dog", "fox"], count_classes(rows), FLOORS)
    assert short == [
        "dog: 1 in train, needs 2",
        "dog: 0 in val, needs 1",
        "fox: 0 in train, needs 2",
        "fox: 0 in val, needs 1",
        "fox: 0 in test, needs 1",
    ]
    assert "at least 2 of dog, 4 of fox" in helps
    assert remedy(numbers) == "ingest more images of the named classes (imgclf ingest)"
    assert remedy({"classes": 3, "short": 1}) == ""  # an earlier version's numbers
    assert "near" not in helps
    assert "deal-again" not in helps


def test_how_to_do_without_a_class_depends_on_whether_the_settings_name_the_classes():
    rows = manifest(*each("cat", train=2, val=1, test=1), *each("$fox", train=1, test=1))
    counts = count_classes(rows)
    _, helps, _ = floor_reasons(["cat", "$fox"], counts, FLOORS)
    assert helps.endswith("; or remove one of them: imgclf labels withdraw --class '$fox'")
    assert "names under" not in helps
    _, helps, _ = floor_reasons(["cat", "$fox"], counts, FLOORS, ["cat", "$fox"])
    assert helps.endswith("; or remove a class from names under [labels] in imgclf.toml")
    assert "withdraw" not in helps
    # a class that is named nowhere and that no image has: nothing to take out or back
    _, helps, _ = floor_reasons(["cat", "owl"], counts, FLOORS)
    assert helps.endswith("at least 4 of owl")


def test_a_class_that_an_earlier_version_dealt_unevenly_can_be_dealt_again():
    rows = manifest(*each("cat", train=20, test=1), *each("dog", train=1, val=1, test=1))
    _, helps, numbers = floor_reasons(["cat", "dog"], count_classes(rows), FLOORS)
    assert "at least 1 of cat, 1 of dog" in helps
    assert remedy(numbers).startswith("imgclf splits deal-again; and ingest more images of")
    counts = count_classes(manifest(*each("cat", train=20, test=1)))
    assert remedy(floor_reasons(["cat"], counts, FLOORS).numbers) == "imgclf splits deal-again"
    assert "Of cat there are enough images" in helps
    assert "imgclf splits deal-again" in helps


def test_what_is_advised_is_what_dealing_again_would_come_to() -> None:
    rows = manifest(
        *each("cat", train=8, test=4), *each("dog", train=8, test=4), *each("fox", val=4)
    )
    fine = {"train": 6, "val": 1, "test": 4}
    lacks = {"train": 8, "val": 0, "test": 4}
    short, helps, numbers = floor_reasons(
        ["cat", "dog", "fox"],
        count_classes(rows),
        FLOORS,
        again={"cat": fine, "dog": lacks, "fox": {"val": 4}},
        freely={"cat": fine, "dog": fine, "fox": {"train": 1, "val": 2, "test": 1}},
    )
    assert short[:2] == ["cat: 0 in val, needs 1", "dog: 0 in val, needs 1"]
    assert numbers == {LACKING: 1, UNEVEN: 1, BOUND: 1, ALIKE: 0}
    assert "Of cat there are enough images" in helps
    assert "Of dog there are enough images, but not with the splits that their source gave" in helps
    assert helps.endswith("imgclf splits deal-again --without-given")
    assert "Of fox" not in helps
    assert "--without-given" in remedy({BOUND: 1})
    assert remedy({BOUND: 1}) != remedy({UNEVEN: 1}) == "imgclf splits deal-again"


def test_dealing_again_is_foreseen_with_and_without_the_given_splits() -> None:
    rows = manifest(*each("p", train=8, test=4), *each("q", train=7, val=1, test=4))
    rows = rows.append_column("sha256", pa.array([f"{n:064x}" for n in range(rows.num_rows)]))
    of_test = [split == "test" for split in rows["split"].to_pylist()]
    shas = rows["sha256"].to_pylist()

    def given(of_train: tuple[str, ...]) -> dict[str, tuple[str, tuple[str, ...]]]:
        kinds = {True: ("test", ("test",)), False: ("train", of_train)}
        return {sha: kinds[test] for sha, test in zip(shas, of_test, strict=True)}

    policy = SplitPolicy()
    for label in "pq":
        found = dealt_again(rows, given(("train", "val")), policy)[label]
        assert (found["test"], found["train"] + found["val"]) == (4, 8)
        assert found["val"] in (1, 2)
        found = dealt_again(rows, given(("train",)), policy)[label]
        assert dict(found) == {"train": 8, "test": 4}
        found = dealt_again(rows, {}, policy)[label]
        assert min(found.values()) >= 1
        assert found["test"] < 4


def test_a_class_of_one_group_is_not_helped_by_more_labels():
    rows = manifest(*[("empty", "train", "g")] * 60, *each("dog", train=9, val=9, test=9))
    short, helps, numbers = floor_reasons(["dog", "empty"], count_classes(rows), FLOORS)
    assert short == ["empty: 0 in val, needs 1", "empty: 0 in test, needs 1"]
    assert helps.startswith("The 60 images of empty are 1 near-duplicate group, ")
    assert "more images do not help" in remedy(numbers)
    assert "near_duplicate_distance = 0" in remedy(numbers)
    assert "ingest" not in remedy(numbers)
    assert "near_duplicate_distance = 0" in helps
    assert "imgclf splits deal-again" in helps
    assert "Label more" not in helps
    rows = manifest(*[("a", "train", "g")] * 3, ("a", "test", "h"), *each("b", train=1))
    _, helps, _ = floor_reasons(["a", "b"], count_classes(rows), FLOORS)
    assert "at least 3 of b" in helps
    assert "The 4 images of a are 2 near-duplicate groups" in helps


def test_a_group_of_many_images_or_of_different_labels_is_said_to_be_what_it_is():
    rows = [*each("cat", train=60), *[("dog", "val", "large")] * 30]
    rows += [("cat", "train", "pair"), ("dog", "train", "pair"), *[("cat", "test", "same")] * 4]
    large, pair = suspect_groups(manifest(*rows), 0.3)
    assert (large.images, large.is_large, large.labels) == (30, True, [("dog", 30)])
    assert large.sentence == (
        "30 images (31% of all) count as one picture: dog 30 "
        "(for example raw/060.png, raw/061.png, raw/062.png)"
    )
    assert (pair.images, pair.is_large) == (2, False)
    assert pair.labels == [("cat", 1), ("dog", 1)]
    assert pair.keys == ["raw/090.png", "raw/091.png"]
    assert len(suspect_groups(manifest(*rows), 0.32)) == 1


def test_few_images_are_no_large_group_however_few_there_are():
    assert suspect_groups(manifest(*[("cat", "train", "g")] * 9, *each("dog", train=1)), 0.1) == []
    (found,) = suspect_groups(manifest(*[("cat", "train", "g")] * 10), 0.1)
    assert found.is_large


def test_foreign_letters_are_shown_and_a_negative_is_named():
    rows = [("a\u202eb", "train", "g"), ("", "train", "g")]
    (found,) = suspect_groups(manifest(*rows), 0.1)
    assert "\u202e" not in found.sentence
    assert "no label 1" in found.sentence

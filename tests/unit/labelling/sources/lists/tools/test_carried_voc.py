"""Pascal VOC's lists of classes: a file for each class, which together say an image's labels."""

from pathlib import Path

import pytest

from labelling.sources.lists import formats
from labelling.sources.read import read_source
from labelling.sources.reading import Reading, ReadingOptions

pytestmark = pytest.mark.unit

MULTI = "multi_label"
MAIN = "ImageSets/Main"
XML = "<annotation><filename>00.jpg</filename><object><name>cat</name></object></annotation>"


def source(at: Path, lists: dict[str, str], main: str = MAIN, count: int = 6) -> Path:
    (at / "JPEGImages").mkdir()
    (at / main).mkdir(parents=True)
    for number in range(count):
        (at / "JPEGImages" / f"0{number}.jpg").write_bytes(b"x")
    for name, values in lists.items():
        lines = [f"0{number} {value:>2}" for number, value in enumerate(values.split())]
        (at / main / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return at


def read(path: Path, task: str = "single_label", **more: str) -> Reading:
    return read_source(path, ReadingOptions(task=task, **more))


def labels(reading: Reading) -> dict[str, str]:
    assert not reading.doubts
    return {
        name.removeprefix("JPEGImages/").removesuffix(".jpg"): "|".join(found)
        for name, found in reading.labels.items()
    }


def test_the_lists_of_all_classes_are_one_list(tmp_path: Path) -> None:
    path = source(
        tmp_path,
        {"cat_trainval": "1 -1 -1 1 -1 -1", "dog_trainval": "-1 1 -1 1 -1 1", "trainval": ""},
    )
    found = read(path, MULTI)
    expected = {"00": "cat", "01": "dog", "02": "", "03": "cat|dog", "04": "", "05": "dog"}
    assert labels(found) == expected
    assert "Pascal VOC's lists of classes (2 classes in 2 files)" in found.layout


def test_in_single_label_none_is_unlabelled_and_several_are_refused(tmp_path: Path) -> None:
    lists = {"cat_trainval": "1 1 1 -1 -1 -1", "dog_trainval": "-1 -1 -1 1 1 -1"}
    path = source(tmp_path, lists)
    expected = {"00": "cat", "01": "cat", "02": "cat", "03": "dog", "04": "dog"}
    assert labels(read(path)) == expected
    (path / MAIN / "dog_trainval.txt").write_text("00  1\n01 -1\n02 -1\n03  1\n04  1\n05 -1\n")
    (doubt,) = read(path).doubts
    assert "single_label" in doubt.question


def test_difficult_is_not_known(tmp_path: Path) -> None:
    lists = {"cat_trainval": "1 0 -1 1 -1 -1", "dog_trainval": "-1 1 1 -1 1 1"}
    found = read(source(tmp_path, lists), MULTI)
    assert "01" not in labels(found)
    (rejection,) = found.rejections
    assert "cat_trainval.txt:2 01: cat" in rejection.name
    assert "difficult" in rejection.reason


def test_sets_are_splits_and_agree_with_their_union(tmp_path: Path) -> None:
    path = source(tmp_path, {"cat_trainval": "1 -1 1 -1", "dog_trainval": "-1 1 -1 1"})
    for name, first in (("cat", "1"), ("dog", "-1")):
        second = {"1": "-1", "-1": "1"}[first]
        (path / MAIN / f"{name}_train.txt").write_text(f"00 {first}\n01 {second}\n")
        (path / MAIN / f"{name}_val.txt").write_text(f"02 {first}\n03 {second}\n")
    found = read(path)
    assert labels(found) == {"00": "cat", "01": "dog", "02": "cat", "03": "dog"}
    assert {name[-6:-4]: split for name, split in found.splits.items()} == {
        "00": "train",
        "01": "train",
        "02": "val",
        "03": "val",
    }


def test_lists_that_contradict_one_another_are_named(tmp_path: Path) -> None:
    lists = {"cat_trainval": "1 -1 1 -1", "dog_trainval": "-1 1 -1 1", "cat_train": "-1 -1"}
    found = read(source(tmp_path, lists), MULTI)
    assert [item.name.rpartition(" 00")[2] for item in found.rejections] == [": cat"]


def test_many_classes_are_read_to_the_last(tmp_path: Path) -> None:
    lists = {
        f"class{at:02}_trainval": " ".join(
            "1" if at % 3 == image % 3 else "-1" for image in range(6)
        )
        for at in range(30)
    }
    found = read(source(tmp_path, lists), MULTI)
    assert {len(each.split("|")) for each in labels(found).values()} == {10}


def test_one_of_them_by_name_reads_all(tmp_path: Path) -> None:
    path = source(tmp_path, {"cat_trainval": "1 -1 1 -1", "dog_trainval": "-1 1 -1 1"})
    found = read(path, labels_from=f"{MAIN}/dog_trainval.txt")
    assert labels(found) == {"00": "cat", "01": "dog", "02": "cat", "03": "dog"}


def test_elsewhere_several_classes_tell_what_they_are(tmp_path: Path) -> None:
    lists = {"cat_test": "1 -1 1 -1", "dog_test": "-1 1 -1 1"}
    assert set(labels(read(source(tmp_path, lists, main="lists"))).values()) == {"cat", "dog"}


def test_boxes_beside_them_are_named_with_the_way_out(tmp_path: Path) -> None:
    path = source(tmp_path, {"cat_trainval": "1 -1 1 -1", "dog_trainval": "-1 1 -1 1"})
    (path / "Annotations").mkdir()
    (path / "Annotations" / "00.xml").write_text(XML)
    (path / "SegmentationClass").mkdir()
    (path / "SegmentationClass" / "00.png").write_bytes(b"mask")
    (doubt,) = read(path).doubts
    text = f"--labels-from {MAIN}/cat_trainval.txt"
    assert text in doubt.question
    found = read(path, labels_from=text.rpartition(" ")[2])
    assert labels(found)["00"] == "cat"


def test_no_other_format_comes_first() -> None:
    names = [type(form).__name__ for form in formats.FORMATS]
    assert names.index("VocLists") < names.index("Delimited")


PARTS = {
    "ImageSets/Action/jumping_train.txt": "00  1  1\n01  1 -1\n02  2  1\n",
    "ImageSets/Action/reading_train.txt": "00  1 -1\n01  1  1\n02  2 -1\n",
    "ImageSets/Layout/train.txt": "00 1\n01 1\n",
    "ImageSets/Layout/val.txt": "02 2\n03 1\n",
    "ImageSets/Segmentation/val.txt": "00\n01\n",
}


def write(path: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


@pytest.mark.parametrize("task", ["Action", "Layout"])
def test_lists_of_persons_are_refused_by_name(tmp_path: Path, task: str) -> None:
    path = source(tmp_path, {}, main=f"ImageSets/{task}")
    write(path, {name: text for name, text in PARTS.items() if task in name})
    (doubt,) = read(path).doubts
    assert f"Pascal VOC's task {task.casefold()}" in doubt.question
    assert "about persons" in doubt.question
    assert not dict(read(path).labels)


def test_lists_of_other_tasks_are_passed_over_beside_those_of_classes(tmp_path: Path) -> None:
    lists = {"cat_trainval": "1 -1 1 -1", "dog_trainval": "-1 1 -1 1"}
    found = read(write(source(tmp_path, lists), PARTS))
    assert labels(found) == {"00": "cat", "01": "dog", "02": "cat", "03": "dog"}
    assert not found.rejections
    ignored = {item.reason: item.count for item in found.ignored}
    assert ignored["lists of Pascal VOC's task action, beside those of its classes"] == 2

"""Lists of splits beside folders of classes, as published data sets bring them."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from labelling.sources.names.columns import is_train_and_val, split_of_list
from labelling.sources.read import read_source
from labelling.sources.reading import Reading, ReadingOptions

pytestmark = pytest.mark.unit

FILES = [f"{label}/{label}_{at}.jpg" for label in ("bar", "kitchen") for at in range(6)]
TRAIN, TEST = [f for f in FILES if f[-5] < "4"], [f for f in FILES if f[-5] >= "4"]


def read(tmp_path: Path, lists: Mapping[str, str], **options: object) -> Reading:
    for image in FILES:
        (tmp_path / "Images" / image).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "Images" / image).write_bytes(b"x")
    for name, text in lists.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return read_source(tmp_path, ReadingOptions(**options))


def lines(files: list[str]) -> str:
    return "".join(f"{file}\n" for file in files)


def splits(found: Reading) -> dict[str, int]:
    return dict(Counter(found.splits.values()))


@pytest.mark.parametrize(
    ("stem", "split"),
    [("TrainImages", "train"), ("testlist01", "test"), ("train1", "train"), ("Val_Files", "val"), ("trainimages", "train"),
     ("images_train", "train"), ("trainable", None), ("latest", None), ("cat_test", None), ("contest", None)],
)  # fmt: skip
def test_the_name_of_a_list_names_a_split(stem: str, split: str | None) -> None:
    assert split_of_list(stem) == split
    assert is_train_and_val("TrainvalImages")
    assert is_train_and_val("trainval_list")


@pytest.mark.parametrize(
    "names",
    ["TrainImages.txt TestImages.txt", "trainlist01.txt testlist01.txt", "splits/train1.txt splits/test1.txt",
     "meta/TrainFiles.lst meta/TestFiles.lst"],
)  # fmt: skip
def test_lists_named_after_splits_give_them_and_are_told_once(tmp_path: Path, names: str) -> None:
    train, test = names.split()
    found = read(tmp_path, {train: lines(TRAIN), test: lines(TEST)})
    assert (found.doubts, splits(found)) == ((), {"train": 8, "test": 4})
    assert f"{test}, {train}: no labels; the splits are read" in found.warnings
    assert not any("not read" in group.reason for group in found.ignored)


@pytest.mark.parametrize(
    "names",
    ["labels/train1.txt labels/test1.txt labels/train2.txt labels/test2.txt",
     "fold1/train.txt fold1/test.txt fold2/train.txt fold2/test.txt"],
)  # fmt: skip
def test_several_ways_to_deal_are_reported_and_one_that_is_left_is_read(
    tmp_path: Path, names: str
) -> None:
    first, second = names.split()[:2], names.split()[2:]
    texts = dict(zip(first, (lines(TRAIN), lines(TEST)), strict=True))
    others = dict(zip(second, (lines(FILES[2:10]), lines([*FILES[:2], *FILES[10:]])), strict=True))
    found = read(tmp_path, {**texts, **others})
    assert (found.doubts, splits(found), len(found.labels)) == ((), {}, 12)
    (group,) = (group for group in found.ignored if "several ways" in group.reason)
    assert group.count == 4
    for name in others:
        (tmp_path / name).unlink()
    assert splits(read(tmp_path, {})) == {"train": 8, "test": 4}


def test_an_image_in_two_splits_by_mistake_is_in_neither(tmp_path: Path) -> None:
    found = read(tmp_path, {"train.txt": lines(TRAIN), "test.txt": lines([*TEST, TRAIN[0]])})
    assert splits(found) == {"train": 7, "test": 4}
    assert [refused.name for refused in found.rejections] == [f"Images/{TRAIN[0]}"]


def numbered(*, by: str = "{}") -> dict[str, str]:
    """As CUB-200-2011 has them."""
    keys = {file: by.format(at) for at, file in enumerate(FILES, 1)}
    return {
        "images.txt": "".join(f"{key} {file}\n" for file, key in keys.items()),
        "train_test_split.txt": "".join(f"{keys[f]} {int(f in TRAIN)}\n" for f in FILES),
        "image_class_labels.txt": "".join(f"{keys[f]} {1 + (f > 'k')}\n" for f in FILES),
        "classes.txt": "1 bar\n2 kitchen\n",
        "bounding_boxes.txt": "".join(f"{key} 10.0 20.0 50.0 60.0\n" for key in keys.values()),
    }


@pytest.mark.parametrize("by", ["{}", "0{}-a"])
def test_splits_by_the_numbers_of_images_txt(tmp_path: Path, by: str) -> None:
    found = read(tmp_path, numbered(by=by))
    assert (found.doubts, splits(found)) == ((), {"train": 8, "test": 4})
    assert dict(Counter(found.labels.values())) == {("bar",): 6, ("kitchen",): 6}
    assert "train_test_split.txt: 1 was read as train, 0 as test" in found.warnings


def test_labels_by_the_numbers_of_images_txt(tmp_path: Path) -> None:
    found = read(tmp_path, numbered(), labels_from=str(tmp_path / "image_class_labels.txt"))
    assert dict(Counter(found.labels.values())) == {("bar",): 6, ("kitchen",): 6}


def test_numbers_that_images_txt_does_not_know_are_no_splits(tmp_path: Path) -> None:
    texts = numbered()
    texts["train_test_split.txt"] += "99 1\n"
    assert splits(read(tmp_path, texts)) == {}

"""LabelMe's flags are labels of whole images; pointers of Git LFS are named with the command."""

import json
from pathlib import Path
from typing import Any

import pytest

from labelling.sources.lists.json_lists import JsonLists
from labelling.sources.lists.list_format import ListFile, ListReading, ListRefusedError
from labelling.sources.read import read_source
from labelling.sources.reading import ReadingOptions
from tests.carried import around

pytestmark = pytest.mark.unit

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n"
SHAPE = {"label": "cat", "points": [[1, 2], [3, 4]], "shape_type": "rectangle", "flags": {}}


def labelme(flags: Any, image: str = "a.jpg", shapes: tuple[Any, ...] = ()) -> dict[str, Any]:
    return {
        "version": "5.5.0",
        "flags": flags,
        "shapes": list(shapes),
        "imagePath": image,
        "imageData": None,
    }


def read(value: Any, task: Any = "single_label") -> ListReading:
    file = ListFile("a.json", json.dumps(value).encode())
    found = JsonLists().read(file, ReadingOptions(task=task), around("a.jpg", "a.json"))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("flags", "task", "labels"),
    [
        ({"cat": True, "dog": False}, "single_label", ("cat",)),
        ({"cat": True, "dog": True}, "multi_label", ("cat", "dog")),
        ({"cat": False, "dog": False}, "single_label", None),
        ({"cat": False, "dog": False}, "multi_label", None),
    ],
)
def test_the_flags_that_are_true_are_the_labels(
    flags: dict[str, bool], task: str, labels: tuple[str, ...] | None
) -> None:
    (statement,) = read(labelme(flags), task).statements
    assert (statement.file, statement.labels) == ("a.jpg", labels)


def test_several_flags_in_single_label_are_refused() -> None:
    with pytest.raises(ListRefusedError, match="single_label"):
        read(labelme({"cat": True, "dog": True}))


@pytest.mark.parametrize(
    "value",
    [
        labelme({"cat": True}, shapes=(SHAPE,)),
        labelme({}, shapes=(SHAPE,)),
        labelme({"cat": "maybe"}),
        labelme({}),
    ],
)
def test_shapes_are_detection_whatever_the_flags_are(value: Any) -> None:
    with pytest.raises(ListRefusedError, match="LabelMe's shapes, detection"):
        read(value)


def test_a_json_for_each_image_is_read_to_the_last(tmp_path: Path) -> None:
    for number in range(25):
        (tmp_path / f"{number}.jpg").write_bytes(b"x")
        flags = {"cat": number % 2 == 0, "dog": number % 2 == 1}
        (tmp_path / f"{number}.json").write_text(json.dumps(labelme(flags, f"{number}.jpg")))
    found = read_source(tmp_path, ReadingOptions())
    assert not found.doubts
    assert len(found.labels) == 25
    assert found.labels["3.jpg"] == ("dog",)


@pytest.mark.parametrize("name", ["labels.csv", "train.csv", "x.jsonl", "x.json", "x.parquet"])
def test_a_list_that_is_a_pointer_of_git_lfs_is_named(tmp_path: Path, name: str) -> None:
    for folder in ("cat", "dog"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").write_bytes(b"x")
    (tmp_path / name).write_text(LFS)
    (doubt,) = read_source(tmp_path, ReadingOptions()).doubts
    assert "Git LFS" in doubt.question
    assert "git lfs pull" in doubt.question

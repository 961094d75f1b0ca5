"""Exports beside their images, read as a source: matched, questioned, or told what they are."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelling.sources.containers.containers import SourceError
from labelling.sources.read import read_source
from labelling.sources.reading import Reading, ReadingOptions

pytestmark = pytest.mark.unit


def source(at: Path, **files: Any) -> Path:
    """A folder; names have ``__`` for slashes, and texts that are no str are written as JSON."""
    for name, content in files.items():
        path = at / "set" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return at / "set"


def images(*names: str) -> dict[str, str]:
    return {name.replace("/", "__"): "pixels" for name in names}


def read(path: Path, **options: Any) -> Reading:
    return read_source(path, ReadingOptions(**options))


def task(image: str, label: str) -> dict[str, Any]:
    result = {"from_name": "label", "type": "choices", "value": {"choices": [label]}}
    return {"data": {"image": image}, "annotations": [{"result": [result]}]}


def test_uploads_to_label_studio_are_found_under_the_names_that_they_had(tmp_path: Path) -> None:
    path = source(
        tmp_path,
        **images("photos/photo (1).jpg", "photos/b.jpg", "upload/3/ab12cd34-c.jpg"),
        **{
            "export.json": [
                task("/data/upload/3/0000000a-photo_1.jpg", "cat"),
                task("/data/upload/3/0000000b-b.jpg", "dog"),
                task("/data/upload/3/ab12cd34-c.jpg", "cat"),
            ]
        },
    )
    found = read(path)
    assert found.labels == {
        "photos/photo (1).jpg": ("cat",),
        "photos/b.jpg": ("dog",),
        "upload/3/ab12cd34-c.jpg": ("cat",),
    }
    assert not found.rejections


def test_a_text_for_each_image_is_read_to_the_last(tmp_path: Path) -> None:
    names = [f"{number:03}" for number in range(45)]
    texts = {f"{name}.json": {"fileName": f"{name}.jpg", "tags": ["cat"]} for name in names}
    found = read(source(tmp_path, **images(*(f"{name}.jpg" for name in names)), **texts))
    assert len(found.labels) == 45
    assert (list(found.doubts), list(found.ignored)) == ([], [])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "Annotations__{}.xml",
            "<annotation><object><name>cat</name></object></annotation>",
            "VOC",
        ),
        ("labels__{}.txt", "0 0.5 0.5 0.2 0.2", "YOLO"),
        ("{}.json", '{"shapes": [], "imagePath": "0.jpg"}', "LabelMe"),
    ],
)
def test_detection_stops_with_a_question_and_its_answers(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    files = {name.format(number): text for number in range(30)}
    found = read(source(tmp_path, **images(*(f"images/{n}.jpg" for n in range(30))), **files))
    assert not found.labels
    (doubt,) = found.doubts
    assert words in doubt.question
    assert "detection or segmentation" in doubt.question
    assert [answer for answer, _ in doubt.answers] == ["--labels-from none"]


def test_boxes_beside_folders_of_classes_are_a_question_too(tmp_path: Path) -> None:
    value = {
        "images": [{"id": 1, "file_name": "cat/1.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": 1, "name": "ear"}],
    }
    path = source(tmp_path, **images("cat/1.jpg", "dog/1.jpg"), **{"boxes.json": value})
    found = read(path)
    assert not found.labels
    assert [answer for answer, _ in found.doubts[0].answers] == [
        "--labels-from parent",
        "--labels-from none",
    ]
    assert read(path, labels_from="parent").labels["cat/1.jpg"] == ("cat",)
    with pytest.raises(SourceError, match=r"boxes \(1\).*--labels-from parent, or none"):
        read(path, labels_from="boxes.json")


def test_splits_and_labels_of_a_cloud_come_together(tmp_path: Path) -> None:
    lines = "test,gs://b/flowers/1.jpg,daisy\ntraining,gs://b/flowers/2.jpg,rose\n"
    found = read(source(tmp_path, **images("1.jpg", "2.jpg"), **{"import.csv": lines}))
    assert found.labels == {"1.jpg": ("daisy",), "2.jpg": ("rose",)}
    assert found.splits == {"1.jpg": "test", "2.jpg": "train"}


def test_a_list_that_is_too_big_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labelling.sources.given_lists.MAX_LIST_BYTES", 100)
    labels = {f"{number}.jpg": "cat" for number in range(20)}
    found = read(source(tmp_path, **images("1.jpg"), **{"labels.json": labels}))
    assert "the limit for a list; split it" in found.doubts[0].question
    assert "max_file_mb" not in found.doubts[0].question


def test_a_label_that_can_be_none_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    labels = {"1.jpg": "\x1b[31mred", "2.jpg": "cat", "3.jpg": "dog", "4.jpg": "x" * 500}
    found = read(source(tmp_path, **images(*labels), **{"labels.json": labels}))
    assert found.labels == {"2.jpg": ("cat",), "3.jpg": ("dog",)}
    assert [rejection.name for rejection in found.rejections] == [
        "labels.json 1.jpg",
        "labels.json 4.jpg",
    ]


def test_parquet_is_read_if_it_names_files_and_named_if_it_holds_the_images(tmp_path: Path) -> None:
    path = source(tmp_path, **images("a.jpg", "b.jpg"))
    table = pa.table({"file_name": ["a.jpg", "b.jpg"], "label": ["cat", "dog"]})
    pq.write_table(table, path / "metadata.parquet")
    assert read(path).labels == {"a.jpg": ("cat",), "b.jpg": ("dog",)}
    pq.write_table(pa.table({"image": [{"bytes": b"x"}], "label": [0]}), path / "metadata.parquet")
    assert "holds images itself" in read(path).doubts[0].question


def test_a_name_without_suffix_is_the_image_not_what_lies_beside_it(tmp_path: Path) -> None:
    beside = {"a.txt": "some words", "b.xml": "<note/>"}
    path = source(
        tmp_path, **images("a.jpg", "b.jpg"), **beside, **{"x.csv": "id,label\na,cat\nb,dog\n"}
    )
    assert read(path).labels == {"a.jpg": ("cat",), "b.jpg": ("dog",)}

"""Tags of whole images of tools for drawing: VGG Image Annotator, V7 Darwin, Supervisely."""

import json
from pathlib import Path
from typing import Any

import pytest

from labelling.sources.read import read_source
from labelling.sources.reading import Reading, ReadingOptions

pytestmark = pytest.mark.unit

SIX = [f"{at}.jpg" for at in range(6)]
KINDS = [("cat", "dog")[at % 2] for at in range(6)]
CAT_AND_DOG = {name: (kind,) for name, kind in zip(SIX, KINDS, strict=True)}


def read(tmp_path: Path, lists: dict[str, Any], folder: str = "", **options: object) -> Reading:
    for name in SIX:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / name).write_bytes(b"x")
    for name, value in lists.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(value))
    return read_source(tmp_path, ReadingOptions(**options))


def via(attributes: list[dict[str, Any]], regions: tuple[Any, ...] = ()) -> dict[str, Any]:
    images = {
        f"{name}12": {"filename": name, "regions": [*regions], "file_attributes": given}
        for name, given in zip(SIX, attributes, strict=True)
    }
    return {"_via_settings": {}, "_via_img_metadata": images}


@pytest.mark.parametrize("whole", [True, False])
def test_the_file_attribute_of_via_is_the_label(tmp_path: Path, whole: bool) -> None:
    value = via([{"kind": kind, "caption": "", "image_url": ""} for kind in KINDS])
    found = read(tmp_path, {"via.json": value if whole else value["_via_img_metadata"]})
    assert (list(found.doubts), found.labels) == ([], CAT_AND_DOG)


def test_several_file_attributes_of_via_are_asked_about(tmp_path: Path) -> None:
    value = via([{"my kind": kind, "ripe": {"yes": at % 2 == 0, "no": at % 2}} for at, kind in enumerate(KINDS)])  # fmt: skip
    (doubt,) = read(tmp_path, {"via.json": value}).doubts
    assert dict(doubt.answers)["--columns filename,2"] == "ripe: yes (3), no (3)"
    assert read(tmp_path, {}, columns=("filename", "1")).labels == CAT_AND_DOG
    assert read(tmp_path, {}, columns=("filename", "my kind")).labels == CAT_AND_DOG
    assert read(tmp_path, {}, columns=("filename", "2")).labels["1.jpg"] == ("no",)


def test_via_with_regions_is_detection(tmp_path: Path) -> None:
    value = via([{"kind": kind} for kind in KINDS], ({"shape_attributes": {"x": 1}},))
    (doubt,) = read(tmp_path, {"via.json": value}).doubts
    assert "detection" in doubt.question


def test_the_tags_of_v7_are_labels(tmp_path: Path) -> None:
    def file(at: int, **mark: object) -> dict[str, Any]:
        return {
            "version": "2.0",
            "item": {"name": SIX[at], "path": "/batch"},
            "annotations": [{"name": KINDS[at], **mark}],
        }

    tagged = {f"annotations/{at}.json": file(at, tag={}) for at in range(6)}
    found = read(tmp_path, tagged)
    assert (list(found.doubts), found.labels) == ([], CAT_AND_DOG)
    (doubt,) = read(tmp_path, {"annotations/0.json": file(0, ellipse={})}).doubts
    assert "V7 Darwin's annotations, detection" in doubt.question


def test_the_tags_of_supervisely_are_labels(tmp_path: Path) -> None:
    def file(kind: str, value: str | None = None, objects: tuple[Any, ...] = ()) -> dict[str, Any]:
        tags = [{"id": 1, "name": kind, "value": value}]
        return {"description": "", "tags": tags, "size": {}, "objects": [*objects]}

    tagged = {f"ds/ann/{name}.json": file(kind) for name, kind in zip(SIX, KINDS, strict=True)}
    found = read(tmp_path, tagged, "ds/img")
    assert list(found.doubts) == []
    assert {name.rpartition("/")[2]: text for name, text in found.labels.items()} == CAT_AND_DOG
    found = read(tmp_path, {"ds/ann/0.jpg.json": file("weight", "12")}, "ds/img")
    assert any("a tag with a value" in each.reason for each in found.rejections) or found.doubts
    (doubt,) = read(
        tmp_path, {"ds/ann/0.jpg.json": file("cat", None, ({"id": 1},))}, "ds/img"
    ).doubts
    assert "Supervisely's objects, detection" in doubt.question


def test_coco_whose_categories_may_be_of_whole_pictures_offers_to_read_it(tmp_path: Path) -> None:
    value = {
        "images": [{"id": at, "file_name": name} for at, name in enumerate(SIX)],
        "annotations": [{"id": at, "image_id": at, "category_id": at % 2} for at in range(6)],
        "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
    }
    (doubt,) = read(tmp_path, {"train.json": value}).doubts
    assert "--labels-from train.json" in dict(doubt.answers)
    found = read(tmp_path, {}, labels_from=str(tmp_path / "train.json"))
    assert found.labels == CAT_AND_DOG

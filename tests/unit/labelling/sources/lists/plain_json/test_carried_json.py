"""COCO with categories of whole images, FiftyOne, and maps of images and labels in JSON."""

import json
from typing import Any

import pytest

from labelling.sources.lists.files.index import FileIndex
from labelling.sources.lists.json_lists import JsonLists
from labelling.sources.lists.list_format import ListFile, ListReading, ListRefusedError
from labelling.sources.lists.match import match
from labelling.sources.reading import ReadingOptions
from tests.carried import around

pytestmark = pytest.mark.unit

SINGLE = ReadingOptions()
MULTI = ReadingOptions(task="multi_label")


def find(value: object, options: ReadingOptions = SINGLE, *files: str) -> ListReading | None:
    data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
    return JsonLists().read(ListFile("labels.json", data), options, around(*files))


def read(value: object, options: ReadingOptions = SINGLE, *files: str) -> ListReading:
    found = find(value, options, *files)
    assert found is not None
    return found


def labels_of(reading: ListReading) -> dict[str, tuple[str, ...] | None]:
    return {item.file: item.labels for item in reading.statements}


# --- COCO ---------------------------------------------------------------------------------


def coco(*annotations: dict[str, Any]) -> dict[str, Any]:
    """As Azure ML and Microsoft's script for leaving Custom Vision write it."""
    return {
        "images": [
            {
                "id": number,
                "width": 1024,
                "height": 768,
                "file_name": f"fruit/{number}.jpg",
                "coco_url": f"AmlDatastore://store/fruit/{number}.jpg",
            }
            for number in (1, 2, 3)
        ],
        "annotations": [{"id": n, "area": 0.0, **item} for n, item in enumerate(annotations)],
        "categories": [{"id": 1, "name": "apple"}, {"id": 2, "name": "pear"}],
    }


def test_categories_of_whole_images_are_labels() -> None:
    value = coco({"image_id": 1, "category_id": 2}, {"image_id": 2, "category_id": 1, "bbox": []})
    found = read(value)
    assert labels_of(found) == {
        "fruit/1.jpg": ("pear",),
        "fruit/2.jpg": ("apple",),
        "fruit/3.jpg": None,
    }
    assert found.statements[0].place == "labels.json image 1"
    assert found.statements[0].or_file == "AmlDatastore://store/fruit/1.jpg"


def test_what_microsofts_script_for_leaving_custom_vision_writes_is_read() -> None:
    name = "project_6c0d/images/4d6eb844"  # its images have no suffix
    value = {
        "images": [
            {
                "id": 1,
                "width": 600,
                "height": 450,
                "coco_url": f"https://account.blob.core.windows.net/container/{name}",
                "file_name": name,
            }
        ],
        "categories": [{"id": 1, "name": "apple"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1}],
    }
    assert labels_of(read(value, SINGLE, "images/4d6eb844")) == {name: ("apple",)}


def test_several_categories_of_an_image_are_for_multi_label() -> None:
    value = coco({"image_id": 1, "category_id": 2}, {"image_id": 1, "category_id": 1})
    assert labels_of(read(value, MULTI))["fruit/1.jpg"] == ("pear", "apple")
    with pytest.raises(ListRefusedError, match='pear, apple.*task = "multi_label"'):
        read(value)


def test_annotations_of_no_image_or_category_are_named() -> None:
    value = coco(
        {"image_id": 9, "category_id": 2},
        {"image_id": [1], "category_id": {}},
        {"image_id": 1, "category_id": 2},
    )
    found = read(value)
    assert labels_of(found)["fruit/1.jpg"] == ("pear",)
    assert [rejection.name for rejection in found.rejections] == [
        "labels.json image 9",
        "labels.json image [1]",
    ]


def test_the_name_of_a_coco_file_shows_the_split_and_the_folder() -> None:
    value = coco({"image_id": 1, "category_id": 2})
    text = json.dumps(value).encode()
    for name, files in (
        ("annotations/instances_val2017.json", ("train2017/fruit/1.jpg", "val2017/fruit/1.jpg")),
        ("annotations/instances_val.json", ("train/fruit/1.jpg", "val/fruit/1.jpg")),
        ("val/_annotations.coco.json", ("train/fruit/1.jpg", "val/fruit/1.jpg")),
    ):
        found = JsonLists().read(ListFile(name, text), SINGLE, around(*files))
        assert found is not None
        matched = match([(name, found)], FileIndex(files), 1)
        assert matched.labels == {files[1]: ("pear",)}
        assert matched.splits == ({files[1]: "val"} if "instances" in name else {})


def test_categories_of_nobody_knows_what_are_refused_unless_the_user_names_the_list() -> None:
    value = coco({"image_id": 1, "category_id": 2})
    for image in value["images"]:
        del image["coco_url"]
    with pytest.raises(ListRefusedError, match=r"\(detection\).*--labels-from labels\.json"):
        read(value)
    facts = ReadingOptions(labels_from="./export/labels.json")
    assert labels_of(read(value, facts))["fruit/1.jpg"] == ("pear",)


def test_images_without_category_are_negatives_in_the_own_export_alone() -> None:
    value = coco({"image_id": 1, "category_id": 2})
    assert labels_of(read(value, MULTI))["fruit/2.jpg"] is None
    own = {**value, "info": {"description": "imgclf data set 1f2e, split train"}}
    assert labels_of(read(own, MULTI))["fruit/2.jpg"] == ()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"bbox": [1, 2, 3, 4]}, r"boxes \(2\) for 3 images"),
        ({"segmentation": [[1, 2, 3, 4, 5, 6]]}, "outlines"),
        ({"segmentation": {"size": [3, 3], "counts": "x"}}, "outlines"),
        ({"keypoints": [1, 2, 2]}, "keypoints"),
        ({"caption": "an apple"}, "captions"),
        ({"segments_info": [{"id": 1}]}, "panoptic"),
    ],
)
def test_parts_of_images_are_named(more: dict[str, Any], words: str) -> None:
    value = coco({"image_id": 1, "category_id": 1, **more}, {"image_id": 2, **more})
    with pytest.raises(ListRefusedError, match=f"{words}.*no class of a whole picture"):
        read(value)


# --- FiftyOne -----------------------------------------------------------------------------


def test_numbers_names_objects_and_nulls_of_fiftyone() -> None:
    value = {
        "classes": ["cat", "dog"],
        "labels": {
            "000001": 0,
            "000002": "dog",
            "000003": None,
            "000004": {"label": 1, "confidence": 0.9, "attributes": {}},
            "000005": 7,
            "000006": True,
        },
    }
    found = read(value)
    assert labels_of(found) == {
        "000001": ("cat",),
        "000002": ("dog",),
        "000003": None,
        "000004": ("dog",),
    }
    assert [(rejection.name, rejection.reason) for rejection in found.rejections] == [
        ("labels.json 000005: 7", "no class; there are 2 classes"),
        ("labels.json 000006: True", "no class; there are 2 classes"),
    ]
    assert labels_of(read({"labels": {"000001": "cat"}})) == {"000001": ("cat",)}


def test_several_labels_of_fiftyone_are_for_multi_label() -> None:
    value = {"classes": ["cat", "dog"], "labels": {"1": [0, 1], "2": [1], "3": []}}
    assert labels_of(read(value, MULTI)) == {"1": ("cat", "dog"), "2": ("dog",), "3": ()}
    with pytest.raises(ListRefusedError, match='task = "multi_label"'):
        read(value)


def test_detections_of_fiftyone_are_named() -> None:
    box = {"label": 0, "bounding_box": [0.1, 0.1, 0.2, 0.2]}
    with pytest.raises(ListRefusedError, match="FiftyOne with detections"):
        read({"classes": ["cat"], "labels": {"1": None, "2": [box]}})


# --- maps ---------------------------------------------------------------------------------


def test_a_label_for_each_image() -> None:
    found = read({"a.jpg": "cat", "x/b.png": 3, "c.jpg": None, "d.jpg": ["dog"], "e.jpg": 1.5})
    assert labels_of(found) == {
        "a.jpg": ("cat",),
        "x/b.png": ("3",),
        "c.jpg": None,
        "d.jpg": ("dog",),
    }
    assert found.rejections[0].name == "labels.json e.jpg: 1.5"


def test_names_without_suffix_are_known_by_the_files_of_the_source() -> None:
    value = {"0001": "cat", "0002": "dog"}
    assert find(value) is None
    assert labels_of(read(value, SINGLE, "x/0001.jpg", "0002.png")) == {
        "0001": ("cat",),
        "0002": ("dog",),
    }


def test_a_list_of_images_for_each_label() -> None:
    value = {"cat": ["a.jpg", "b.jpg"], "dog": ["c.jpg", "b.jpg", 7], "bird": []}
    found = read(value, MULTI)
    assert labels_of(found) == {"a.jpg": ("cat",), "b.jpg": ("cat", "dog"), "c.jpg": ("dog",)}
    assert [rejection.name for rejection in found.rejections] == ["labels.json dog: 7"]
    with pytest.raises(ListRefusedError, match='b.jpg: cat, dog.*task = "multi_label"'):
        read(value)


def test_names_of_classes_by_number_are_no_map_of_images_that_are_called_by_numbers() -> None:
    files = [f"{number}.jpg" for number in range(9)]
    assert find({"0": "cat", "1": "dog", "2": "owl"}, SINGLE, *files) is None
    assert labels_of(read({"0": "cat", "1": "cat", "2": "owl"}, SINGLE, *files))["1"] == ("cat",)


@pytest.mark.parametrize(
    ("value", "understood"),
    [
        ({"classes": ["cat", "dog"], "annotations": {"a.jpg": 1, "b.jpg": 0}}, "in the same file"),
        (
            {"id2label": {"0": "cat", "1": "dog"}, "labels": {"a.jpg": "1", "b.jpg": "0"}},
            "in the same file",
        ),
        (
            {
                "classes": ["cat", "dog"],
                "data": [{"f": "a.jpg", "label": 1}, {"f": "b.jpg", "label": 0}],
            },
            "in the same file",
        ),
    ],
)
def test_numbers_are_named_by_the_same_file(value: dict[str, Any], understood: str) -> None:
    found = read(value, SINGLE, "a.jpg", "b.jpg")
    assert labels_of(found) == {"a.jpg": ("dog",), "b.jpg": ("cat",)}
    assert understood in found.understood
    assert not found.warnings


def test_numbers_that_nothing_names_are_reported() -> None:
    found = read({"a.jpg": 1, "b.jpg": 0})
    assert labels_of(found) == {"a.jpg": ("1",), "b.jpg": ("0",)}
    assert "the labels are numbers" in found.warnings[0]


def test_several_labels_in_one_text_are_recognised_by_the_whole_file() -> None:
    value = {"a.jpg": "cat|dog", "b.jpg": "dog", "c.jpg": ["cat"], "d.jpg": "", "e.jpg": []}
    assert labels_of(read(value, MULTI)) == {
        "a.jpg": ("cat", "dog"),
        "b.jpg": ("dog",),
        "c.jpg": ("cat",),
        "d.jpg": None,
        "e.jpg": (),
    }


@pytest.mark.parametrize(
    "value",
    [
        {"Train": {"a.jpg": "cat"}, "valid": {"b.jpg": "dog"}, "TEST": {"c.jpg": "dog"}},
        {"train": {"cat": ["a.jpg"]}, "dev": {"dog": ["b.jpg"]}, "testing": {"dog": ["c.jpg"]}},
    ],
)
def test_splits_around_maps_are_kept(value: object) -> None:
    found = read(value)
    assert [(item.file, item.labels, item.split) for item in found.statements] == [
        ("a.jpg", ("cat",), "train"),
        ("b.jpg", ("dog",), "val"),
        ("c.jpg", ("dog",), "test"),
    ]


def test_an_image_that_is_a_key_twice_is_named() -> None:
    found = read('{"a.jpg": "cat", "b.jpg": "dog", "a.jpg": "dog"}')
    assert labels_of(found) == {"b.jpg": ("dog",)}
    assert found.rejections[0].name == "labels.json a.jpg"


def test_labels_are_written_in_their_normal_form() -> None:
    found = read({"a.jpg": "cafe\u0301 ", "b.jpg": "caf\u00e9", "c.jpg": "\u200bcaf\u00e9"})
    assert set(labels_of(found).values()) == {("caf\u00e9",)}


def test_hierarchies_are_refused_in_so_many_words() -> None:
    with pytest.raises(ListRefusedError, match=r"hierarchy of labels \(animal > cat, dog\)"):
        read({"animal": {"cat": ["a.jpg"], "dog": ["b.jpg"]}, "plant": {"oak": ["c.jpg"]}})
    with pytest.raises(ListRefusedError, match="hierarchy .animal/cat, animal/dog"):
        read({"a.jpg": "animal/cat", "b.jpg": "animal/dog", "c.jpg": "plant/oak"})
    with pytest.raises(ListRefusedError, match="hierarchy .animal > cat, animal > dog"):
        read({"a.jpg": "animal > cat", "b.jpg": "animal > dog"})
    assert labels_of(read({"a.jpg": "T-shirt/top", "b.jpg": "Trouser", "c.jpg": "n/a"}))
    assert labels_of(read({"a.jpg": "E. coli", "b.jpg": "E. faecalis"}))


def test_many_images_with_several_labels_are_refused_and_few_are_set_aside() -> None:
    value: dict[str, object] = {f"{number}.jpg": "cat" for number in range(99)}
    found = read({**value, "x.jpg": ["cat", "dog"]})
    assert len(found.statements) == 99
    assert found.rejections[0].name == "labels.json x.jpg: cat, dog"
    assert 'set task = "multi_label" under [labels]' in found.rejections[0].reason


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"name": "demo", "version": "1.0", "files": ["index.js"]},
        {"title": "IMG_1.jpg", "photoTakenTime": {"timestamp": "1"}, "url": "https://x"},
        {"0": "cat", "1": "dog"},
        {"cat": 0, "dog": 1},
        ["cat", "dog"],
        {"labels": ["cat", "dog"]},
        {"images": [], "annotations": []},
    ],
)
def test_json_of_another_kind_is_left_to_others(value: object) -> None:
    assert find(value) is None

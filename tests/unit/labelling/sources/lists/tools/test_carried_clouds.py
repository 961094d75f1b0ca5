"""What people carry away from Vertex AI, Azure ML and Custom Vision, after the vendors' pages."""

import json
from typing import Any

import pytest

from labelling.sources.lists.json_lists import JsonLists
from labelling.sources.lists.list_format import ListFile, ListReading, ListRefusedError
from labelling.sources.lists.tools.vertex import VertexTable
from labelling.sources.reading import ReadingOptions
from tests.carried import around

pytestmark = pytest.mark.unit

SINGLE = ReadingOptions()
MULTI = ReadingOptions(task="multi_label")


def lines(*records: object, options: ReadingOptions = SINGLE) -> ListReading:
    text = "\n".join(item if isinstance(item, str) else json.dumps(item) for item in records)
    found = JsonLists().read(ListFile("data.jsonl", text.encode()), options, around())
    assert found is not None
    return found


def table(text: str | bytes, options: ReadingOptions = SINGLE) -> ListReading | None:
    data = text.encode() if isinstance(text, str) else text
    return VertexTable().read(ListFile("data.csv", data), options, around())


def statements_of(
    reading: ListReading | None,
) -> list[tuple[str, tuple[str, ...] | None, str | None]]:
    assert reading is not None
    return [(item.file, item.labels, item.split) for item in reading.statements]


# --- Vertex AI ----------------------------------------------------------------------------


def vertex(file: str, *labels: str, use: str | None = None, **more: Any) -> dict[str, Any]:
    record: dict[str, Any] = {"imageGcsUri": f"gs://bucket/{file}", **more}
    if len(labels) == 1:
        record["classificationAnnotation"] = {"displayName": labels[0]}
    elif labels:
        record["classificationAnnotations"] = [{"displayName": label} for label in labels]
    if use is not None:
        record["dataItemResourceLabels"] = {"aiplatform.googleapis.com/ml_use": use}
    return record


def test_vertex_lines_give_labels_and_uses() -> None:
    found = lines(
        vertex("filename1.jpeg", "daisy", use="test"),
        vertex("filename2.gif", "dandelion", use="training"),
        vertex("filename3.png", "roses", use="validation"),
        vertex("filename4.bmp"),
        "{",
        {"image": "x"},
    )
    assert statements_of(found) == [
        ("gs://bucket/filename1.jpeg", ("daisy",), "test"),
        ("gs://bucket/filename2.gif", ("dandelion",), "train"),
        ("gs://bucket/filename3.png", ("roses",), "val"),
        ("gs://bucket/filename4.bmp", None, None),
    ]
    assert [rejection.name for rejection in found.rejections] == ["data.jsonl:5", "data.jsonl:6"]


def test_several_labels_of_vertex_are_for_multi_label() -> None:
    records = [vertex("a.jpg", "daisy", "full_shot"), vertex("b.jpg", classificationAnnotations=[])]
    assert statements_of(lines(*records, options=MULTI)) == [
        ("gs://bucket/a.jpg", ("daisy", "full_shot"), None),
        ("gs://bucket/b.jpg", (), None),
    ]
    with pytest.raises(ListRefusedError, match='daisy, full_shot.*task = "multi_label"'):
        lines(*records)


@pytest.mark.parametrize("key", ["boundingBoxAnnotations", "segmentationAnnotation"])
def test_boxes_of_vertex_are_named_and_left_behind(key: str) -> None:
    boxes = {key: [{"displayName": "car", "xMin": "0.3"}]}
    with pytest.raises(ListRefusedError, match=f"with {key}, detection or segmentation"):
        lines(vertex("a.jpg", **boxes))
    found = lines(vertex("a.jpg", "daisy", **boxes))
    assert statements_of(found) == [("gs://bucket/a.jpg", ("daisy",), None)]
    assert found.warnings == [f"only classes are read; {key} is left out"]


def test_vertex_csv_has_no_header_and_columns_that_may_be_absent() -> None:
    found = table(
        "test,gs://bucket/filename1.jpeg,daisy\n"
        "TRAIN,gs://bucket/filename2.gif, dandelion\n"
        "gs://bucket/filename3.png\n\n"
        "gs://bucket/filename4.bmp,sunflowers\n"
        "UNASSIGNED,gs://bucket/5.bmp,,,\n"
        "VALIDATION,gs://bucket/filename5.tiff,tulips\n"
    )
    assert statements_of(found) == [
        ("gs://bucket/filename1.jpeg", ("daisy",), "test"),
        ("gs://bucket/filename2.gif", ("dandelion",), "train"),
        ("gs://bucket/filename3.png", None, None),
        ("gs://bucket/filename4.bmp", ("sunflowers",), None),
        ("gs://bucket/5.bmp", None, None),
        ("gs://bucket/filename5.tiff", ("tulips",), "val"),
    ]


def test_several_labels_in_a_row_are_for_multi_label() -> None:
    text = "\ufefftest,gs://b/1.jpg,daisy,full_shot\ngs://b/2.jpg,roses\n"
    assert statements_of(table(text, MULTI))[0] == ("gs://b/1.jpg", ("daisy", "full_shot"), "test")
    with pytest.raises(ListRefusedError, match='daisy, full_shot.*task = "multi_label"'):
        table(text)


def test_a_csv_with_another_header_or_without_cloud_storage_is_left_to_others() -> None:
    assert table("image,label\ngs://b/1.jpg,cat\n") is None
    assert table("1.jpg,cat\n2.jpg,gs://x\n") is None
    assert table("gs://b/1.jpg,cat\n", ReadingOptions(columns=("1", "2"))) is None
    with pytest.raises(ListRefusedError, match="bounding boxes, detection"):
        table("TRAIN,gs://b/1.jpg,car,0.1,0.1,,,0.3,0.3,,\nTEST,gs://b/2.jpg,,,,,,,,,\n")


def test_a_csv_of_another_encoding_is_read_with_a_warning() -> None:
    found = table("gs://b/1.jpg,Blüte\ngs://b/2.jpg,Stängel\n".encode("cp1252"))
    assert statements_of(found)[0] == ("gs://b/1.jpg", ("Blüte",), None)
    assert found is not None
    assert "cp1252" in found.warnings[0]
    wide = table("gs://b/1.jpg,Blüte\n".encode("utf-16"))
    assert statements_of(wide)[0][1] == ("Blüte",)


def test_rows_of_another_kind_are_named_and_the_rest_goes_on() -> None:
    rows = [f"gs://b/{number}.jpg,cat" for number in range(60)]
    found = table("\n".join([*rows, "b/61.jpg,cat", "gs://b/62.jpg,dog"]))
    assert found is not None
    assert len(found.statements) == 61
    assert [rejection.name for rejection in found.rejections] == ["data.csv:61"]


# --- Azure ML -----------------------------------------------------------------------------

STORE = "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/d/paths"


def test_azure_lines_give_labels() -> None:
    details = {"format": "jpg", "width": "400px", "height": "258px"}
    found = lines(
        {"image_url": f"{STORE}/image_data/1.jpg", "image_details": details, "label": "can"},
        {
            "image_url": "AmlDatastore://image_data/2.jpg",
            "label": "carton",
            "label_confidence": 1.0,
        },
        {"image_url": "AmlDatastore://image_data/3.jpg"},
        {"image_url": "AmlDatastore://image_data/4.jpg", "label": 7.5},
    )
    assert statements_of(found) == [
        (f"{STORE}/image_data/1.jpg", ("can",), None),
        ("AmlDatastore://image_data/2.jpg", ("carton",), None),
        ("AmlDatastore://image_data/3.jpg", None, None),
    ]
    assert found.rejections[0].name.endswith("4.jpg: 7.5")


def test_several_labels_of_azure_are_for_multi_label() -> None:
    records = [
        {"image_url": "AmlDatastore://d/1.jpg", "label": ["can", "carton"]},
        {"image_url": "AmlDatastore://d/2.jpg", "label": []},
    ]
    assert [labels for _, labels, _ in statements_of(lines(*records, options=MULTI))] == [
        ("can", "carton"),
        (),
    ]
    with pytest.raises(ListRefusedError, match='task = "multi_label"'):
        lines(*records)


def test_boxes_of_azure_are_named() -> None:
    box = {"label": "can", "topX": 0.26, "topY": 0.4, "bottomX": 0.7, "bottomY": 0.7, "isCrowd": 0}
    with pytest.raises(ListRefusedError, match=r"boxes or polygons \(first at data.jsonl:2\)"):
        lines(
            {"image_url": "AmlDatastore://d/1.jpg", "label": []},
            {"image_url": "AmlDatastore://d/2.jpg", "label": [box]},
        )


# --- Custom Vision ------------------------------------------------------------------------


def shown(number: int, *tags: str, **more: Any) -> dict[str, Any]:
    address = f"https://store.blob.core.windows.net/s/i-12/o-{number}?sv=2017&sig=abc"
    return {
        "id": f"4d6eb844-42ee-42bc-bd6f-c32455ef0{number:02}a",
        "created": "2017-12-18T22:40:29",
        "width": 600,
        "height": 450,
        "originalImageUri": address,
        "thumbnailUri": address,
        "tags": [{"tagId": f"t{tag}", "tagName": tag, "created": "2017"} for tag in tags],
        **more,
    }


def listed(*records: object, options: ReadingOptions = SINGLE) -> ListReading:
    data = json.dumps(records).encode()
    found = JsonLists().read(ListFile("images.json", data), options, around())
    assert found is not None
    return found


def test_images_of_custom_vision_are_called_by_their_id() -> None:
    snake = {
        "id": "b2",
        "original_image_uri": "https://h/o-2?x",
        "tags": [{"tag_id": "t", "tag_name": "hemlock"}],
    }
    found = listed(shown(1, "cherry"), snake, shown(3), shown(4, regions=[]))
    assert [(item.file, item.or_file, item.labels) for item in found.statements] == [
        ("4d6eb844-42ee-42bc-bd6f-c32455ef001a", "o-1", ("cherry",)),
        ("b2", "o-2", ("hemlock",)),
        ("4d6eb844-42ee-42bc-bd6f-c32455ef003a", "o-3", None),
        ("4d6eb844-42ee-42bc-bd6f-c32455ef004a", "o-4", None),
    ]


def test_the_tag_negative_is_none_of_the_labels_in_multi_label() -> None:
    records = [shown(1, "fork", "knife"), shown(2, "Negative"), shown(3, "fork")]
    found = listed(*records, options=MULTI)
    assert [item.labels for item in found.statements] == [("fork", "knife"), (), ("fork",)]
    assert found.warnings == ["the tag Negative means none of the labels: 1 image"]
    assert [item.labels for item in listed(*records[1:]).statements] == [("Negative",), ("fork",)]


def test_regions_of_custom_vision_are_named() -> None:
    region = {"regionId": "r", "tagName": "fork", "left": 0.1, "top": 0.1, "width": 0.2}
    with pytest.raises(ListRefusedError, match="object detection .regions first at images.json re"):
        listed(shown(1, "fork", regions=[region]))

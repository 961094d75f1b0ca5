"""Manifests of Ground Truth and Rekognition Custom Labels: which attribute is the label."""

import json
from typing import Any

import pytest

from labelling.sources.lists.json_lists import JsonLists
from labelling.sources.lists.list_format import ListFile, ListReading, ListRefusedError
from labelling.sources.reading import ReadingOptions
from tests.carried import around

pytestmark = pytest.mark.unit

MULTI = ReadingOptions(task="multi_label")


def image(number: int, **attributes: tuple[object, dict[str, Any]]) -> dict[str, Any]:
    line: dict[str, Any] = {"source-ref": f"s3://bucket/photos/{number}.jpg"}
    for name, (value, metadata) in attributes.items():
        line |= {name: value, f"{name}-metadata": metadata}
    return line


def sport(name: str, **more: Any) -> tuple[object, dict[str, Any]]:
    """An attribute as the page on output data shows it."""
    metadata = {
        "class-name": name,
        "confidence": 0.0,
        "type": "groundtruth/image-classification",
        "job-name": "identify-sport",
        "human-annotated": "yes",
        "creation-date": "2018-10-18T22:18:13.527256",
    }
    return 0, {**metadata, **more}


def tags(*numbers: int, **more: Any) -> tuple[object, dict[str, Any]]:
    metadata = {
        "class-map": {"1": "bicycle", "0": "person", "8": "clothing"},
        "confidence-map": {str(number): 0.95 for number in numbers},
        "human-annotated": "yes",
        "type": "groundtruth/image-classification-multilabel",
    }
    return list(numbers), {**metadata, **more}


def boxes() -> tuple[object, dict[str, Any]]:
    value = {"annotations": [{"class_id": 0, "left": 1, "top": 2, "width": 3, "height": 4}]}
    metadata = {"class-map": {"0": "dog"}, "type": "groundtruth/object-detection"}
    return value, metadata


def read(*lines: object, options: ReadingOptions = ReadingOptions()) -> ListReading:  # noqa: B008 - frozen
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    found = JsonLists().read(ListFile("output.manifest", text.encode()), options, around())
    assert found is not None
    return found


def labels(reading: ListReading) -> list[tuple[str, ...] | None]:
    return [statement.labels for statement in reading.statements]


def test_the_class_name_of_an_attribute_is_the_label() -> None:
    found = read(image(1, sport=sport("football")), image(2, sport=sport("rowing")), image(3))
    assert labels(found) == [("football",), ("rowing",), None]
    assert found.statements[0].file == "s3://bucket/photos/1.jpg"
    assert found.statements[1].place == "output.manifest:2"
    assert found.understood == "Ground Truth manifest, labels of sport"
    assert (found.rejections, found.warnings, found.doubts) == ([], [], [])


def test_one_line_alone_is_a_manifest() -> None:
    assert labels(read(image(1, sport=sport("football")))) == [("football",)]


def test_multi_label_needs_the_task() -> None:
    lines = [image(1, tags=tags(1, 0)), image(2, tags=tags(8)), image(3, tags=tags())]
    assert labels(read(*lines, options=MULTI)) == [("bicycle", "person"), ("clothing",), ()]
    with pytest.raises(ListRefusedError, match='bicycle, person.*task = "multi_label"'):
        read(*lines)


def test_a_number_that_the_class_map_lacks_is_named_and_the_rest_goes_on() -> None:
    found = read(image(1, tags=tags(1, 5)), image(2, tags=tags(0)), "{", options=MULTI)
    assert labels(found) == [None, ("person",)]
    assert [(item.name, item.reason) for item in found.rejections] == [
        ("output.manifest:1 tags: 5", "class-map names no class of this number"),
        ("output.manifest:3", "broken JSON; correct or remove this line"),
    ]


def test_failures_machines_and_unsure_workers_are_reported() -> None:
    failed = {"failure-reason": "ClientError: …", "human-annotated": "true"}
    found = read(
        image(1, tags=tags(0)),
        image(2, tags=(-1, failed)),
        image(3, tags=tags(0, 1, **{"confidence-map": {"0": 0.9, "1": 0.3}})),
        image(4, tags=tags(0, **{"human-annotated": "no"})),
        options=MULTI,
    )
    assert labels(found) == [("person",), None, ("person", "bicycle"), ("person",)]
    assert found.warnings == [
        "failed in the job, so not labelled: 1 image",
        "labelled by automated data labeling, not by people: 1 image",
        "a label of a confidence below 0.5, taken as the others are: 1 image",
    ]


def test_two_attributes_that_contradict_each_other_are_a_question() -> None:
    lines = [
        image(1, sport=sport("football"), where=sport("indoor")),
        image(2, sport=sport("rowing"), where=sport("outdoor")),
    ]
    found = read(*lines)
    assert labels(found) == [None, None]
    assert found.doubts[0].answers == (
        ("--columns source-ref,sport", "classes: football (1), rowing (1)"),
        ("--columns source-ref,where", "classes: indoor (1), outdoor (1)"),
    )
    decided = ReadingOptions(columns=("source-ref", "where"))
    assert labels(read(*lines, options=decided)) == [("indoor",), ("outdoor",)]
    with pytest.raises(ListRefusedError, match="there are sport, where"):
        read(*lines, options=ReadingOptions(columns=("source-ref", "size")))


def test_a_chained_job_that_labels_what_another_had_left_is_taken_with_it() -> None:
    found = read(
        image(1, first=sport("cat")),
        image(2, second=sport("dog")),
        image(3, first=sport("cat"), second=sport("cat")),
    )
    assert labels(found) == [("cat",), ("dog",), ("cat",)]
    assert "first, second agree, and are merged" in found.warnings[0]


def test_rekognition_gives_an_attribute_for_each_label() -> None:
    lines = [
        image(1, **{"set_Echo_Dot": sport("Echo Dot"), "set_Sunrise": sport("Sunrise")}),
        image(2, **{"set_Sunrise": sport("Sunrise")}),
    ]
    found = read(*lines, options=MULTI)
    assert labels(found) == [("Echo Dot", "Sunrise"), ("Sunrise",)]
    assert (found.warnings, found.doubts) == ([], [])


def test_a_manifest_without_metadata_gives_its_scalar() -> None:
    found = read({"source-ref": "s3://b/a.jpg", "class": "0"}, {"source-ref": "s3://b/b.jpg"})
    assert labels(found) == [("0",), None]


@pytest.mark.parametrize(
    "value",
    [
        {"answers": [{"answerContent": {"c": {"label": "dog"}}, "workerId": "private.x"}]},
        [{"datasetObjectId": "0", "dataObject": {"s3Uri": "s3://b/1.jpg"}, "annotations": [{}]}],
    ],
)
def test_what_the_job_keeps_of_single_workers_says_nothing(value: Any) -> None:
    data = json.dumps(value).encode()
    found = JsonLists().read(ListFile("x.json", data), ReadingOptions(), around("1.jpg"))
    assert found is not None
    assert not found.statements
    assert "its manifest gives the labels" in found.warnings[0]


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"box": boxes()}, "for object-detection, which gives no image a class"),
        ({"box": boxes(), "verify": sport("bad", type="groundtruth/label-verification")}, "verif"),
        (
            {"city-ref": ("s3://b/m.png", {"type": "groundtruth/semantic-segmentation"})},
            "semantic-segmentation",
        ),
    ],
)
def test_other_jobs_are_named(attributes: dict[str, Any], words: str) -> None:
    with pytest.raises(ListRefusedError, match=words):
        read(image(1, **attributes))


def test_classes_beside_boxes_are_taken_and_the_boxes_named() -> None:
    found = read(image(1, sport=sport("football"), box=boxes()), image(2, sport=sport("rowing")))
    assert labels(found) == [("football",), ("rowing",)]
    assert found.warnings == ["only classes are read; object-detection is left out"]

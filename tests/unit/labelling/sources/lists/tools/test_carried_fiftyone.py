"""FiftyOne's own data set: ``samples.json`` says in which field the labels of whole images are."""

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

SINGLE = ReadingOptions()
MULTI = ReadingOptions(task="multi_label")


def sample(name: str, tag: str = "validation", **fields: Any) -> dict[str, Any]:
    return {
        "_id": {"$oid": "66884235fd38132f358f4f08"},
        "filepath": f"data/{name}",
        "tags": [tag] if tag else [],
        "metadata": None,
        "_media_type": "image",
        **fields,
    }


def one(label: str | None, **more: Any) -> dict[str, Any]:
    return {"_cls": "Classification", "tags": [], "label": label, "confidence": None, **more}


def many(*labels: str) -> dict[str, Any]:
    return {"_cls": "Classifications", "classifications": [one(label) for label in labels]}


def read(*samples: dict[str, Any], options: ReadingOptions = SINGLE) -> ListReading:
    files = around("data/a.jpg", "data/b.jpg", "data/c.jpg")
    text = json.dumps({"samples": samples}).encode()
    found = JsonLists().read(ListFile("samples.json", text), options, files)
    assert found is not None
    return found


def labels_of(reading: ListReading) -> dict[str, tuple[str, ...] | None]:
    assert not reading.doubts
    return {item.file: item.labels for item in reading.statements}


def test_the_classification_is_the_label_and_the_tag_the_split() -> None:
    found = read(
        sample("a.jpg", ground_truth=one("cat")),
        sample("b.jpg", "train", ground_truth=one("dog"), place="north"),
        sample("c.jpg", "", ground_truth=None),
    )
    assert labels_of(found) == {"data/a.jpg": ("cat",), "data/b.jpg": ("dog",), "data/c.jpg": None}
    assert [item.split for item in found.statements] == ["val", "train", None]


def test_tags_that_are_no_splits_are_none() -> None:
    found = read(sample("a.jpg", "blurry", ground_truth=one("cat")))
    assert found.statements[0].split is None


def test_classifications_are_several_labels() -> None:
    found = read(sample("a.jpg", x=many("cat", "dog")), sample("b.jpg", x=many()), options=MULTI)
    assert labels_of(found) == {"data/a.jpg": ("cat", "dog"), "data/b.jpg": ()}


@pytest.mark.parametrize(
    "fields",
    [
        {"ground_truth": one("cat"), "weather": one("rain")},
        {"ground_truth": one("cat"), "predictions": one("dog", confidence=0.9)},
        {"predictions": one("cat")},
        {"resnet": one("cat", confidence=0.3)},
    ],
)
def test_several_fields_or_a_models_are_a_question(fields: dict[str, Any]) -> None:
    (doubt,) = read(sample("a.jpg", **fields)).doubts
    options = [f"--columns filepath,{field}" for field in fields]
    assert [option for option, _ in doubt.answers] == [*options, "--labels-from none"]
    first = next(iter(fields))
    notes = read(sample("a.jpg", **fields), options=ReadingOptions(columns=("filepath", first)))
    assert labels_of(notes) == {"data/a.jpg": ("cat",)}


def test_columns_that_hold_no_classification_are_named() -> None:
    with pytest.raises(ListRefusedError, match=r"no classifications in tags.*ground_truth"):
        read(
            sample("a.jpg", ground_truth=one("cat")),
            options=ReadingOptions(columns=("filepath", "tags")),
        )


@pytest.mark.parametrize("kind", ["Detections", "Segmentation", "Keypoints"])
def test_places_are_named(kind: str) -> None:
    with pytest.raises(ListRefusedError, match="with things, detection or segmentation"):
        read(sample("a.jpg", things={"_cls": kind}))


def test_places_beside_a_classification_do_not_matter() -> None:
    found = read(sample("a.jpg", things={"_cls": "Detections"}, scene=one("north")))
    assert labels_of(found) == {"data/a.jpg": ("north",)}


def test_samples_without_labels_have_none() -> None:
    assert labels_of(read(sample("a.jpg"))) == {"data/a.jpg": None}


def test_as_a_source(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "data" / name).write_bytes(b"x")
    samples = [sample("a.jpg", y=one("cat")), sample("b.jpg", y=one("dog"))]
    (tmp_path / "samples.json").write_text(json.dumps({"samples": samples}))
    about = {"name": "x", "media_type": "image", "sample_fields": [{"name": "filepath"}]}
    (tmp_path / "metadata.json").write_text(json.dumps(about))
    found = read_source(tmp_path, ReadingOptions())
    assert not found.doubts
    assert found.labels == {"data/a.jpg": ("cat",), "data/b.jpg": ("dog",)}

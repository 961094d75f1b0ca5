"""Formats do not claim one another's files, and no content makes one fail otherwise than by name."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelling.sources.lists.json_lists import JSON_FORMATS, JsonLists
from labelling.sources.lists.list_format import (
    ListFile,
    ListFormat,
    ListReading,
    ListRefusedError,
)
from labelling.sources.lists.plain_json.document import open_json
from labelling.sources.lists.pointers import Pointers
from labelling.sources.lists.shapes.detection import DetectionFiles
from labelling.sources.lists.tools.cvat import Cvat
from labelling.sources.lists.tools.label_studio.table import LabelStudioTable
from labelling.sources.lists.tools.vertex import VertexTable
from labelling.sources.lists.tools.voc_lists import VocLists
from labelling.sources.reading import ReadingOptions
from tests.carried import around

pytestmark = pytest.mark.unit

FORMATS: tuple[ListFormat, ...] = (
    LabelStudioTable(),
    VertexTable(),
    Pointers(),
    VocLists(),
    Cvat(),
    DetectionFiles(),
    JsonLists(),
)
ADDRESS = "https://store.blob.core.windows.net/s/i-12/o-1?sig=x"

SAMPLES: dict[str, list[Any]] = {
    "Label Studio's JSON export": [
        [
            {
                "id": 1,
                "data": {"image": "/data/upload/1/ab12cd34-a.jpg"},
                "annotations": [
                    {
                        "result": [
                            {
                                "from_name": "label",
                                "to_name": "image",
                                "type": "choices",
                                "value": {"choices": ["cat"]},
                            }
                        ]
                    }
                ],
            }
        ],
        [
            {
                "image": "a.jpg",
                "id": 2,
                "label": "dog",
                "annotator": 1,
                "annotation_id": 1,
                "created_at": "2026-11-23T13:43:48.091518Z",
                "updated_at": "2026-11-23T13:43:48.091565Z",
                "lead_time": None,
            }
        ],
    ],
    "Ground Truth's manifest": [
        [
            {
                "source-ref": "s3://b/a.jpg",
                "sport": 0,
                "sport-metadata": {
                    "class-name": "football",
                    "type": "groundtruth/image-classification",
                },
            }
        ],
        [{"source-ref": "s3://b/a.jpg", "class": "0"}],
    ],
    "Vertex AI's JSON Lines": [
        [{"imageGcsUri": "gs://b/a.jpg", "classificationAnnotation": {"displayName": "daisy"}}],
        [{"imageGcsUri": "gs://b/a.jpg"}],
    ],
    "Azure ML's JSON Lines": [
        [{"image_url": "AmlDatastore://d/a.jpg", "label": "can", "label_confidence": 1.0}],
    ],
    "Custom Vision's list of images": [
        [{"id": "4d6e", "originalImageUri": ADDRESS, "tags": [{"tagName": "apple"}]}],
    ],
    "COCO's JSON": [
        {
            "images": [{"id": 1, "file_name": "a.jpg"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1}],
            "categories": [{"id": 1, "name": "apple"}],
        },
        {
            "images": [{"id": 1, "file_name": "a.jpg"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
            "categories": [{"id": 1, "name": "apple"}],
        },
    ],
    "FiftyOne's labels.json": [{"classes": ["cat", "dog"], "labels": {"a": 0, "b": 1}}],
    "FiftyOne's samples.json": [
        {
            "samples": [
                {
                    "filepath": "data/a.jpg",
                    "tags": ["train"],
                    "ground_truth": {"_cls": "Classification", "label": "cat"},
                }
            ]
        }
    ],
    "Labelbox's export": [
        [
            {
                "Labeled Data": "https://storage.labelbox.com/a.jpg",
                "External ID": "a.jpg",
                "Label": {"classifications": [{"title": "animal", "answer": {"title": "cat"}}]},
            }
        ],
        [
            {
                "data_row": {"external_id": "a.jpg"},
                "projects": {
                    "p": {
                        "labels": [
                            {
                                "annotations": {
                                    "classifications": [
                                        {"name": "animal", "radio_answer": {"name": "cat"}}
                                    ]
                                }
                            }
                        ]
                    }
                },
            }
        ],
    ],
    "Prodigy's annotations": [
        [
            {"image": "a.jpg", "label": "cat", "answer": "accept"},
            {
                "image": "b.jpg",
                "options": [{"id": 0, "text": "cat"}],
                "accept": [0],
                "answer": "ignore",
            },
        ]
    ],
    "LabelMe's flags": [{"flags": {"cat": True, "dog": False}, "shapes": [], "imagePath": "a.jpg"}],
    "VGG Image Annotator's file attributes": [
        {"a.jpg1": {"filename": "a.jpg", "regions": [], "file_attributes": {"kind": "cat"}}}
    ],
    "V7 Darwin's tags": [
        {"item": {"name": "a.jpg", "path": "/"}, "annotations": [{"name": "cat", "tag": {}}]}
    ],
    "a JSON map of images and labels": [
        {"a.jpg": "cat", "b.jpg": "dog"},
        {"cat": ["a.jpg"], "dog": ["b.jpg"]},
    ],
    "JSON records": [
        [{"file": "a.jpg", "label": "cat"}, {"file": "b.jpg", "label": "dog"}],
        {"data": [{"image": "a.jpg", "class": "cat"}]},
    ],
    "detection annotations in JSON": [
        {"version": "5.0.1", "flags": {}, "shapes": [{"points": [[1, 2]]}], "imagePath": "a.jpg"},
        [{"image": "a.jpg", "annotations": [{"label": "cat", "coordinates": {"x": 1}}]}],
    ],
}
GENERIC = ("a JSON map of images and labels", "detection annotations in JSON", "JSON records")
TABLES = {
    "Label Studio's CSV export": (
        "annotation_id,annotator,choice,created_at,id,image,lead_time,updated_at\n"
        "1,1,cat,2026,2,a.jpg,,2026\n"
    ),
    "Vertex AI's CSV": "training,gs://b/a.jpg,daisy\n",
    "CVAT's XML": (
        '<annotations><image id="0" name="a.jpg"><tag label="cat"></tag></image></annotations>'
    ),
    "detection annotations": "filename,class,xmin,ymin,xmax,ymax\na.jpg,cat,1,1,2,2\n",
}

CASES = [(name, value) for name, values in SAMPLES.items() for value in values]


def texts(value: Any) -> list[str]:
    """A sample as JSON, and as JSON Lines where it is an array."""
    found = [json.dumps(value), json.dumps(value, indent=2)]
    if isinstance(value, list):
        found.append("\n".join(json.dumps(item) for item in value * 2))
    return found


def claims(form: Any, *args: Any) -> bool:
    try:
        return form.read(*args) is not None
    except ListRefusedError:
        return True


@pytest.mark.parametrize(("name", "value"), CASES)
def test_each_format_claims_its_own_and_no_others(name: str, value: Any) -> None:
    for text in texts(value):
        document = open_json(ListFile("x.json", text.encode()))
        assert document is not None
        claiming = [
            form.name
            for form in JSON_FORMATS
            if claims(form, document, ReadingOptions(), around("a.jpg", "b.jpg"))
        ]
        assert claiming[0] == name
        assert set(claiming) - set(GENERIC) == {name} - set(GENERIC)
        others = [form for form in FORMATS if not isinstance(form, JsonLists)]
        file = ListFile("x.json", text.encode())
        assert not any(claims(form, file, ReadingOptions(), around("a.jpg")) for form in others)


@pytest.mark.parametrize("name", TABLES)
def test_each_table_is_claimed_by_its_own_format(name: str) -> None:
    file = ListFile("x.csv", TABLES[name].encode())
    first = next(form for form in FORMATS if claims(form, file, ReadingOptions(), around("a.jpg")))
    assert first.name == name


@pytest.mark.parametrize(
    "name",
    [
        "Label Studio's JSON export",
        "Ground Truth's manifest",
        "Vertex AI's JSON Lines",
        "Custom Vision's list of images",
    ],
)
def test_the_docs_show_what_is_said_of_a_list(name: str) -> None:
    file = ListFile("x.json", json.dumps(SAMPLES[name][0]).encode())
    found = JsonLists().read(file, ReadingOptions(), around("a.jpg"))
    assert found is not None
    docs = Path(__file__).parents[5] / "docs" / "coming-from.md"
    assert f": {found.understood}\n" in docs.read_text(encoding="utf-8")


# --- whatever it holds --------------------------------------------------------------------

WORDS = sorted(
    {
        word
        for value in [value for _, value in CASES]
        for word in json.dumps(value).replace('"', " ").replace(":", " ").split()
        if word.replace("_", "").replace("-", "").isalpha()
    }
    | {"a.jpg", "gs://b/a.jpg", "completions", "regions", "class-map", "\ud800", "", "train"}
)
KEYS = st.sampled_from(WORDS)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.just(9**80)
    | st.floats()
    | KEYS
    | st.text(max_size=3)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A sample, in which any values are replaced by others."""

    def change(value: Any) -> Any:
        if draw(st.integers(0, 9)) == 0:
            return draw(VALUES)
        if isinstance(value, dict):
            return {key: change(part) for key, part in value.items()}
        return [change(part) for part in value] if isinstance(value, list) else value

    return change(draw(st.sampled_from(CASES))[1])


@settings(max_examples=100, deadline=None)
@given(
    value=VALUES | mutated(),
    as_lines=st.booleans(),
    options=st.sampled_from(
        [
            ReadingOptions(),
            ReadingOptions(task="multi_label"),
            ReadingOptions(columns=("image", "label")),
            ReadingOptions(columns=("image", "label", "tags")),
            ReadingOptions(columns=("1", "2"), encoding="latin-1"),
        ]
    ),
)
def test_any_json_is_read_or_refused(value: Any, as_lines: bool, options: ReadingOptions) -> None:
    records = value * 2 if isinstance(value, list) else [value, value]
    text = "\n".join(map(json.dumps, records)) if as_lines else json.dumps(value)
    check(text.encode("utf-8", "surrogatepass"), options)


@settings(max_examples=60, deadline=None)
@given(
    cells=st.lists(
        st.lists(KEYS | st.text(max_size=3) | st.just("gs://b/a.jpg"), max_size=9), max_size=4
    ),
    table=st.sampled_from(sorted(TABLES.values())),
    delimiter=st.sampled_from([",", "\t", ";", '"']),
)
def test_any_table_is_read_or_refused(cells: list[list[str]], table: str, delimiter: str) -> None:
    text = table + "\n".join(delimiter.join(row) for row in cells)
    check(text.encode("utf-8", "surrogatepass"), ReadingOptions())


def check(data: bytes, options: ReadingOptions) -> None:
    for name in ("x.json", "x.csv", "x.txt"):
        for form in FORMATS:
            try:
                found = form.read(ListFile(name, data), options, around("a.jpg", "b.png"))
            except ListRefusedError:
                continue
            assert found is None or isinstance(found, ListReading)
            for statement in found.statements if found else ():
                assert statement.file.strip()
                assert statement.labels is None or all(map(str.strip, statement.labels))

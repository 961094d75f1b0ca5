"""Fields and columns that say what a record is, how an image is stored, or describe it, are no labels
where another one is."""

import json

import pytest

from labelling.sources.lists.list_format import ListReading
from labelling.sources.reading import ReadingOptions
from tests.unit.labelling.sources.lists_of_tests import PHOTOS, ListedSource

pytestmark = pytest.mark.unit

ANIMALS = ["cat", "dog", "cat", "dog"]


def read(lists: dict[str, str], name: str, options: ReadingOptions | None = None) -> ListReading:
    found = ListedSource(lists, options=options or ReadingOptions()).read(name)
    assert found is not None
    return found


def records(make: object) -> ListReading:
    values = [make(file, animal) for file, animal in zip(PHOTOS, ANIMALS, strict=True)]
    return read({"x.json": json.dumps(values)}, "x.json")


@pytest.mark.parametrize(
    "make",
    [
        lambda f, a: {"image": f, "type": "image", "status": "done", "result": {"label": a}},
        lambda f, a: {"path": f, "kind": "photo", "content": {"animal": a, "n": 1}},
        lambda f, a: {
            "type": "categorization",
            "params": {"attachment": f"https://x/{f}", "categories": ["cat", "dog"]},
            "response": {"category": [a]},
        },
        lambda f, a: {"file": f, "kind": "photo", "answer": {"class": {"value": a}, "took": 3}},
        lambda f, a: {"file": f, "type": ["jpg", "png"][f > "b"], "result": {"tag": a}},
        lambda f, a: {"file": f, "result": "ok", "animal": a},
    ],
)
def test_a_field_that_is_the_same_for_all_is_not_the_label(make: object) -> None:
    found = records(make)
    assert not found.doubts
    assert [item.labels for item in found.statements] == [(a,) for a in ANIMALS]


def test_a_column_that_is_the_same_for_all_is_the_label_where_nothing_else_is() -> None:
    found = records(lambda f, a: {"file": f, "kind": "cat"})
    assert {item.labels for item in found.statements} == {("cat",)}


def test_of_two_fields_that_differ_none_is_guessed() -> None:
    found = records(lambda f, a: {"file": f, "content": {"animal": a, "coat": f > "b"}})
    assert [len(doubt.answers) for doubt in found.doubts] == [2]


@pytest.mark.parametrize("kinds", [("image/jpeg", "image/png"), ("JPG", "PNG"), (".jpg", ".tif")])
def test_formats_of_files_are_no_labels(kinds: tuple[str, str]) -> None:
    lines = [f"{f},{kinds[f > 'b']},{a}" for f, a in zip(PHOTOS, ANIMALS, strict=True)]
    found = read({"x.csv": "\n".join(["filename,type,verdict", *lines])}, "x.csv")
    assert [item.labels for item in found.statements] == [(a,) for a in ANIMALS]


def test_the_column_that_is_asked_about_may_be_the_labels() -> None:
    lines = [f"{f},{'sw'[f > 'b']},{a}" for f, a in zip(PHOTOS, ANIMALS, strict=True)]
    text = "\n".join(["filename,type,verdict", *lines])
    (doubt,) = read({"x.csv": text}, "x.csv").doubts
    assert "--columns filename,verdict" in dict(doubt.answers)
    reported = ReadingOptions(columns=("filename", "verdict"))
    found = read({"x.csv": text}, "x.csv", reported)
    assert [item.labels for item in found.statements] == [(a,) for a in ANIMALS]


@pytest.mark.parametrize("caption", ["text", "description"])
def test_numbers_have_their_names_from_the_card_not_from_captions(caption: str) -> None:
    lines = [
        f"{f},{int(a == 'dog')},a photo of a {a}" for f, a in zip(PHOTOS, ANIMALS, strict=True)
    ]
    table = "\n".join([f"file_name,label,{caption}", *lines])
    card = (
        "---\ndataset_info:\n  features:\n  - name: label\n    dtype:\n      class_label:\n"
        "        names:\n          '0': Felis\n          '1': Canis\n---\n"
    )
    found = read({"metadata.csv": table, "README.md": card}, "metadata.csv")
    assert [item.labels for item in found.statements] == [("Felis",), ("Canis",)] * 2


def test_names_in_a_column_called_text_are_names() -> None:
    lines = [f"{f},{int(a == 'dog')},{a}" for f, a in zip(PHOTOS, ANIMALS, strict=True)]
    found = read({"x.csv": "\n".join(["file_name,label,text", *lines])}, "x.csv")
    assert [item.labels for item in found.statements] == [(a,) for a in ANIMALS]

"""Labelbox's exports, old and new: radio and checklist answers are labels, objects are detection."""

import json
from pathlib import Path
from typing import Any

import pytest

from labelling.sources.lists.list_format import ListRefusedError, WrongColumnsError
from labelling.sources.read import read_source
from labelling.sources.reading import ReadingOptions
from tests.unit.labelling.sources.lists_of_tests import ListedSource, labels

pytestmark = pytest.mark.unit

FOUR = ("0.jpg", "1.jpg", "2.jpg", "3.jpg")
ANIMALS = ("cat", "dog", "cat", "dog")


def old(at: int, *classifications: Any, objects: Any = (), **more: Any) -> dict[str, Any]:
    """As ``Project.export_labels`` and the export of the web page write a record."""
    return {
        "ID": f"cklabel{at}",
        "DataRow ID": f"ckrow{at}",
        "Labeled Data": f"https://storage.labelbox.com/ck%2F7d{at}-{at}.jpg?Expires=1&Signature=x",
        "Label": {
            "objects": list(objects),
            "classifications": list(classifications),
            "relationships": [],
        },
        "Created By": "ann@example.org",
        "External ID": f"{at}.jpg",
        "Reviews": [],
        "Skipped": False,
        **more,
    }


def new(at: int, *classifications: Any, objects: Any = (), status: str = "DONE") -> dict[str, Any]:
    """As ``Project.export`` (v2) writes a row."""
    label = {
        "label_kind": "Default",
        "label_details": {"created_by": "ann@example.org"},
        "annotations": {"objects": list(objects), "classifications": list(classifications)},
    }
    return {
        "data_row": {"id": f"r{at}", "external_id": f"{at}.jpg", "row_data": f"https://s/{at}.jpg"},
        "media_attributes": {"height": 8, "width": 8},
        "projects": {"p1": {"labels": [label], "project_details": {"workflow_status": status}}},
    }


def radio(form: Any, answer: str, question: str = "Animal") -> dict[str, Any]:
    texts = {"value": answer.lower(), "name" if form is new else "title": answer}
    if form is new:
        return {"name": question, "value": question.lower(), "radio_answer": texts}
    return {"title": question, "value": question.lower(), "answer": texts}


def checklist(form: Any, *answers: str) -> dict[str, Any]:
    texts = [{"value": one, "name" if form is new else "title": one} for one in answers]
    if form is new:
        return {"name": "Tags", "checklist_answers": texts}
    return {"title": "Tags", "answers": texts}


def write(records: list[dict[str, Any]], *, lines: bool = False) -> str:
    return "\n".join(map(json.dumps, records)) if lines else json.dumps(records)


def labels_of(records: list[dict[str, Any]], **options: Any) -> dict[str, str]:
    return labels(write(records), *FOUR, name="export.json", **options)


BOTH = pytest.mark.parametrize("form", [old, new])


@BOTH
@pytest.mark.parametrize("lines", [True, False])
def test_radio_answers_are_labels(form: Any, lines: bool) -> None:
    records = [form(at, radio(form, animal)) for at, animal in enumerate(ANIMALS)]
    name = "export.ndjson" if lines else "export.json"
    found = labels(write(records, lines=lines), *FOUR, name=name)
    assert found == dict(zip(FOUR, ANIMALS, strict=True))


@BOTH
def test_checklists_are_several_labels_or_none(form: Any) -> None:
    given = [("red", "big"), ("red",), (), ("big",)]
    records = [form(at, checklist(form, *tags)) for at, tags in enumerate(given)]
    assert labels_of(records, task="multi_label") == {
        "0.jpg": "red|big",
        "1.jpg": "red",
        "2.jpg": "",
        "3.jpg": "big",
    }


@BOTH
def test_several_questions_are_asked_about_and_told(form: Any) -> None:
    records = [
        form(at, radio(form, animal), radio(form, "rain", "Weather, outside"))
        for at, animal in enumerate(ANIMALS)
    ]
    source = ListedSource({"export.json": write(records)}, FOUR)
    (doubt,) = source.read("export.json").doubts
    assert doubt.answers[0] == ("--columns image,1", "Animal: cat (2), dog (2)")
    assert not source.match().labels
    for text in ("1", "Animal"):
        assert labels_of(records, columns=("image", text))["1.jpg"] == "dog"
    with pytest.raises(WrongColumnsError, match="Weather, outside"):
        labels_of(records, columns=("image", "Colour"))


@BOTH
def test_objects_alone_are_detection(form: Any) -> None:
    box = {"name": "cat", "title": "cat", "bounding_box": {"top": 1}, "bbox": {"top": 1}}
    nested = box | {"classifications": [radio(form, "asleep")]}
    with pytest.raises(ListRefusedError, match="objects, detection"):
        labels_of([form(at, objects=[nested]) for at in range(4)])
    records = [form(at, radio(form, animal), objects=[box]) for at, animal in enumerate(ANIMALS)]
    assert labels_of(records)["0.jpg"] == "cat"
    reading = ListedSource({"export.json": write(records)}, FOUR).read("export.json")
    assert "the rest (drawn) is left out" in reading.warnings[0]


@BOTH
def test_texts_are_no_labels(form: Any) -> None:
    text = {
        "name": "Note",
        "title": "Note",
        "answer": "a nice one",
        "text_answer": {"content": "a"},
    }
    with pytest.raises(ListRefusedError, match="without radio or checklist answers"):
        labels_of([form(at, text) for at in range(4)])


def test_the_oldest_form_has_the_answers_as_texts() -> None:
    records = [old(at) | {"Label": {"animal": animal}} for at, animal in enumerate(ANIMALS)]
    records[3]["Label"] = "Skip"
    assert labels_of(records) == {"0.jpg": "cat", "1.jpg": "dog", "2.jpg": "cat"}
    drawn = [old(at) | {"Label": {"cat": [[{"x": 1, "y": 2}]]}} for at in range(4)]
    with pytest.raises(ListRefusedError, match="objects, detection"):
        labels_of(drawn)


def test_what_reviewers_rejected_or_annotators_skipped_says_nothing() -> None:
    records = [old(at, radio(old, animal)) for at, animal in enumerate(ANIMALS)]
    records[1] |= {"Skipped": True}
    records[2] |= {"Reviews": [{"score": -1}]}
    assert labels_of(records) == {"0.jpg": "cat", "3.jpg": "dog"}
    states = ["DONE", "REWORK", "IN_REVIEW", "DONE"]
    rows = [
        new(at, radio(new, animal), status=state)
        for at, (animal, state) in enumerate(zip(ANIMALS, states, strict=True))
    ]
    assert labels_of(rows) == {"0.jpg": "cat", "2.jpg": "cat", "3.jpg": "dog"}
    reading = ListedSource({"export.json": write(rows)}, FOUR).read("export.json")
    assert [warning.partition(",")[0] for warning in reading.warnings] == [
        "rejected by reviewers",
        "still to be reviewed",
    ]


def test_annotators_vote_and_the_benchmark_decides() -> None:
    answers = [("cat", "cat", "dog"), ("cat", "dog"), ("dog",), ("dog", "dog")]
    records = [old(at, radio(old, one)) for at, given in enumerate(answers) for one in given]
    source = ListedSource({"export.json": write(records)}, FOUR)
    matching = source.match()
    assert matching.labels == {"0.jpg": ("cat",), "2.jpg": ("dog",), "3.jpg": ("dog",)}
    (rejection,) = matching.rejections
    assert "1.jpg: cat (1), dog (1)" in rejection.name
    row, other = new(1, radio(new, "cat")), new(1, radio(new, "dog"))
    label = row["projects"]["p1"]["labels"][0]
    label["label_details"]["is_benchmark_reference_label"] = True
    row["projects"]["p1"]["labels"] += other["projects"]["p1"]["labels"]
    assert labels_of([row, new(2, radio(new, "dog"))]) == {"1.jpg": "cat", "2.jpg": "dog"}


@BOTH
def test_an_image_without_a_name_is_found_by_its_address(form: Any) -> None:
    records = [form(at, radio(form, animal)) for at, animal in enumerate(ANIMALS)]
    for at, record in enumerate(records):
        record.pop("External ID", None)
        record.get("data_row", {}).pop("external_id", None)
        if form is old:
            record["Labeled Data"] = f"https://storage/{at}.jpg?Expires=1"
    assert labels_of(records)["3.jpg"] == "dog"


def test_as_a_source(tmp_path: Path) -> None:
    for name in FOUR:
        (tmp_path / name).write_bytes(b"x")
    records = [new(at, radio(new, animal)) for at, animal in enumerate(ANIMALS)]
    (tmp_path / "export.ndjson").write_text(write(records, lines=True))
    found = read_source(tmp_path, ReadingOptions())
    assert (len(found.labels), list(found.doubts)) == (4, [])
    assert "Labelbox's export, answers to 'Animal'" in found.layout

"""What reviewers decided: Prodigy's answers, and columns that say which lines of a table count."""

import json
from pathlib import Path
from typing import Any

import pytest

from labelling.sources.lists.json_lists import JsonLists
from labelling.sources.lists.list_format import ListFile, ListReading, ListRefusedError
from labelling.sources.lists.tables.delimited import Delimited
from labelling.sources.read import read_source
from labelling.sources.reading import ReadingOptions
from tests.carried import around

pytestmark = pytest.mark.unit

SINGLE = ReadingOptions()
MULTI = ReadingOptions(task="multi_label")
NAMES = [f"{letter}.jpg" for letter in "abcdefgh"]


def lines(*records: dict[str, Any]) -> str:
    return "\n".join(map(json.dumps, records))


def read(text: str, options: ReadingOptions = SINGLE, name: str = "set.jsonl") -> ListReading:
    form = Delimited() if name.endswith(".csv") else JsonLists()
    found = form.read(ListFile(name, text.encode()), options, around(*NAMES))
    assert found is not None
    return found


def labels_of(reading: ListReading) -> dict[str, tuple[str, ...] | None]:
    assert not reading.doubts
    return {item.file: item.labels for item in reading.statements}


def task(image: str, label: str | None, answer: str, **more: Any) -> dict[str, Any]:
    return {"image": image, **({"label": label} if label else {}), "answer": answer, **more}


# --- Prodigy ----------------------------------------------------------------------------------

BINARY = [
    task("a.jpg", "cat", "accept"),
    task("b.jpg", "cat", "reject"),
    task("c.jpg", "cat", "ignore"),
    task("d.jpg", "dog", "accept", _input_hash=1, _task_hash=2, _view_id="classification"),
]


@pytest.mark.parametrize("options", [SINGLE, MULTI])
@pytest.mark.parametrize("text", [lines(*BINARY), json.dumps(BINARY)])
def test_only_what_was_accepted_is_a_label(text: str, options: ReadingOptions) -> None:
    found = read(text, options)
    expected = {"a.jpg": ("cat",), "b.jpg": None, "c.jpg": None, "d.jpg": ("dog",)}
    assert labels_of(found) == expected
    assert list(found.warnings) == [
        "say nothing about their images: reject: 1 record, ignore: 1 record"
    ]


def test_columns_do_not_make_labels_of_what_was_rejected() -> None:
    found = read(lines(*BINARY), ReadingOptions(columns=("image", "label")))
    assert labels_of(found)["b.jpg"] is None


def test_answers_about_several_labels_of_an_image_come_together() -> None:
    text = lines(
        task("a.jpg", "cat", "reject"),
        task("a.jpg", "dog", "accept"),
        task("b.jpg", "dog", "accept"),
        task("b.jpg", "cat", "accept"),
    )
    assert labels_of(read(text, MULTI)) == {"a.jpg": ("dog",), "b.jpg": ("dog", "cat")}
    with pytest.raises(ListRefusedError, match="single_label"):
        read(text)


def test_annotators_who_disagree_are_named() -> None:
    found = read(
        lines(
            task("a.jpg", "cat", "accept", _annotator_id="x"),
            task("a.jpg", "cat", "reject", _annotator_id="y"),
            task("b.jpg", "dog", "accept"),
        )
    )
    assert labels_of(found) == {"b.jpg": ("dog",)}
    (rejection,) = found.rejections
    assert "set.jsonl:1 a.jpg: cat" in rejection.name
    assert "disagree" in rejection.reason


def test_choices_are_the_ids_that_were_ticked_and_numbers_the_texts() -> None:
    words = [{"id": "cat", "text": "a cat"}, {"id": "dog", "text": "a dog"}]
    numbers = [{"id": 0, "text": "cat"}, {"id": 1, "text": "dog"}]
    found = read(
        lines(
            task("a.jpg", None, "accept", options=words, accept=["cat"]),
            task("b.jpg", None, "accept", options=numbers, accept=[1]),
            task("c.jpg", None, "reject", options=words, accept=["cat"]),
            task("d.jpg", None, "accept", options=words, accept=[]),
        ),
        MULTI,
    )
    assert labels_of(found) == {"a.jpg": ("cat",), "b.jpg": ("dog",), "c.jpg": None, "d.jpg": ()}


def test_the_file_is_known_where_the_image_is_data() -> None:
    data = {"image": "data:image/jpeg;base64,AAAA", "label": "cat", "answer": "accept"}
    found = read(lines({**data, "path": "/x/a.jpg"}, {**data, "meta": {"file": "b.jpg"}}))
    assert labels_of(found) == {"/x/a.jpg": ("cat",), "b.jpg": ("cat",)}


def test_an_answer_that_is_no_text_is_no_answer() -> None:
    records = [task(name, "cat", "accept") for name in NAMES[:3]]
    found = read(lines(*records, {**task("d.jpg", "cat", ""), "answer": []}))
    assert [labels_of(found)[name] for name in NAMES[:4]] == [("cat",)] * 3 + [None]


def test_spans_are_named() -> None:
    spans = [{"label": "cat", "points": [[1, 2], [3, 4]]}]
    with pytest.raises(ListRefusedError, match="spans.*detection"):
        read(lines(task("a.jpg", None, "accept", spans=spans)))


# --- columns that say which lines count -------------------------------------------------------


def table(column: str, values: list[str], extra: str = "") -> str:
    labels = ["cat", "dog"]
    rows = [
        f"{name},{labels[at % 2]},{value}{extra and ',' + str(at)}"
        for at, (name, value) in enumerate(zip(NAMES, values, strict=False))
    ]
    return "\n".join([f"file,label,{column}{extra and ',' + extra}", *rows]) + "\n"


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("status", ["accepted", "rejected", "accepted", "accepted"]),
        ("Status", ["Done", "To do", "Done", "Done"]),
        ("state", ["in progress", "completed", "completed", "completed"]),
        ("answer", ["accept", "reject", "ignore", "accept"]),
        ("verified", ["1", "0", "1", "1"]),
        ("verified", ["true", "false", "true", "true"]),
        ("is_valid", ["yes", "no", "yes", "yes"]),
        ("rejected", ["", "x", "", ""]),
        ("rejected", ["False", "False", "True", "False"]),
        ("verified_by", ["", "Ann", "", ""]),
        ("labelStatus", ["1", "2", "1", "2"]),
        ("review_status", ["A", "B", "A", "B"]),
        ("QA", ["pass", "fail", "pass", "pass"]),
        ("geprüft", ["ja", "nein", "ja", "ja"]),
        ("审核", ["通过", "拒绝", "通过", "通过"]),
        ("foo", ["approved", "pending", "approved", "approved"]),
        ("status", ["rejected", "rejected", "rejected", "rejected"]),
    ],
)
def test_a_column_that_tells_lines_apart_is_asked_about(column: str, values: list[str]) -> None:
    (doubt,) = read(table(column, values), name="x.csv").doubts
    assert column in doubt.question
    assert [option for option, _ in doubt.answers] == ["--columns file,label", "--labels-from none"]
    notes = read(table(column, values), ReadingOptions(columns=("file", "label")), name="x.csv")
    assert labels_of(notes)["b.jpg"] == ("dog",)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("verified", ["1", "1", "1", "1"]),
        ("status", ["done", "done", "done", "done"]),
        ("status", ["", "", "", ""]),
        ("camera", ["A", "B", "A", "B"]),
        ("state", ["CA", "NY", "TX", "WA"]),
    ],
)
def test_a_column_that_does_not_is_not(column: str, values: list[str]) -> None:
    assert labels_of(read(table(column, values), name="x.csv"))["a.jpg"] == ("cat",)


@pytest.mark.parametrize("options", [SINGLE, MULTI])
def test_records_are_asked_about_too(options: ReadingOptions) -> None:
    records = [
        {"file": "a.jpg", "label": "cat", "review": {"verified": True}},
        {"file": "b.jpg", "label": "dog", "review": {"verified": False}},
        {"file": "c.jpg", "label": "dog", "review": {"verified": True}},
    ]
    (doubt,) = read(json.dumps(records), options, "x.json").doubts
    assert "verified" in doubt.question
    words = zip(NAMES, ["ok", "rejected", "ok"], strict=False)
    by_name = {name: {"label": "cat", "status": word} for name, word in words}
    (doubt,) = read(json.dumps(by_name), options, "x.json").doubts
    assert "status" in doubt.question


def test_a_column_of_that_name_beside_columns_of_classes_is_no_class() -> None:
    text = "file,verified,cat,dog\na.jpg,1,1,0\nb.jpg,0,0,1\nc.jpg,1,1,0\n"
    (doubt,) = read(text, MULTI, "x.csv").doubts
    assert doubt.answers[0][0] == "--columns file,cat-dog"
    reason = read(text, ReadingOptions(columns=("file", "cat-dog"), task="multi_label"), "x.csv")
    assert labels_of(reason) == {"a.jpg": ("cat",), "b.jpg": ("dog",), "c.jpg": ("cat",)}


def test_a_source_stops_with_the_question(tmp_path: Path) -> None:
    for name in NAMES[:4]:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "x.csv").write_text(table("status", ["ok", "rejected", "ok", "ok"]))
    found = read_source(tmp_path, ReadingOptions())
    assert "may say which lines count" in found.doubts[0].question

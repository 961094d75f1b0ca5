"""Label Studio's exports: which annotation counts, of which control, for which image."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from labelling.sources.lists.json_lists import JsonLists
from labelling.sources.lists.list_format import ListFile, ListReading, ListRefusedError
from labelling.sources.lists.tools.label_studio.table import LabelStudioTable
from labelling.sources.reading import ReadingOptions
from tests.carried import around

pytestmark = pytest.mark.unit

SINGLE = ReadingOptions()
MULTI = ReadingOptions(task="multi_label")


def region(*labels: Any, control: str = "label", **more: Any) -> dict[str, Any]:
    value = {"choices": list(labels), **more}
    return {"from_name": control, "to_name": "image", "type": "choices", "value": value}


def box(*labels: str) -> dict[str, Any]:
    value = {"x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0, "rectanglelabels": list(labels)}
    return {"from_name": "box", "to_name": "image", "type": "rectanglelabels", "value": value}


def annotation(*result: Any, by: Any = 1, at: int = 1, **more: Any) -> dict[str, Any]:
    moment = f"2026-11-23T13:43:{at:02}.091518Z"
    return {"completed_by": by, "updated_at": moment, "result": list(result), **more}


def task(number: int, *annotations: Any, image: str = "", **more: Any) -> dict[str, Any]:
    data = {"image": image or f"/data/upload/1/ab12cd{number:02}-cat {number}.jpg"}
    return {"id": number, "data": data, "annotations": list(annotations), **more}


def read(tasks: object, options: ReadingOptions = SINGLE, files: Sequence[str] = ()) -> ListReading:
    found = JsonLists().read(
        ListFile("export.json", json.dumps(tasks).encode()), options, around(*files)
    )
    assert found is not None
    return found


def labels(reading: ListReading) -> list[tuple[str, ...] | None]:
    return [statement.labels for statement in reading.statements]


def test_a_task_gives_its_image_and_the_label_that_stands() -> None:
    found = read([task(7, annotation(region("dog")))])
    (statement,) = found.statements
    assert statement.place == "export.json task 7"
    assert statement.labels == ("dog",)
    assert statement.file == "upload/1/ab12cd07-cat 7.jpg"
    assert statement.or_file == "cat 7.jpg"
    assert "'label'" in found.understood
    assert (found.rejections, found.warnings, found.doubts) == ((), [], [])


@pytest.mark.parametrize(
    ("image", "file", "or_file"),
    [
        ("http://ls.example/data/upload/ab12cd34-a.png", "upload/ab12cd34-a.png", "a.png"),
        ("/data/local-files/?d=photos/b%20c/a.png", "photos/b c/a.png", None),
        ("s3://bucket/photos/a.png", "s3://bucket/photos/a.png", None),
        ("/tasks/1/resolve/?fileuri=czM6Ly9iL2EucG5n", "s3://b/a.png", None),
        ("photos/a.png", "photos/a.png", None),
        ("http://[broken/a.png", "http://[broken/a.png", None),
    ],
)
def test_the_paths_that_label_studio_writes(image: str, file: str, or_file: str | None) -> None:
    (statement,) = read([task(1, annotation(region("cat")), image=image)]).statements
    assert (statement.file, statement.or_file) == (file, or_file)


def test_skipped_tasks_and_predictions_say_nothing() -> None:
    guess = [{"result": [region("dog")], "score": 0.9}]
    found = read(
        [
            task(1, annotation(region("cat"), was_cancelled=True)),
            task(2, predictions=guess),
            task(3, annotation(region("cat"))),
            task(4, annotation(region("cat"), was_cancelled=True), annotation(region("dog"))),
        ]
    )
    assert labels(found) == [None, None, ("cat",), ("dog",)]
    assert found.warnings == [
        "skipped, so not labelled: 1 task",
        "predictions alone, which are no labels: 1 task",
    ]


def test_the_newest_of_one_annotator_counts_and_the_most_of_several() -> None:
    cat, dog = region("cat"), region("dog")
    found = read(
        [
            task(1, annotation(dog, at=9), annotation(cat, at=1)),
            task(2, annotation(dog), annotation(cat, by=2), annotation(cat, by={"id": 3})),
            task(3, annotation(dog, at=9), annotation(cat, by=2, ground_truth=True)),
            task(4, annotation(dog), annotation(cat, by=2)),
        ]
    )
    assert labels(found) == [("dog",), ("cat",), ("cat",)]
    assert found.warnings == ["annotators disagree, and the majority counts: 1 task"]
    (rejection,) = found.rejections
    assert rejection.name == "export.json task 4 upload/1/ab12cd04-cat 4.jpg: cat (1), dog (1)"
    assert "annotators disagree; settle it in Label Studio" in rejection.reason


def test_several_labels_are_for_multi_label_where_none_is_a_negative() -> None:
    tasks = [
        task(1, annotation(region("cat", "dog"))),
        task(2, annotation()),
        task(3),
        task(4, annotation(region("cat")), annotation(region("cat", "dog"), by=2)),
    ]
    found = read(tasks, MULTI)
    assert labels(found) == [("cat", "dog"), (), None]
    assert found.rejections[0].name.endswith("cat 4.jpg: cat (1), cat + dog (1)")
    with pytest.raises(
        ListRefusedError, match=r'cat, dog\).*task = "multi_label" under \[labels\]'
    ):
        read(tasks)
    assert labels(read(tasks[1:3])) == [None, None]  # single_label knows no negatives


def test_several_choices_are_a_question_that_columns_answers() -> None:
    tasks = [
        task(1, annotation(region("cat"), region("sharp", control="quality"))),
        task(2, annotation(region("dog"))),
    ]
    found = read(tasks)
    assert labels(found) == [None, None]
    (doubt,) = found.doubts
    assert dict(doubt.answers) == {
        "--columns image,label": "classes: cat (1), dog (1)",
        "--columns image,quality": "classes: sharp (1)",
    }
    decided = ReadingOptions(columns=("image", "quality"))
    assert labels(read(tasks, decided)) == [("sharp",), None]
    with pytest.raises(ListRefusedError, match="there are label, quality"):
        read(tasks, ReadingOptions(columns=("image", "size")))
    with pytest.raises(ListRefusedError, match="no field 'photo'; they have image"):
        read(tasks, ReadingOptions(columns=("photo", "label")))


def test_two_fields_with_other_images_are_a_question_and_the_same_image_is_none() -> None:
    one = task(1, annotation(region("cat")))
    one["data"] = {"sample": "s1", "image": "http://h/a.png", "uri": "s3://b/x/a.png"}
    found = read([one])
    assert not found.doubts
    assert found.statements[0].file == "http://h/a.png"
    one["data"]["before"] = "http://h/other.png"
    assert [answer for answer, _ in read([one]).doubts[0].answers] == [
        "--columns image,label",
        "--columns before,label",
        "--columns uri,label",
    ]
    there = read([one], files=["x/other.png", "y.png"])  # only this field names files of the source
    assert (there.statements[0].file, there.doubts) == ("http://h/other.png", [])
    decided = read([one], ReadingOptions(columns=("before", "label")))
    assert (decided.statements[0].file, decided.doubts) == ("http://h/other.png", [])


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (box("cat"), "rectanglelabels, detection or segmentation"),
        (region("cat", x=1.0, y=2.0), "choices of rectangles, detection"),
        (
            {"from_name": "t", "type": "taxonomy", "value": {"taxonomy": [["animal", "dog"]]}},
            r"Taxonomy.*\('t'\): a hierarchy",
        ),
        (region(["animal", "dog"]), "a hierarchy, and a model here has classes of one level"),
        ({"from_name": "t", "type": "textarea", "value": {"text": ["x"]}}, "without Choices"),
    ],
)
def test_what_is_no_class_of_an_image_is_named(result: dict[str, Any], words: str) -> None:
    with pytest.raises(ListRefusedError, match=words):
        read([task(1, annotation(result)), task(2, annotation(result))])


def test_boxes_beside_choices_are_left_behind_and_said() -> None:
    found = read([task(1, annotation(box("cat"), region("dog"))), task(2, annotation(box("cat")))])
    assert labels(found) == [("dog",), None]
    assert "(rectanglelabels) are left out" in found.warnings[0]


def test_a_field_that_holds_splits_alone_is_one() -> None:
    tasks = [task(n, annotation(region("cat"))) for n in range(2)]
    for one, split in zip(tasks, ("train", "validation"), strict=True):
        one["data"]["split"] = split
    assert [item.split for item in read(tasks).statements] == ["train", "val"]
    tasks[0]["data"]["split"] = "north"
    assert [item.split for item in read(tasks).statements] == [None, None]


def test_tasks_without_a_picture_are_refused() -> None:
    one = task(1, annotation(region("spam")))
    one["data"] = {"text": "buy now"}
    with pytest.raises(
        ListRefusedError, match=r"show no picture \(text\).*--columns FIELD,CONTROL"
    ):
        read([one])


def test_labels_that_are_paths_are_a_hierarchy() -> None:
    tasks = [task(n, annotation(region(f"animal/{name}"))) for n, name in enumerate(("cat", "dog"))]
    with pytest.raises(ListRefusedError, match="hierarchy .animal/cat, animal/dog.*'cat' for"):
        read(tasks)


def test_a_record_that_is_no_task_is_named_and_the_rest_goes_on() -> None:
    good = [task(n, annotation(region("cat"))) for n in range(3)]
    odd = task(9, annotation(region("cat", 3), "no annotation"))
    odd["annotations"][0]["result"] += [7, {"type": "choices"}, {"type": "relation"}]
    found = read([*good, "x", {"id": 5, "data": 7}, task(8, image=" "), odd], MULTI)
    assert labels(found) == [("cat",), ("cat",), ("cat",), ("cat", "3")]
    assert [rejection.name for rejection in found.rejections] == [
        "export.json record 4",
        "export.json record 5",
        "export.json task 8",
    ]


# --- JSON-MIN, CSV and TSV, as label_studio_sdk 2.0's Converter wrote them -----------------

JSON_MIN = r"""[
{"image": "http:\/\/127.0.0.1:9292\/img_001.png", "sample_id": "s001", "id": 2, "label": "dog",
 "annotator": 1, "annotation_id": 1, "created_at": "2026-11-23T13:43:48.091518Z",
 "updated_at": "2026-11-23T13:43:48.091565Z", "lead_time": null},
{"image": "http:\/\/127.0.0.1:9292\/img_004.png", "sample_id": "s004", "id": 5,
 "label": {"choices": ["cat", "dog"]}, "annotator": "b@x.org", "annotation_id": 99,
 "created_at": "2026-11-23T13:43:48.852076Z", "updated_at": "2026-11-23T13:43:51.348291Z",
 "lead_time": 3.2},
{"image": "\/data\/upload\/1\/ab12cd34-x.png", "sample_id": "z", "id": 77, "annotator": null,
 "annotation_id": null, "created_at": null, "updated_at": null, "lead_time": null}
]"""

CSV = """"annotation_id","annotator","created_at","id","image","label","lead_time","meta","sample_id","updated_at"
1,"1","2026-11-23T13:43:48.091518Z",2,"http://127.0.0.1:9292/img_001.png","dog","","","s001","2026-11-23T13:43:48.091565Z"
99,"b@x.org","2026-11-23T13:43:48.852076Z",5,"http://127.0.0.1:9292/img_004.png","{""choices"":[""cat"",""dog""]}",3.2,"","s004","2026-11-23T13:43:51.348291Z"
9,"1","2026-11-23T13:43:51.406331Z",7,"http://127.0.0.1:9292/img_006.png","dog","","","s006","2026-11-23T13:43:51.406367Z"
"","","",77,"/data/upload/1/ab12cd34-x.png","","","{""a"":[1]}","z",""
"""


def read_table(text: str | bytes, options: ReadingOptions = MULTI) -> ListReading | None:
    data = text.encode() if isinstance(text, str) else text
    return LabelStudioTable().read(ListFile("export.csv", data), options, around())


def test_json_min_is_read_as_the_full_export_is() -> None:
    found = read(json.loads(JSON_MIN), MULTI)
    assert labels(found) == [("dog",), ("cat", "dog"), None]
    assert [statement.or_file for statement in found.statements] == [None, None, "x.png"]
    assert (found.rejections, found.doubts) == ((), [])


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_tables_are_read_with_json_in_their_cells(delimiter: str, start: str) -> None:
    head, *rows = CSV.splitlines()
    head = head.replace(",", delimiter)
    rows = [row.replace('""cat"",""dog""', "@").replace(",", delimiter) for row in rows]
    rows = [row.replace("@", '""cat"",""dog""') for row in rows]
    found = read_table(start + "\n".join([head, *rows]))
    assert found is not None
    assert labels(found) == [("dog",), ("cat", "dog"), ("dog",), None]
    assert found.statements[0].file == "http://127.0.0.1:9292/img_001.png"
    assert (found.rejections, found.doubts) == ((), [])


def test_rows_of_one_task_are_voices_of_its_annotators() -> None:
    second = json.loads(JSON_MIN)[0]
    found = read([second, {**second, "annotator": 2, "label": "cat"}])
    assert found.rejections[0].name.endswith("img_001.png: cat (1), dog (1)")


def test_two_columns_that_may_be_labels_are_a_question() -> None:
    first = json.loads(JSON_MIN)[0]
    rows = [
        {**first, "id": n, "annotation_id": n, "quality": "sharp", "species": name}
        for n, name in enumerate(("cat", "dog", "dog", "cat"))
    ]
    for row in rows:
        del row["label"]
    keys = ["image", "id", "species", "quality", "annotator", "annotation_id", "created_at"]
    ordered = [{key: row[key] for key in (*keys, "updated_at", "lead_time")} for row in rows]
    (doubt,) = read(ordered).doubts
    assert [answer for answer, _ in doubt.answers] == [
        "--columns image,quality",
        "--columns image,species",
    ]
    decided = read(ordered, ReadingOptions(columns=("image", "species")))
    assert labels(decided) == [("cat",), ("dog",), ("dog",), ("cat",)]


def test_a_table_of_boxes_or_taxonomies_is_named() -> None:
    boxes = '"[{""x"":1,""y"":2,""width"":3,""height"":4,""rectanglelabels"":[""cat""]}]"'
    with pytest.raises(ListRefusedError, match="rectanglelabels, detection"):
        read_table(
            CSV.replace('"dog",', f"{boxes},").replace('{""choices"":[""cat"",""dog""]}', "")
        )
    taxonomy = '"[{""taxonomy"":[[""animal"",""dog""]]}]"'
    with pytest.raises(ListRefusedError, match="Taxonomy"):
        read_table(
            CSV.replace('"dog",', f"{taxonomy},").replace('{""choices"":[""cat"",""dog""]}', "")
        )


def test_a_broken_line_of_a_table_is_named_and_another_table_is_not_ours() -> None:
    found = read_table(CSV + '"1","2"\n')
    assert found is not None
    assert [rejection.name for rejection in found.rejections] == ["export.csv:6"]
    assert read_table("image,label\na.jpg,cat\n") is None


def test_a_table_that_a_spreadsheet_program_has_saved_is_read() -> None:
    text = CSV.replace("dog", "hündin").replace('""cat""', '""kätzchen""')
    for encoded in ("cp1252", "utf-16"):
        found = read_table(text.encode(encoded))
        assert found is not None
        assert labels(found)[:2] == [("hündin",), ("kätzchen", "hündin")]
        assert len(found.warnings) == (encoded == "cp1252")


def test_an_answer_of_the_api_is_read_as_an_export_is() -> None:
    answer = {"total": 1, "tasks": [task(3, annotation(region("cat")))]}
    assert labels(read(answer)) == [("cat",)]

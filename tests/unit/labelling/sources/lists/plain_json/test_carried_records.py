"""JSON records with an image and a label, in the forms in which people and pandas write them."""

import json

import pytest

from imgclf_dagster.cli.ingest.options import with_answer
from labelling.sources.lists.json_lists import JsonLists
from labelling.sources.lists.list_format import ListFile, ListReading, ListRefusedError
from labelling.sources.lists.tables.delimited import Delimited
from labelling.sources.reading import ReadingOptions
from tests.carried import around

pytestmark = pytest.mark.unit

SINGLE = ReadingOptions()
MULTI = ReadingOptions(task="multi_label")
CATS = [{"image": "a.jpg", "label": "cat"}, {"image": "b.jpg", "label": "dog"}]


def find(
    value: object, options: ReadingOptions = SINGLE, name: str = "labels.json"
) -> ListReading | None:
    text = value if isinstance(value, str) else json.dumps(value)
    files = around("a.jpg", "b.jpg", "c.jpg", "x/d.jpg")
    return JsonLists().read(ListFile(name, text.encode()), options, files)


def read(value: object, options: ReadingOptions = SINGLE, name: str = "labels.json") -> ListReading:
    found = find(value, options, name)
    assert found is not None
    return found


def labels_of(reading: ListReading) -> dict[str, tuple[str, ...] | None]:
    return {item.file: item.labels for item in reading.statements}


@pytest.mark.parametrize(
    "value",
    [
        CATS,
        "\n".join(map(json.dumps, CATS)),
        {"data": CATS, "version": 1},
        {"image": {"0": "a.jpg", "1": "b.jpg"}, "label": {"0": "cat", "1": "dog"}},
        {"image": ["a.jpg", "b.jpg"], "label": ["cat", "dog"]},
        {
            "columns": ["image", "label"],
            "index": [0, 1],
            "data": [["a.jpg", "cat"], ["b.jpg", "dog"]],
        },
        {"0": CATS[0], "1": CATS[1]},
        {"a.jpg": {"label": "cat", "by": "x"}, "b.jpg": {"label": "dog", "by": "x"}},
        [{"a.jpg": "cat"}, {"b.jpg": "dog"}],
        [
            {"image": {"path": "a.jpg", "width": 3}, "label": {"name": "cat"}},
            {"image": {"path": "b.jpg", "width": 3}, "label": {"name": "dog"}},
        ],
        [
            {"fileName": "a.jpg", "tags": [{"name": "cat", "id": 3}]},
            {"fileName": "b.jpg", "tags": [{"name": "dog", "id": 4}]},
        ],
        [
            {"filepath": "a.jpg", "cat": True, "dog": False},
            {"filepath": "b.jpg", "cat": 0, "dog": 1},
        ],
    ],
)
def test_each_form_gives_the_same(value: object) -> None:
    found = read(value)
    assert labels_of(found) == {"a.jpg": ("cat",), "b.jpg": ("dog",)}
    assert (list(found.rejections), list(found.doubts)) == ([], [])


def test_one_object_is_a_record_if_it_has_a_label() -> None:
    assert labels_of(read({"fileName": "a.jpg", "tags": ["cat"]})) == {"a.jpg": ("cat",)}


def test_splits_are_kept() -> None:
    found = read({"train": CATS[:1], "test": CATS[1:]})
    assert [(item.file, item.labels, item.split) for item in found.statements] == [
        ("a.jpg", ("cat",), "train"),
        ("b.jpg", ("dog",), "test"),
    ]
    by_field = read([{**CATS[0], "subset": "validation"}, {**CATS[1], "subset": "train"}])
    assert [item.split for item in by_field.statements] == ["val", "train"]
    by_name = read(CATS, name="x/test.json")
    assert {item.split for item in by_name.statements} == {"test"}


def test_lists_of_labels_are_for_multi_label() -> None:
    value = [
        {"image": "a.jpg", "labels": ["cat", "dog"]},
        {"image": "b.jpg", "labels": "dog"},
        {"image": "c.jpg", "labels": []},
    ]
    assert labels_of(read(value, MULTI)) == {
        "a.jpg": ("cat", "dog"),
        "b.jpg": ("dog",),
        "c.jpg": (),
    }


def test_null_says_nothing_and_an_empty_list_that_none_applies() -> None:
    value = [
        {"image": "a.jpg", "label": None},
        {"image": "b.jpg", "label": []},
        {"image": "c.jpg", "label": ["cat"]},
    ]
    assert labels_of(read(value, MULTI)) == {"a.jpg": None, "b.jpg": (), "c.jpg": ("cat",)}


def test_a_label_that_is_an_object_of_unknown_form_is_refused() -> None:
    value = [{"image": "a.jpg", "annotations": [{"spec": {"text": "tulip"}, "by": "x"}]}] * 2
    with pytest.raises(
        ListRefusedError, match="the field annotations of its records holds objects"
    ):
        read(value)


def test_an_empty_label_in_a_list_is_named() -> None:
    value = [{"image": "a.jpg", "label": ["cat"]}, {"image": "b.jpg", "label": [""]}]
    found = read(value)
    assert labels_of(found) == {"a.jpg": ("cat",)}
    assert [item.name for item in found.rejections] == ["labels.json:2 b.jpg"]


def test_labels_deep_in_a_record_are_refused_before_something_else_is_taken_for_them() -> None:
    answer = {"classifications": [{"name": "animal", "radio_answer": {"name": "cat"}}]}
    value = [
        {
            "item": {"id": "one", "external_id": f"{name}.jpg"},
            "jobs": {"p": {"labels": [{"annotations": answer}]}},
        }
        for name in "ab"
    ]
    with pytest.raises(ListRefusedError, match="the field jobs.p.labels of its records holds"):
        read(value)


def test_two_fields_that_may_be_labels_are_a_question_that_columns_answers() -> None:
    value = [
        {"image": "a.jpg", "species": "cat", "breed": "manx"},
        {"image": "b.jpg", "species": "dog", "breed": "pug"},
        {"image": "c.jpg", "species": "dog", "breed": "pug"},
        {"image": "d.jpg", "species": "cat", "breed": "siam"},
    ]
    (doubt,) = read(value).doubts
    assert [answer for answer, _ in doubt.answers] == [
        "--columns image,species",
        "--columns image,breed",
    ]
    decided = read(value, ReadingOptions(columns=("image", "breed")))
    assert labels_of(decided)["a.jpg"] == ("manx",)


def test_what_is_no_record_is_named_by_its_place_and_the_rest_goes_on() -> None:
    found = read("\n".join([*map(json.dumps, CATS), "{", "7", '{"label": "cat"}']))
    assert labels_of(found) == {"a.jpg": ("cat",), "b.jpg": ("dog",)}
    assert [rejection.name for rejection in found.rejections] == [
        "labels.json:3",
        "labels.json:4",
        "labels.json:5",
    ]
    assert [item.place for item in found.statements] == ["labels.json:1", "labels.json:2"]


@pytest.mark.parametrize(
    "value",
    [
        {"title": "a.jpg", "photoTakenTime": {"timestamp": "1"}, "url": "https://x"},
        [{"name": "x", "version": 1}, {"name": "y", "version": 2}],
        [{"id": 1}, {"id": 2}],
        {"model": {"a.jpg": 1}, "other": {"x": 2}},
        [{f"{number}": number} for number in range(6_000)],
    ],
)
def test_json_about_something_else_is_left_to_others(value: object) -> None:
    assert find(value) is None


def test_columns_that_are_levels_of_a_hierarchy_are_said_to_be_that() -> None:
    levels = ["animal,cat", "animal,dog", "plant,oak", "plant,fir"] * 2
    rows = [f"{number}.jpg,{level}" for number, level in enumerate(levels)]
    table = ListFile("labels.csv", "\n".join(["file,level1,level2", *rows]).encode())
    found = Delimited().read(table, SINGLE, around(*(f"{n}.jpg" for n in range(8))))
    assert found is not None
    assert "level1, level2 of labels.csv are levels of a hierarchy" in found.doubts[0].question
    value = [
        {"image": "a.jpg", "sky": "blue", "mood": "calm"},
        {"image": "b.jpg", "sky": "blue", "mood": "wild"},
        {"image": "c.jpg", "sky": "grey", "mood": "calm"},
    ]
    assert "hierarchy" not in read(value).doubts[0].question


def test_paths_of_a_hierarchy_are_refused() -> None:
    value = [{"image": f"{name}.jpg", "label": f"animal/{name}"} for name in "ab"]
    with pytest.raises(ListRefusedError, match="hierarchy .animal/a, animal/b"):
        read(value)
    table = ListFile("labels.csv", b"file,label\na.jpg,animal > a\nb.jpg,animal > b\n")
    with pytest.raises(ListRefusedError, match="hierarchy .animal > a, animal > b"):
        Delimited().read(table, SINGLE, around("a.jpg", "b.jpg"))


def test_columns_are_offered_by_names_that_can_be_copied() -> None:
    one = {"External ID": "a.jpg", "Left eye": "red", "Right eye": "blue", "a$b": "x", "%c": 1}
    two = {"External ID": "b.jpg", "Left eye": "blue", "Right eye": "red", "a$b": "y", "%c": 2}
    (doubt,) = read([one, two, two | {"External ID": "c.jpg", "a$b": "z"}]).doubts
    options = [option for option, _ in doubt.answers]
    assert options[:3] == [
        '--columns "External ID,Left eye"',
        '--columns "External ID,Right eye"',
        '--columns "External ID,4"',
    ]
    reported = with_answer(ReadingOptions(), options[1])
    assert labels_of(read([one, two], reported)) == {"a.jpg": ("blue",), "b.jpg": ("red",)}


def test_labels_within_objects_of_a_field_called_label_are_refused_in_words() -> None:
    answer = {"title": "Animal", "answer": {"title": "cat", "value": "cat"}}
    record = {
        "ID": "c1",
        "DataRow ID": "x1",
        "Label": {"objects": [], "classifications": [answer]},
        "External ID": "a.jpg",
    }
    records = [record, record | {"ID": "c2", "DataRow ID": "x2", "External ID": "b.jpg"}]
    with pytest.raises(ListRefusedError, match=r"Label\.classifications .* holds objects"):
        read(records)

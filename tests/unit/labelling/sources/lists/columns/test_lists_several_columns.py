"""Several columns with labels of one image are read together, or asked about."""

import pytest
import typer

from imgclf_dagster.cli.ingest.options import parsed_columns
from labelling.sources.lists.list_format import ListRefusedError
from labelling.sources.lists.text import table as lists_table
from labelling.sources.reading import ReadingOptions
from tests.unit.labelling.sources.lists_of_tests import ListedSource, labels

pytestmark = pytest.mark.unit

SIX = tuple(f"{at}.jpg" for at in range(6))
MULTI = {"task": "multi_label"}
ROWS = ["red,small,", "blue,,", "red,,round", "blue,small,round", "red,small,", ",,"]
TOGETHER = ["red|small", "blue", "red|round", "blue|small|round", "red|small", ""]


def table(header: str, rows: list[str] = ROWS) -> str:
    lines = [f"{name},{row}" for name, row in zip(SIX, rows, strict=True)]
    return "\n".join([header, *lines]) + "\n"


def questions_of(data: str, **options: object) -> list[str]:
    found = labels(data, *SIX, **options)
    return [found.get(name, "") for name in SIX]


def doubt(data: str, **options: object):
    reading = ListedSource({"l.csv": data}, SIX, ReadingOptions(**options)).read("l.csv")
    assert reading.statements == ()
    (found,) = reading.doubts
    return found


@pytest.mark.parametrize(
    "header",
    [
        *("file,tag1,tag2,tag3", "file,label_1,label_2,label_3", "file,class1,class2,class3"),
        *(
            "file,tags/0,tags/1,tags/2",
            "file,Label 1,Label 2,Label 3",
            "file,label,label.1,label.2",
        ),
        *(
            "file,tag,tag,tag",
            "file,labels[0],labels[1],labels[2]",
            "Datei,Klasse1,Klasse2,Klasse3",
        ),
    ],
)
def test_numbered_columns_are_read_together(header: str) -> None:
    assert questions_of(table(header), **MULTI) == TOGETHER
    reading = ListedSource({"l.csv": table(header)}, SIX, ReadingOptions(**MULTI)).read("l.csv")
    assert "read together" in reading.understood


def test_a_column_that_is_empty_but_for_one_row_far_down_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a sample of rows does not show."""
    monkeypatch.setattr(lists_table, "SAMPLE_ROWS", 10)
    names = [f"{at}.jpg" for at in range(60)]
    rows = [f"{name},{'ab'[at % 2]},{'pq'[at % 2]}," for at, name in enumerate(names)]
    rows[41] += "rare"
    found = labels("file,tag1,tag2,tag3\n" + "\n".join(rows), *names, **MULTI)
    assert found["41.jpg"] == "b|q|rare"


def test_records_of_json_with_numbered_fields() -> None:
    data = '[{"file":"0.jpg","tag1":"a","tag2":"b"},{"file":"1.jpg","tag1":"b"},{"file":"2.jpg"},'
    data += '{"file":"3.jpg","tag1":"a","tag2":null}]'
    found = labels(data, *SIX, name="l.json", **MULTI)
    assert found == {"0.jpg": "a|b", "1.jpg": "b", "3.jpg": "a"}


def test_words_for_no_label_say_nothing_beside_a_label() -> None:
    rows = ["red,todo,", "todo,,", "blue,n/a,", "red,,", "blue,,", "red,blue,"]
    source = ListedSource(
        {"l.csv": table("file,tag1,tag2,tag3", rows)}, SIX, ReadingOptions(**MULTI)
    )
    assert source.match().labels["0.jpg"] == ("red",)
    assert "1.jpg" not in source.match().labels


def test_in_single_label_several_are_a_question_that_says_why() -> None:
    found = doubt(table("file,tag1,tag2,tag3"))
    assert "single_label" in found.question
    assert 'task = "multi_label"' in found.question
    assert next(option for option, _ in found.answers) == "--columns file,tag1"
    assert questions_of(table("file,tag1,tag2,tag3"), columns=("file", "tag1"))[0] == "red"


def test_in_single_label_a_column_filled_at_a_time_is_one_label() -> None:
    rows = ["red,,", ",blue,", "red,,", ",,round", "red,,", ",blue,"]
    assert questions_of(table("file,tag1,tag2,tag3", rows)) == [
        "red",
        "blue",
        "red",
        "round",
        "red",
        "blue",
    ]


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_what_looks_like_votes_is_asked_about(task: str) -> None:
    rows = [
        "cat,cat,cat",
        "dog,dog,cat",
        "cat,cat,cat",
        "dog,dog,dog",
        "cat,dog,cat",
        "dog,dog,dog",
    ]
    found = doubt(table("file,label_1,label_2,label_3", rows), task=task)
    assert "answers of several people" in found.question
    offered = [option for option, _ in found.answers]
    assert ("--columns file,label_1-label_3" in offered) == (task == "multi_label")
    assert "--columns file,label_2" in offered


def test_levels_of_a_hierarchy_stay_a_question() -> None:
    rows = ["animal,cat", "animal,dog", "plant,rose", "animal,cat", "animal,dog", "plant,rose"]
    assert "hierarchy" in doubt(table("file,class1,class2", rows), **MULTI).question


def test_columns_of_another_name_are_asked_about_and_can_be_read_together() -> None:
    found = doubt(table("file,colour,size,shape"), **MULTI)
    together = [option for option, then in found.answers if "several labels" in then]
    assert together == ["--columns file,colour-shape"]


def test_numbered_columns_of_0_and_1_stay_classes() -> None:
    data = table("file,label_1,label_2,label_3", ["1,0,0", "0,1,0", "0,0,1"] * 2)
    assert questions_of(data, **MULTI)[:3] == ["label_1", "label_2", "label_3"]


def test_a_column_of_labels_beside_numbered_ones_is_a_question() -> None:
    rows = ["x,red,small", "y,blue,", "x,red,", "y,blue,small", "x,red,small", "y,blue,"]
    assert "--columns file,class-tag2" in dict(
        doubt(table("file,class,tag1,tag2", rows), **MULTI).answers
    )


@pytest.mark.parametrize(
    "columns",
    [
        *(("file", "tag1", "tag2", "tag3"), ("file", "tag1-tag3"), ("1", "2-4"), ("1", "2", "3-4")),
        *(("file", "tag1 - tag3"), ("file", "tag1", "tag1-tag3")),
    ],
)
def test_columns_can_be_told(columns: tuple[str, ...]) -> None:
    assert questions_of(table("file,tag1,tag2,tag3"), columns=columns, **MULTI) == TOGETHER


def test_a_name_with_a_dash_is_no_range() -> None:
    data = table("file,a-b,b,c-d", ["p,q,r"] * 6)
    assert questions_of(data, columns=("file", "a-b"), **MULTI)[0] == "p"
    assert questions_of(data, columns=("file", "a-b-c-d"), **MULTI)[0] == "p|q|r"


def test_columns_of_which_some_hold_0_and_1_are_refused() -> None:
    with pytest.raises(ListRefusedError, match="0 and 1"):
        questions_of(
            table("file,a,b,c", ["1,cat,0", "0,dog,1"] * 3), columns=("file", "a-c"), **MULTI
        )


def test_several_columns_on_the_command_line() -> None:
    assert parsed_columns("file,tag1,tag2") == ("file", "tag1", "tag2")
    for wrong in ("file", "file,", ""):
        with pytest.raises(typer.BadParameter):
            parsed_columns(wrong)


def test_a_format_with_one_field_of_labels_refuses_several() -> None:
    task = '[{"data":{"image":"0.jpg"},"annotations":[{"result":[{"from_name":"a","type":"choices",'
    task += '"value":{"choices":["cat"]}}]}]}]'
    with pytest.raises(ListRefusedError, match="one field of labels"):
        labels(task, *SIX, name="l.json", columns=("image", "a", "b"))

"""Which column means what: told by names and contents, or asked; and what its cells mean."""

import pytest

from labelling.sources.doubt import Doubt
from labelling.sources.lists.list_format import ListRefusedError
from labelling.sources.reading import ReadingOptions
from tests.unit.labelling.sources.lists_of_tests import ListedSource, labels

pytestmark = pytest.mark.unit

MANY = tuple(f"{at:03}.jpg" for at in range(240))


def table(header: str, *columns) -> str:
    """A table of as many rows as there are images, whose columns are told by row."""
    rows = [
        ",".join([image, *(str(column(at)) for column in columns)]) for at, image in enumerate(MANY)
    ]
    return "\n".join([header, *rows]) + "\n"


def doubt(data: str, *images: str, name: str = "labels.csv", **options) -> Doubt:
    reading = ListedSource({name: data}, images or MANY, ReadingOptions(**options)).read(name)
    assert reading.statements == ()
    (found,) = reading.doubts
    return found


def cat_or_dog(at: int) -> str:
    return ("cat", "dog")[at % 2]


def test_two_columns_of_labels_are_asked_about_with_what_each_would_give():
    data = table("file,class,species", cat_or_dog, lambda at: ("x", "y", "z")[at % 3])
    question = doubt(data)
    assert question.question == "Which column of labels.csv holds the labels?"
    assert question.answers == (
        ("--columns file,class", "2 classes: cat (120), dog (120)"),
        ("--columns file,species", "3 classes: x (80), y (80), z (80)"),
    )
    for option, _ in question.answers:
        columns = tuple(option.removeprefix("--columns ").split(","))
        reported = labels(data, *MANY, columns=columns)
        assert reported[MANY[1]] == ("dog" if "class" in columns else "y")


def test_the_other_columns_of_a_table_without_header_are_asked_about_by_number():
    data = table("", cat_or_dog, lambda at: ("x", "y", "z")[at % 3]).lstrip()
    assert [option for option, _ in doubt(data).answers] == ["--columns 1,2", "--columns 1,3"]
    assert labels(data, *MANY, columns=("1", "3"))[MANY[2]] == "z"


def test_columns_without_known_names_are_asked_about():
    data = table("Foto,Tier,Ort", cat_or_dog, lambda at: ("Berlin", "Rom", "Ulm")[at % 3])
    assert [option for option, _ in doubt(data).answers] == [
        "--columns Foto,Tier",
        "--columns Foto,Ort",
    ]


def test_two_columns_of_different_images_are_asked_about():
    rows = "".join(
        f"{left},{right},cat\n" for left, right in zip(MANY[::2], MANY[1::2], strict=True)
    )
    question = doubt("left,right,label\n" + rows)
    assert [option for option, _ in question.answers] == [
        "--columns left,label",
        "--columns right,label",
        "--labels-from none",
    ]


def test_the_column_that_is_called_image_names_the_images():
    rows = "".join(
        f"{left},{right},{cat_or_dog(at)}\n"
        for at, (left, right) in enumerate(zip(MANY, MANY[::-1], strict=True))
    )
    assert labels("image,similar,label\n" + rows, *MANY)[MANY[1]] == "dog"
    assert labels("similar,image,label\n" + rows, *MANY)[MANY[1]] == "cat"


def test_numbers_that_repeat_are_classes_though_images_are_called_so():
    images = tuple(f"{at}.png" for at in range(50))
    rows = "".join(f"{at},{at % 10}\n" for at in range(50))
    assert labels("number,group\n" + rows, *images)["13.png"] == "3"


def test_two_columns_of_the_same_images_are_one():
    rows = "".join(f"{name},/data/{name},https://x.org/{name},cat\n" for name in MANY)
    reported = labels("filename,path,url,label\n" + rows, *MANY)
    assert reported == dict.fromkeys(MANY, "cat")


def test_masks_and_other_files_are_no_labels():
    rows = "".join(f"{name},{name[:3]}_mask.png,cat\n" for name in MANY)
    assert labels("image,mask,kind\n" + rows, *MANY) == dict.fromkeys(MANY, "cat")


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (lambda at: at * 0.37 + 0.1, "numbers with decimals"),
        (lambda at: at * 17 % 4999, "240 different numbers"),
        (lambda at: f"thing {at}", "a different value for nearly every image"),
        (lambda at: "a cat sits on a mat in the sun and sleeps", "texts"),
    ],
)
def test_what_does_not_look_like_labels_is_asked_about_and_taken_if_told(column, words):
    data = table("file,label", column)
    question = doubt(data)
    assert words in question.question
    assert [option for option, _ in question.answers] == [
        "--columns file,label",
        "--labels-from none",
    ]
    assert labels(data, *MANY, columns=("file", "label"))[MANY[1]] == str(column(1))


def test_many_classes_and_numbers_without_gaps_are_labels():
    assert labels(table("file,label", lambda at: f"c{at % 90}"), *MANY)[MANY[0]] == "c0"
    assert labels(table("file,label", lambda at: at % 120), *MANY)[MANY[3]] == "3"


def test_boxes_are_no_labels():
    with pytest.raises(ListRefusedError, match=r"boxes"):
        labels(table("file,label", lambda at: '"[1, 2, 30, 40]"'), *MANY)


def test_captions_are_no_labels():
    with pytest.raises(ListRefusedError, match=r"texts about the images.*--columns file_name,text"):
        labels(table("file_name,text", lambda at: "nice"), *MANY, name="metadata.csv")


def test_scores_are_no_labels():
    with pytest.raises(ListRefusedError, match=r"cat, dog .*scores between 0 and 1"):
        labels(table("file,cat,dog", lambda at: 0.5, lambda at: 0.25), *MANY)


def test_one_column_for_each_class_beside_other_columns():
    one = table("id,age,cat,dog", lambda at: at % 9, lambda at: at % 2, lambda at: 1 - at % 2)
    source = ListedSource({"labels.csv": one}, MANY)
    assert source.match().labels[MANY[0]] == ("dog",)
    assert any("not used: age" in warning for warning in source.read("labels.csv").warnings)
    several = table("id,age,cat,dog", lambda at: at % 9, lambda at: at % 2, lambda at: at % 3 % 2)
    question = doubt(several)
    assert question.answers[0] == ("--columns 1,3-4", "2 classes: cat, dog")
    reported = labels(several, *MANY, columns=("1", "3-4"), task="multi_label")
    assert reported[MANY[0]] == ""
    assert reported[MANY[1]] == "cat|dog"


def test_what_is_not_known_of_a_class_is_named():
    rows = "a.jpg,1,0\nb.jpg,0,1\nc.jpg,-1,0\nd.jpg,,1\n"
    source = ListedSource({"labels.csv": "file,cat,dog\n" + rows})
    assert source.match().labels == {"a.jpg": ("cat",), "b.jpg": ("dog",)}
    refused = source.read("labels.csv").rejections
    assert [each.name for each in refused] == ["labels.csv:4", "labels.csv:5"]
    assert "not known" in refused[0].reason
    with pytest.raises(ListRefusedError, match="not known whether the class applies"):
        labels("file,cat,dog\n" + rows.replace("1\n", "\n"))


def test_one_class_alone_in_roboflows_form():
    data = "filename, cat\na.jpg, 1\nb.jpg, 0\n"
    reported = labels(data, name="train/_classes.csv", task="multi_label")
    assert reported == {"a.jpg": "cat", "b.jpg": ""}


@pytest.mark.parametrize(
    "expected", [("file", "nothing"), ("1", "9"), ("0", "1"), ("file", "2-9"), ("1-2", "3")]
)
def test_columns_that_are_not_there_are_refused_with_those_that_are(expected):
    with pytest.raises(ListRefusedError, match=r"--columns"):
        labels(table("file,a,b", cat_or_dog, cat_or_dog), *MANY, columns=expected)


def test_columns_are_named_by_any_spelling_or_number():
    data = table("File Name,Best Guess,Other", cat_or_dog, lambda at: "x")
    for text in (
        ("File Name", "Best Guess"),
        ("file_name", "bestguess"),
        ("1", "2"),
        ("1", "best guess"),
    ):
        assert labels(data, *MANY, columns=text)[MANY[1]] == "dog"


def test_columns_that_are_told_are_those_of_lists_with_labels():
    lists = {"train.csv": "id,a,b\n0,x,y\n1,y,x\n", "test.csv": "id\n2\n3\n"}
    options = ReadingOptions(columns=("id", "b"))
    source = ListedSource(lists, ("0.jpg", "1.jpg", "2.jpg", "3.jpg"), options)
    found = source.match()
    assert found.labels == {"0.jpg": ("y",), "1.jpg": ("x",)}
    assert found.splits["2.jpg"] == "test"


def test_a_counter_and_a_split_are_no_labels():
    data = table(",subset,kind", lambda at: "train", cat_or_dog).splitlines()
    data = "\n".join([",file,subset,kind", *(f"{at},{row}" for at, row in enumerate(data[1:]))])
    source = ListedSource({"labels.csv": data}, MANY)
    assert source.match().labels[MANY[1]] == ("dog",)
    assert set(source.match().splits.values()) == {"train"}


def test_numbered_images_with_numbered_classes():
    images = tuple(f"{at}.png" for at in range(50))
    data = "id,label\n" + "".join(f"{at},{at % 10}\n" for at in range(50))
    assert labels(data, *images)["13.png"] == "3"


def test_a_column_that_is_the_same_for_all_is_none_of_labels():
    rows = table("file,view,sex,finding x", lambda at: "PA", lambda at: "F", cat_or_dog)
    assert labels(rows, *MANY)[MANY[1]] == "dog"


def test_a_list_sorted_by_label_has_two_columns_that_tell_something():
    images = tuple(f"{at:05}.jpg" for at in range(6000))
    rows = "".join(
        f"{name},{'cat' if at < 4000 else 'dog'},{at % 2}\n" for at, name in enumerate(images)
    )
    question = doubt("Foto,Tier,Seite\n" + rows, *images)
    assert [option for option, _ in question.answers] == [
        "--columns Foto,Tier",
        "--columns Foto,Seite",
    ]


def test_the_stronger_name_of_a_column_of_labels_counts():
    rows = table("image,diagnosis,type", cat_or_dog, lambda at: ("x", "y", "z")[at % 3])
    assert labels(rows, *MANY)[MANY[1]] == "dog"
    rows = table("image,where,type", cat_or_dog, lambda at: ("x", "y", "z")[at % 3])
    assert labels(rows, *MANY)[MANY[1]] == "y"


def test_two_levels_of_classes_are_asked_about():
    rows = table(
        "file,genus,species", lambda at: ("Acer", "Quercus")[at % 2], lambda at: f"s{at % 6}"
    )
    options = [option for option, _ in doubt(rows).answers]
    assert options == ["--columns file,genus", "--columns file,species"]


def test_a_column_of_numbered_splits_is_no_label():
    assert labels(table("image_id,partition", lambda at: at % 3), *MANY) == {}


def test_a_column_of_masks_is_no_label():
    with pytest.raises(ListRefusedError, match="names other images"):
        labels(table("image,label", lambda at: f"masks/{at}.png"), *MANY)


def test_numbers_of_classes_have_the_names_of_another_column():
    rows = table("file,label,what", lambda at: at % 2, cat_or_dog)
    assert labels(rows, *MANY)[MANY[1]] == "dog"
    rows = table("file,label,what", lambda at: at % 2, lambda at: ("x", "y", "z")[at % 3])
    assert labels(rows, *MANY)[MANY[1]] == "1"


def test_numbers_of_many_seldom_classes_are_labels():
    images = MANY[:60]
    rows = "".join(f"{name},{at % 43}\n" for at, name in enumerate(images))
    assert labels("Path,ClassId\n" + rows, *images)[MANY[50]] == "7"
    rows = "".join(f"{name},{at}\n" for at, name in enumerate(images))
    assert "nearly every image" in doubt("Path,ClassId\n" + rows, *images).question


def test_one_and_minus_one_are_yes_and_no():
    data = "image_id,bald,young\na.jpg,1,-1\nb.jpg,-1,1\nc.jpg,-1,-1\nd.jpg,1,1\n"
    texts = {"a.jpg": "bald", "b.jpg": "young", "c.jpg": "", "d.jpg": "bald|young"}
    assert labels(data, task="multi_label") == texts
    celeba = "2\nbald young\n" + "".join(
        f"{name} {'1 -1' if at % 2 else '-1  1'}\n" for at, name in enumerate(texts)
    )
    texts = {name: "bald" if at % 2 else "young" for at, name in enumerate(texts)}
    assert labels(celeba, name="list_attr.txt") == texts


def test_a_line_for_each_label_of_an_image():
    data = "ImageID,LabelName\na,cat\na,dog\nb,dog\nc,bird\nc,cat\n"
    texts = {"a.jpg": "cat|dog", "b.jpg": "dog", "c.jpg": "bird|cat"}
    assert labels(data, task="multi_label") == texts
    with pytest.raises(ListRefusedError, match="labelled twice"):
        labels(data)


def test_lines_of_now_more_now_fewer_labels_are_refused():
    data = "a.jpg,cat,dog\nb.jpg,cat\nc.jpg,dog,cat\nd.jpg,dog\n"
    for task in ("single_label", "multi_label"):
        with pytest.raises(ListRefusedError, match=r"different numbers of cells: 2 \(2 lines\), 3"):
            labels(data, task=task)


# --- what cells mean --------------------------------------------------------------------


def cells(*said: str, separator: str = "\t", **options) -> list[str]:
    images = tuple(f"{at}.jpg" for at in range(len(said)))
    data = "file\tlabels\n" + "".join(
        f"{image}\t{cell}\n" for image, cell in zip(images, said, strict=True)
    )
    reported = labels(data, *images, **options)
    return [reported.get(image, "-") for image in images]


@pytest.mark.parametrize("sign", ["|", ";", ",", "; ", ", ", " | "])
@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_several_labels_are_recognised_by_the_lists_own_consistency(sign, task):
    answer = (f"cat{sign}dog", "dog", "cat")
    if task == "multi_label":
        assert cells(*answer, task=task) == ["cat|dog", "dog", "cat"]
    else:
        with pytest.raises(ListRefusedError, match=r"1 of 3 labelled images several.*cat, dog"):
            cells(*answer, task=task)


@pytest.mark.parametrize("one_hot", [True, False])
def test_several_labels_in_single_label_are_slips_only_if_they_are_few(one_hot):
    def listed(several: int) -> str:
        if one_hot:
            rows = [f"{at}.jpg,{int(at % 2 == 0 or at < several)},{at % 2}" for at in range(1, 41)]
            return "\n".join(["file,cat,dog", *rows])
        names = [("cat" if at % 2 == 0 else "dog") + "|cow" * (at < several) for at in range(1, 41)]
        return "\n".join(
            ["file,label", *(f"{at}.jpg,{one}" for at, one in enumerate(names, 1)), "0.jpg,cow"]
        )

    images = tuple(f"{at}.jpg" for at in range(41))
    reading = ListedSource({"l.csv": listed(2)}, images).read("l.csv")
    assert len(reading.statements) == (39 if one_hot else 40)
    assert [each.name.partition(" ")[0] for each in reading.rejections] == ["l.csv:2"]
    assert "task is single_label" in reading.rejections[0].reason
    with pytest.raises(ListRefusedError, match='task = "multi_label"'):
        labels(listed(12), *images)


@pytest.mark.parametrize("word", ["NA", "none", "Unknown", "missing", "unbekannt"])
def test_words_that_may_say_no_label_are_kept_and_named(word):
    reading = ListedSource({"l.csv": f"file,label\na.jpg,cat\nb.jpg,{word}\n"}).read("l.csv")
    assert list(reading.unsure) == [word]
    assert reading.statements[1].labels == (word,)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
@pytest.mark.parametrize("form", ["csv", "jsonl", "json"])
@pytest.mark.parametrize(
    "word",
    ["n/a", "N/A", "?", "-", "--", "TODO", "skip", "unlabeled", "not_labelled", "(no label)"],
)
def test_words_for_no_label_are_no_class_and_no_negative(word, form, task):
    listed = {
        "csv": f"file,label\na.jpg,cat\nb.jpg,{word}\nc.jpg,dog\n",
        "jsonl": "".join(
            f'{{"file": "{name}", "label": "{label}"}}\n'
            for name, label in (("a.jpg", "cat"), ("b.jpg", word), ("c.jpg", "dog"))
        ),
        "json": f'{{"a.jpg": "cat", "b.jpg": "{word}", "c.jpg": "dog"}}',
    }
    source = ListedSource({f"l.{form}": listed[form]}, options=ReadingOptions(task=task))
    assert source.match().labels == {"a.jpg": ("cat",), "c.jpg": ("dog",)}
    assert any("read as not labelled" in text for text in source.read(f"l.{form}").warnings)


def test_plus_and_minus_are_classes():
    assert cells("+", "-", "+") == ["+", "-", "+"]


def test_a_sign_in_all_names_is_part_of_them():
    names = ["tench, Tinca tinca", "goldfish, Carassius auratus", "maple, red", "maple, sugar"]
    assert cells(*names) == names
    assert cells("salt; pepper", "sugar; spice") == ["salt; pepper", "sugar; spice"]


def test_parts_that_come_in_several_cells_are_labels_in_multi_label():
    assert cells("cat,dog", "dog,bird", task="multi_label") == ["cat|dog", "dog|bird"]
    assert cells("cat;dog", "bird;cow", task="multi_label") == ["cat|dog", "bird|cow"]


def test_a_comma_that_may_be_either_is_refused_in_multi_label():
    with pytest.raises(ListRefusedError, match=r"labels.csv:2: 'cat,dog' may be one label"):
        cells("cat,dog", "bird", task="multi_label")


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_several_signs_at_once_are_refused_with_both_places(task):
    with pytest.raises(ListRefusedError, match=r"';' at labels.csv:3 and by ',' at labels.csv:2"):
        cells("cat,dog", "cat;dog", "cat dog", "dog", task=task)
    with pytest.raises(ListRefusedError, match=r"'|' at labels.csv:2 and by ' ' at labels.csv:3"):
        cells("cat|dog", "cat dog", "dog", task=task)


def test_a_comma_may_be_part_of_a_label_where_a_bar_separates():
    assert cells("salt, fine|sugar", "sugar", task="multi_label") == ["salt, fine|sugar", "sugar"]


def test_spaces():
    assert cells("big cat", "big dog") == ["big cat", "big dog"]
    assert cells("big cat", "big dog", task="multi_label") == ["big cat", "big dog"]
    assert cells("cat dog", "cat", "dog", task="multi_label") == ["cat|dog", "cat", "dog"]
    planet = [
        "haze primary",
        "clear primary",
        "haze clear primary",
        "clear haze",
        "primary clear",
        "primary haze",
    ]
    assert cells(*planet, task="multi_label")[2] == "haze|clear|primary"
    tags = ("haze primary", "agriculture clear primary", "clear primary")
    options = ReadingOptions(task="multi_label")
    data = "image,tags\n" + "".join(f"{at},{tag}\n" for at, tag in enumerate(tags))
    source = ListedSource({"l.csv": data}, ("0.jpg", "1.jpg", "2.jpg"), options)
    assert source.match().labels["1.jpg"] == ("agriculture", "clear", "primary")
    source = ListedSource({"l.csv": data.replace("tags", "class")}, source.images, options)
    assert source.match().labels["0.jpg"] == ("haze primary",)
    assert "'haze primary' and others" in source.read("l.csv").warnings[0]
    with pytest.raises(ListRefusedError, match="'hot dog' may be one label or several"):
        cells("hot dog", "dog", task="multi_label")


def test_an_empty_cell_is_a_negative_in_multi_label_and_unlabelled_else():
    assert cells("cat", "", "nan", "none", task="multi_label") == ["cat", "", "", "none"]
    assert cells("cat", "", "nan", "none") == ["cat", "-", "-", "none"]


def test_an_empty_part_is_named():
    images = ("a.jpg", "b.jpg", "c.jpg")
    source = ListedSource({"l.csv": "file,label\na.jpg,cat||dog\nb.jpg,cat\nc.jpg,dog|\n"}, images)
    assert [each.name for each in source.read("l.csv").rejections] == ["l.csv:2", "l.csv:4"]


def test_lists_as_python_and_json_write_them():
    texts = ["['cat', 'dog']", "['cat']", "[]"]
    assert cells(*texts, task="multi_label") == ["cat|dog", "cat", ""]
    assert cells('["cat", "dog"]'.replace('"', "'"), "('dog',)", task="multi_label") == [
        "cat|dog",
        "dog",
    ]


def test_whole_numbers_with_decimals_are_whole():
    assert cells("1.0", "2.0", "1") == ["1", "2", "1"]


def test_minus_one_among_numbers_is_not_known():
    assert cells("0", "1", "-1") == ["0", "1", "-"]
    assert cells("0", "1", "-1", task="multi_label") == ["0", "1", "-"]
    assert cells("cat", "-1") == ["cat", "-1"]

"""Lists as people have them: what was read silently and wrongly is asked about, or read rightly."""

import json
from pathlib import Path

import pytest

from labelling.labels.known_classes import KnownClasses
from labelling.sources.read import read_source
from labelling.sources.reading import Reading, ReadingOptions

pytestmark = pytest.mark.unit

TWELVE = [f"{at:02}.jpg" for at in range(12)]


def read(
    tmp_path: Path, text: str, name: str = "l.csv", known: str = "", **options: str
) -> Reading:
    for image in TWELVE:
        (tmp_path / image).write_bytes(b"x")
    (tmp_path / name).write_text(text, encoding="utf-8")
    classes = KnownClasses(frozenset([known] if known else []))
    return read_source(tmp_path, ReadingOptions(**options), known=classes)


def column(one: str, other: str, title: str = "label", separator: str = ",") -> str:
    rows = [f"{name}{separator}{(one, other)[at % 2]}" for at, name in enumerate(TWELVE)]
    return "\n".join([f"file{separator}{title}", *rows]) + "\n"


def table(header: str, *rows: str) -> str:
    lines = [f"{name},{rows[at % len(rows)]}" for at, name in enumerate(TWELVE)]
    return "\n".join([header, *lines]) + "\n"


@pytest.mark.parametrize(
    ("label", "why"),
    [
        ("#REF!", "an error of a spreadsheet"),
        ("#NAME?", "an error of a spreadsheet"),
        ('"=""dog"""', "a formula"),
        ('"{""label"": ""dog""}"', "an object"),
        ("M&ouml;we", "HTML for Möwe"),
        ("MÃ¶we", "Möwe in a wrong encoding"),
        ("M\ufffdwe", "damaged by a wrong encoding"),
        ("cat?", "cat with a mark"),
        ("maybe cat", "cat, with a word of uncertainty"),
        ("probably owl", "owl, with a word of uncertainty"),
        ("cat (unsure)", "cat, with a word of uncertainty"),
        ("cat (?)", "cat, with a word of uncertainty"),
        ("cat unsicher", "cat, with a word of uncertainty"),
        ("cat *", "cat with a mark"),
        ("Mar-01", "a date"),
        ("1-Sep", "a date"),
    ],
)
def test_labels_that_a_program_has_damaged_are_asked_about(
    tmp_path: Path, label: str, why: str
) -> None:
    (doubt,) = read(tmp_path, column("cat", label)).doubts
    assert "Are these labels right" in doubt.question
    assert why in doubt.question
    assert [option for option, _ in doubt.answers] == ["--yes", "--labels-from none"]


@pytest.mark.parametrize(
    "label",
    [
        *("R&D", "a&b;c", "C*", "what?", "[x]", "Möwe", "Ärzte", "#1", "=", "May"),
        *("black and white", "salt/pepper", "tabby (small)", "a label", "etiquette", "unlikely"),
    ],
)
def test_odd_names_are_labels(tmp_path: Path, label: str) -> None:
    found = read(tmp_path, column("cat", label))
    assert (list(found.doubts), found.labels["01.jpg"]) == ([], (label,))


def test_a_damaged_label_that_is_a_class_already_is_no_question(tmp_path: Path) -> None:
    assert not read(tmp_path, column("cat", "cat?"), known="cat?").doubts


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_whole_numbers_with_a_decimal_comma(tmp_path: Path, task: str) -> None:
    found = read(tmp_path, column("1,0", "0,0", separator=";"), task=task)
    assert set(found.labels.values()) == {("1",), ("0",)}


@pytest.mark.parametrize(("one", "other"), [("TRUE", "FALSE"), ("WAHR", "FALSCH"), ("yes", "no")])
@pytest.mark.parametrize("title", ["label", "cat"])
def test_classes_called_true_and_false_are_reported(
    tmp_path: Path, title: str, one: str, other: str
) -> None:
    found = read(tmp_path, column(one, other, title))
    assert found.labels["00.jpg"] == (one,)
    assert any("the classes are called" in warning for warning in found.warnings)


@pytest.mark.parametrize("title", ["corrected", "label_fixed", "second"])
def test_a_column_that_says_otherwise_for_some_images_is_asked_about(
    tmp_path: Path, title: str
) -> None:
    rows = (
        ("cat,cat", "dog,dog", "cat,dog", "dog,") if title != "corrected" else ("cat,", "dog,cat")
    )
    (doubt,) = read(tmp_path, table(f"file,label,{title}", *rows)).doubts
    assert f"--columns file,{title}" in dict(doubt.answers)
    notes = read(tmp_path, table(f"file,label,{title}", *rows), columns=("file", "label"))
    assert not notes.doubts


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("file,label,label_copy", ("cat,cat", "dog,dog")),
        ("file,label,is_train", ("0,1", "1,1", "0,0", "1,0")),
        ("file,label,note", ("cat,", "dog,a cat")),
    ],
)
def test_other_columns_are_no_second_opinion(
    tmp_path: Path, header: str, rows: tuple[str, ...]
) -> None:
    found = read(tmp_path, table(header, *rows))
    assert (list(found.doubts), len(found.labels)) == ([], 12)


def test_lines_of_several_people_are_no_several_labels(tmp_path: Path) -> None:
    lines = [
        f"{name},{who},{('cat', 'dog')[(at + (who == 'bob' and at % 3 == 0)) % 2]}"
        for at, name in enumerate(TWELVE)
        for who in ("ann", "bob")
    ]
    text = "file,annotator,label\n" + "\n".join(lines)
    (doubt,) = read(tmp_path, text, task="multi_label").doubts
    assert "lines of several people (annotator) for 12 of 12 images" in doubt.question
    assert "--columns file,label" in dict(doubt.answers)
    reason = read(tmp_path, text, task="multi_label", columns=("file", "label"))
    assert set(reason.labels["00.jpg"]) == {"cat", "dog"}
    single = read(tmp_path, text)
    assert "00.jpg" not in single.labels
    assert single.labels["01.jpg"] == ("dog",)


@pytest.mark.parametrize("heading", ["{}:", "{}", "= {} ="])
def test_names_of_images_below_headings_are_not_read_as_a_list_without_labels(
    tmp_path: Path, heading: str
) -> None:
    lines = [heading.format("cat"), *TWELVE[:6], heading.format("dog"), *TWELVE[6:]]
    (doubt,) = read(tmp_path, "\n".join(lines) + "\n", "l.csv").doubts
    assert "headings" in doubt.question


def test_lists_of_names_alone_are_asked_about(tmp_path: Path) -> None:
    names = {"positives.csv": TWELVE[:6], "negatives.csv": TWELVE[6:]}
    for name, images in names.items():
        found = read(tmp_path, "\n".join(["file", *images]) + "\n", name)
    (doubt,) = found.doubts
    assert "negatives.csv, positives.csv: names of images only" in doubt.question
    assert [option for option, _ in doubt.answers] == ["--labels-from none"]
    (tmp_path / "positives.csv").rename(tmp_path / "train.csv")
    (tmp_path / "negatives.csv").unlink()
    assert not read(tmp_path, "file\n", "empty.csv").doubts
    (tmp_path / "empty.csv").unlink()
    assert not read(tmp_path, column("cat", "dog")).doubts


def test_lists_that_contradict_one_another_are_all_offered(tmp_path: Path) -> None:
    read(tmp_path, column("cat", "dog"), "animal.csv")
    (doubt,) = read(tmp_path, column("sun", "rain"), "weather.csv").doubts
    assert {"--labels-from animal.csv", "--labels-from weather.csv"} <= {*dict(doubt.answers)}


def test_a_text_of_captions_is_refused_with_the_reason(tmp_path: Path) -> None:
    text = table("image,caption", "A cat that sits on a mat", "Two dogs run along the beach")
    (doubt,) = read(tmp_path, text, "captions.txt").doubts
    assert "texts about the images (caption), which are no labels" in doubt.question


def test_a_map_of_just_these_numbers_names_the_classes(tmp_path: Path) -> None:
    (tmp_path / "label_num_to_disease_map.json").write_text('{"0": "blight", "1": "healthy"}')
    (tmp_path / "class_map_of_others.json").write_text('{"7": "rust"}')
    found = read(tmp_path, column("0", "1"))
    assert set(found.labels.values()) == {("blight",), ("healthy",)}


def test_classes_of_which_it_is_mostly_not_known_are_refused_with_the_reason(
    tmp_path: Path,
) -> None:
    rows = ("M,41,1.0,", "F,42,,-1.0", "M,43,,0.0", "F,44,1.0,1.0", "F,45,,")
    (doubt,) = read(
        tmp_path, table("Path,Sex,Age,Edema,Pneumonia", *rows), task="multi_label"
    ).doubts
    assert "-1 or nothing" in doubt.question
    assert "Write 0 or 1" in doubt.question
    assert [option for option, _ in doubt.answers] == ["--labels-from none"]


@pytest.mark.parametrize("suffix", [".0", ""])
def test_ids_that_pandas_made_numbers_with_decimals(tmp_path: Path, suffix: str) -> None:
    for at in range(100, 112):
        (tmp_path / f"{at}.jpg").write_bytes(b"x")
    rows = [f"{at}{suffix},{('cat', 'dog')[at % 2]}" for at in range(100, 112)]
    found = read(tmp_path, "\n".join(["id,label", *rows]) + "\n")
    assert (list(found.doubts), found.labels["101.jpg"]) == ([], ("dog",))


def test_a_total_below_names_of_images_is_no_heading(tmp_path: Path) -> None:
    (doubt,) = read(tmp_path, "\n".join([*TWELVE, "12 files"]) + "\n").doubts
    assert "names of images only" in doubt.question


def test_a_name_without_suffix_that_is_missing_is_no_heading(tmp_path: Path) -> None:
    ids = [name.removesuffix(".jpg") for name in TWELVE]
    found = read(tmp_path, "\n".join([*ids[:6], "missing", *ids[6:]]) + "\n", "train.txt")
    assert not found.doubts
    assert [item.name for item in found.rejections] == ["train.txt:7 missing"]


@pytest.mark.parametrize(
    ("one", "several"),
    [
        ("['cat']", "\"['cat' 'dog']\""),
        ("{cat}", '"{cat,dog}"'),
        ('["cat"]', "\"['cat'\n 'dog']\""),
    ],
)
def test_arrays_as_numpy_and_postgresql_write_them(tmp_path: Path, one: str, several: str) -> None:
    if "\n" in several:
        several = several.replace("\n", "  ")
    found = read(
        tmp_path,
        column(one.replace('"', '"""') if '"' in one else one, several),
        task="multi_label",
    )
    assert set(found.labels.values()) == {("cat",), ("cat", "dog")}


@pytest.mark.parametrize("sign", ["+", "/", " & ", "&", " and ", " und "])
def test_a_sign_between_labels_that_is_not_known_is_asked_about(tmp_path: Path, sign: str) -> None:
    (doubt,) = read(
        tmp_path, table("file,tags", "cat", "dog", f"cat{sign}dog"), task="multi_label"
    ).doubts
    assert "may be one label, or several" in doubt.question
    text = table("file,tags", "cat", "rat", f"cat{sign}dog", f"cat{sign}dog{sign}eel")
    assert read(tmp_path, text, task="multi_label").doubts
    found = read(tmp_path, table("file,tags", "cat", "dog", f"owl{sign}eel"), task="multi_label")
    assert f"owl{sign}eel" in {label for message in found.labels.values() for label in message}


@pytest.mark.parametrize("values", [("1", "0"), ("TRUE", "FALSE"), ("0.9", "0.2")])
def test_a_line_for_each_label_and_whether_it_applies_is_asked_about(
    tmp_path: Path, values: tuple[str, str]
) -> None:
    rows = [
        f"{name},{label},{values[(at + number) % 2]}"
        for at, name in enumerate(TWELVE)
        for number, label in enumerate(("cat", "dog"))
    ]
    text = "file,label,value\n" + "\n".join(rows)
    (doubt,) = read(tmp_path, text, task="multi_label").doubts
    assert "may say whether it applies" in doubt.question
    assert "--columns file,label" in dict(doubt.answers)


def test_a_prefix_of_all_columns_of_classes_is_left_off(tmp_path: Path) -> None:
    found = read(tmp_path, table("file,label_cat,label_dog", "1,0", "0,1"))
    assert set(found.labels.values()) == {("cat",), ("dog",)}
    records = [
        {"file": name, "labels": {"cat": at % 2, "dog": 1 - at % 2}}
        for at, name in enumerate(TWELVE)
    ]
    (tmp_path / "l.csv").unlink()
    found = read(tmp_path, "\n".join(map(json.dumps, records)), "l.jsonl")
    assert set(found.labels.values()) == {("cat",), ("dog",)}
    assert any("'labels.' before" in warning for warning in found.warnings)


def test_answers_of_several_people_in_json_are_not_put_together(tmp_path: Path) -> None:
    texts = [{"user": "ann", "label": "cat"}, {"user": "bob", "label": "dog"}]
    records = [{"file": name, "annotations": texts} for name in TWELVE]
    text = "\n".join(map(json.dumps, records))
    (doubt,) = read(tmp_path, text, "l.jsonl", task="multi_label").doubts
    assert "annotations of its records holds objects" in doubt.question


def test_a_table_of_masks_is_no_list_without_labels(tmp_path: Path) -> None:
    rows = "".join(f"{name},{name[:2]}_mask.png\n" for name in TWELVE)
    (doubt,) = read(tmp_path, "image,annotation\n" + rows).doubts
    assert "masks" in doubt.question


def test_a_list_that_breaks_off_in_its_last_label_gives_no_class_for_it(tmp_path: Path) -> None:
    found = read(tmp_path, column("cat", "squirrel").removesuffix("irrel\n"))
    assert set(found.labels.values()) == {("cat",), ("squirrel",)}
    (rejection,) = found.rejections
    assert rejection.name == "l.csv:13 11.jpg"
    assert "end early in 'squ'" in rejection.reason
    assert len(read(tmp_path, column("cat", "squirrel").removesuffix("\n")).labels) == 12
    other = column("cat", "squirrel").removesuffix("squirrel\n") + "owl"
    assert read(tmp_path, other).labels["11.jpg"] == ("owl",)


def test_keys_and_values_are_no_table(tmp_path: Path) -> None:
    text = "".join(f"- file: {name}\n  label: cat\n" for name in TWELVE)
    assert read(tmp_path, text, "l.txt").doubts


def test_a_list_of_one_class_with_images_that_are_missing_is_no_keys_and_values(
    tmp_path: Path,
) -> None:
    there = "".join(f"{name},cat\n" for name in TWELVE)
    gone = "".join(f"gone-{number}.jpg,cat\n" for number in range(5))
    found = read(tmp_path, f"file,labels\n00.jpg\n{gone}{there}")
    assert set(found.labels.values()) == {("cat",)}
    assert len(found.labels) == 12


@pytest.mark.parametrize(
    ("one", "other"), [("10%", "20 %"), ("1.99 €", "$2"), ("5kg", "750 g"), ("3 cm", "12 mm")]
)
def test_amounts_are_asked_about(tmp_path: Path, one: str, other: str) -> None:
    (doubt,) = read(tmp_path, column(one, other)).doubts
    assert "holds amounts" in doubt.question


@pytest.mark.parametrize(
    ("yes", "no"), [("WAHR", "FALSCH"), ("ja", "nein"), ("Oui", "Non"), ("✓", ""), ("✔", "✘")]
)
@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_columns_of_classes_in_other_languages_and_with_ticks(
    tmp_path: Path, yes: str, no: str, task: str
) -> None:
    text = table("file,cat,dog", f"{yes},{no}", f"{no},{yes}")
    assert set(read(tmp_path, text, task=task).labels.values()) == {("cat",), ("dog",)}


@pytest.mark.parametrize(
    "label", ["cat/dog", "cat & dog", "cat+dog", "cat und dog", "cat or dog", "cat \\ dog"]
)
def test_two_classes_in_one_label_are_asked_about_in_single_label(
    tmp_path: Path, label: str
) -> None:
    (doubt,) = read(tmp_path, table("file,label", "cat", "dog", label)).doubts
    assert "several labels (cat, dog)?" in doubt.question
    assert [option for option, _ in doubt.answers] == ["--yes", "--labels-from none"]


@pytest.mark.parametrize(
    "word",
    [
        *("nicht gelabelt", "not labelled yet", "Not yet labeled", "unannotiert", "non étiqueté"),
        *("zu labeln", "à étiqueter", "to_label", "unlabelled images", "no labels", "N.A."),
        *("unsortiert", "da classificare", "未分类", "미분류", "без меток", "sınıflandırılmamış"),
    ],
)
def test_phrases_for_not_labelled_are_no_classes(tmp_path: Path, word: str) -> None:
    found = read(tmp_path, table("file,label", "cat", "dog", word))
    assert (list(found.doubts), set(found.labels.values())) == ([], {("cat",), ("dog",)})
    assert any(f"{word!r}: read as not labelled" in text for text in found.warnings)


@pytest.mark.parametrize(
    "word",
    [
        "pending",
        "can't tell",
        "can\u2019t tell",
        "k.A.",
        "not sure",
        "Keine Angabe",
        "idk",
        "onbekend",
    ],
)
def test_phrases_that_may_say_not_labelled_are_asked_about(tmp_path: Path, word: str) -> None:
    (doubt,) = read(tmp_path, table("file,label", "cat", "dog", word)).doubts
    assert "does it say that there is no label" in doubt.question


@pytest.mark.parametrize("more", ["", " n02 1 2 3 4"])
def test_classes_with_boxes_behind_them_are_no_labels(tmp_path: Path, more: str) -> None:
    text = table("ImageId,PredictionString", f"n01 10 10 50 50{more}", "n02 1 2.5 30 40")
    (doubt,) = read(tmp_path, text).doubts
    assert "places of objects" in doubt.question


@pytest.mark.parametrize(
    "values", [("entrenamiento", "validación", "prueba"), ("Training", "Validierung", "Test")]
)
def test_splits_in_a_column_are_known_in_the_languages_of_folders(
    tmp_path: Path, values: tuple[str, ...]
) -> None:
    alone = read(tmp_path, table("archivo,conjunto", *values))
    assert not alone.labels
    assert set(alone.splits.values()) == {"train", "val", "test"}
    rows = [f"{value},{label}" for label in ("cat", "dog") for value in values]
    beside = read(tmp_path, table("archivo,conjunto,clase", *rows))
    assert set(beside.labels.values()) == {("cat",), ("dog",)}
    assert set(beside.splits.values()) == {"train", "val", "test"}


def test_which_of_two_lists_is_right_is_asked(tmp_path: Path) -> None:
    (tmp_path / "b_corrected.csv").write_text(column("dog", "cat").replace("cat", "dog", 1))
    old = column("dog", "cat")
    assert old != (tmp_path / "b_corrected.csv").read_text()
    (doubt,) = read(tmp_path, old, "a.csv").doubts
    assert "a.csv, b_corrected.csv label 1 image differently" in doubt.question
    options = [option for option, _ in doubt.answers]
    assert options[:2] == ["--labels-from a.csv", "--labels-from b_corrected.csv"]
    assert "--yes" in options

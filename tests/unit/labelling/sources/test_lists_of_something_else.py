"""Columns and lists of something else than labels are asked about, whatever else there is not."""

import json
from itertools import combinations
from pathlib import Path

import pytest

from labelling.labels.known_classes import KnownClasses
from labelling.sources.read import read_source
from labelling.sources.reading import Reading, ReadingOptions
from tests.unit.labelling.sources.lists_of_tests import ListedSource, labels

pytestmark = pytest.mark.unit

SIX = tuple(f"{at}.jpg" for at in range(6))


def column(title: str, one: object, other: object) -> str:
    rows = [f"{name},{(one, other)[at % 2]}" for at, name in enumerate(SIX)]
    return "\n".join([f"filename,{title}", *rows]) + "\n"


def answers(data: str, name: str = "list.csv", **options: object) -> dict[str, str]:
    reading = ListedSource({name: data}, SIX, ReadingOptions(**options)).read(name)
    assert reading is not None
    (doubt,) = reading.doubts
    assert reading.statements == ()
    return dict(doubt.answers)


@pytest.mark.parametrize(
    "title",
    [
        *(
            "size",
            "width",
            "imageHeight",
            "date",
            "capture_time",
            "camera",
            "Camera Model",
            "device",
        ),
        *("license", "Lizenz", "author", "photographer", "source", "path2dir path", "rating"),
        *("quality", "verified", "status", "fecha", "拍摄 日期", "taille", "state", "score"),
    ],
)
def test_a_column_that_is_known_for_something_else_is_asked_about(title: str) -> None:
    offered = answers(column(title, "a", "b"))
    assert len(offered) == 2
    assert "--labels-from none" in offered
    assert "2 classes: a (3), b (3)" in offered.values()


@pytest.mark.parametrize("title", ["animal", "size_class", "quality label", "Was", "breed", "type"])
def test_other_columns_are_labels(title: str) -> None:
    assert labels(column(title, "a", "b"), *SIX)["1.jpg"] == "b"


@pytest.mark.parametrize("title", ["what", "label"])
@pytest.mark.parametrize(
    ("one", "other", "held"),
    [
        ("2024-05-01", "2024-05-02", "dates"),
        ("2024:05:01 10:00:00", "2024:05:02 11:30:00", "dates"),
        ("01.05.2024", "2.5.24", "dates"),
        ("1 May 2024", "12 June 2023", "dates"),
        ("2024-05-01T10:00:00Z", "2024-05-02T10:00:00.5+02:00", "dates"),
        ("10:15", "22:05:59", "times"),
        (1714557600, 1714561200, "times"),
        ("1.2 MB", "640 KB", "sizes"),
        ("640x480", "1920×1080", "sizes"),
        ("https://a.org/x", "https://a.org/y", "addresses"),
        ("ann@example.org", "bob@example.org", "addresses"),
    ],
)
def test_dates_sizes_and_addresses_are_asked_about(
    title: str, one: object, other: object, held: str
) -> None:
    data = column(title, one, other)
    reading = ListedSource({"l.csv": data}, SIX).read("l.csv")
    assert held in reading.doubts[0].question
    reported = labels(data, *SIX, columns=("filename", title))
    assert reported["1.jpg"] == str(other)


def test_numbers_that_begin_high_in_a_column_of_no_known_name_are_asked_about() -> None:
    assert answers(column("amount", 480, 640))
    assert labels(column("group", 0, 7), *SIX)["1.jpg"] == "7"
    assert labels(column("class", 480, 640), *SIX)["1.jpg"] == "640"
    inventory = "".join(f"bucket,{name},{123 + at % 2},x\n" for at, name in enumerate(SIX))
    assert answers(inventory)
    pairs = "".join(f"{name},{65 + at % 2}\n" for at, name in enumerate(SIX))
    assert labels(pairs, *SIX)["1.jpg"] == "66"  # a part of ImageNet's list


@pytest.mark.parametrize("length", [32, 40, 64])
def test_checksums_are_no_labels(length: int) -> None:
    sums = [("0123456789abcdef" * 8)[at : at + length] for at in range(6)]
    rows = "".join(f"{one}  {name}\n" for one, name in zip(sums, SIX, strict=True))
    assert labels(rows, *SIX, name="md5.txt") == {}
    rows = "".join(f"{one},{name},ab{name[0]}\n" for one, name in zip(sums, SIX, strict=True))
    assert labels("sum,file,label\n" + rows, *SIX)["1.jpg"] == "ab1"


def test_a_column_of_yes_and_no_about_something_else_is_no_class() -> None:
    rows = "".join(f"{name},1,{at % 2},{1 - at % 2}\n" for at, name in enumerate(SIX))
    source = ListedSource({"l.csv": "file,verified,cat,dog\n" + rows}, SIX)
    assert source.match().labels["1.jpg"] == ("cat",)
    assert "not used: verified" in source.read("l.csv").warnings[0]
    many = "".join(f"{name},1,{at % 2},1\n" for at, name in enumerate(SIX))
    offered = answers("file,verified,cat,dog\n" + many)
    assert "--columns 1,3-4" in offered


def test_classes_with_decimal_commas_are_classes() -> None:
    rows = "".join(f"{name};{at % 2},0;{1 - at % 2},0\n" for at, name in enumerate(SIX))
    assert labels("file;cat;dog\n" + rows, *SIX)["1.jpg"] == "cat"


# --- answers of models ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("list.csv", column("predicted_label", "cat", "dog")),
        ("list.csv", column("pred", "cat", "dog")),
        ("list.csv", column("label,probability", "cat,0.5", "dog,0.7")),
        ("list.csv", column("label,Confidence", "cat,high", "dog,low")),
        ("predictions.csv", column("label", "cat", "dog")),
        ("my_sub_v2.csv", column("label", "cat", "dog")),
        ("answers.csv", column("label", "cat", "dog")),
        ("modelPreds.csv", column("species", "cat", "dog")),
        ("predictions.txt", "".join(f"{name} {'ab'[at % 2]}\n" for at, name in enumerate(SIX))),
        ("predictions.json", "{" + ",".join(f'"{n}": "{"ab"[i % 2]}"' for i, n in enumerate(SIX)) + "}"),
        ("l.jsonl", "".join(f'{{"file": "{n}", "label": "{"ab"[i % 2]}", "confidence": 0.9}}\n' for i, n in enumerate(SIX))),
    ],
)  # fmt: skip
def test_what_a_model_answered_is_asked_about(tmp_path: Path, name: str, data: str) -> None:
    reading = read(tmp_path, {**dict.fromkeys(SIX, ""), name: data})
    (doubt,) = reading.doubts
    assert "--labels-from none" in [option for option, _ in doubt.answers]
    assert not dict(reading.labels)
    notes = read(tmp_path, {}, labels_from=name)
    assert (list(notes.doubts), len(dict(notes.labels))) == ([], 6)


@pytest.mark.parametrize(
    "name", ["submarine.csv", "subjects.csv", "labels.csv", "ground_truth.csv"]
)
def test_names_that_only_begin_so_are_lists(name: str) -> None:
    assert labels(column("label", "cat", "dog"), *SIX, name=name)["1.jpg"] == "dog"


def read(tmp_path: Path, files: dict[str, str], **options: object) -> Reading:
    for name, text in files.items():
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return read_source(tmp_path / "set", ReadingOptions(**options))


def test_predictions_beside_labels_leave_the_test_images_unlabelled(tmp_path: Path) -> None:
    images = {f"{folder}/{folder[1]}{name}": "" for folder in ("train", "test") for name in SIX}
    train = "id,label\n" + "".join(f"r{at},{'ab'[at % 2]}\n" for at in range(6))
    files = {**images, "train.csv": train, "predictions.csv": train.replace("r", "e")}
    reading = read(tmp_path, files)
    (doubt,) = reading.doubts
    assert [option for option, _ in doubt.answers] == [
        "--labels-from predictions.csv",
        "--labels-from train.csv",
        "--labels-from none",
    ]
    notes = read(tmp_path, {}, labels_from="train.csv")
    assert {name.split("/")[0] for name in notes.labels} == {"train"}


def test_predictions_are_no_sibling_of_lists_of_splits(tmp_path: Path) -> None:
    """A class for each image, which other lists would show to be one: it stays a question."""
    names = [f"{at}.jpg" for at in range(20)]
    images = {f"{folder}/{name}": "" for folder in ("train", "test") for name in names}
    rows = "".join(f"{{}}/{name},k{at}\n" for at, name in enumerate(names))
    lists = {
        "train.csv": "file,label\n" + rows.format(*["train"] * 20),
        "my_preds.csv": "file,label\n" + rows.format(*["test"] * 20),
    }
    assert any(
        "predictions of a model" in doubt.question
        for doubt in read(tmp_path, {**images, **lists}).doubts
    )


def pixels(columns: int) -> str:
    header = ",".join([*(f"pixel{at}" for at in range(columns)), "label"])
    rows = [",".join(str(190 + at + row) for at in range(columns + 1)) for row in range(9)]
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("hmnist_8_8_RGB.csv", pixels(192), "tables of numbers that name no images"),
        ("patients.csv", "patient,label\nann,sick\nbob,well\n", "name no images of this source"),
        ("ls.txt", [f"-rw-r--r-- 1 ann staff {at}00 May 1 10:00 {{}}" for at in range(6)], "ls -l"),
        ("ls.csv", [f"-rw-r--r--@ 1 a b {at} May 1 10:00 {{}}" for at in range(6)], "ls -l"),
        ("s3.txt", [f"2024-05-01 10:00:00  {at}00 {{}}" for at in range(6)], "aws s3 ls"),
        ("dir.txt", [f"05/01/2024  10:00 AM  {at},000 {{}}" for at in range(6)], "of dir"),
        ("zip.txt", [f"  {at}00  2024-05-01 10:00   {{}}" for at in range(6)], "unzip -l"),
        ("chat.txt", [f"12/05/24, 14:0{at} - Ann: {{}} (file attached)" for at in range(6)], "chat"),
        ("chat.txt", [f"[12.05.24, 14:00:0{at}] Ann: \u200e<attached: {{}}>" for at in range(6)], "chat"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("beside", [True, False])
def test_what_names_no_image_or_holds_no_labels_is_ignored_in_words(
    tmp_path: Path, name: str, data: str | list[str], expected: str, beside: bool
) -> None:
    if isinstance(data, list):
        lines = [line.format(image) for line, image in zip(data, SIX, strict=True)]
        data = "\n".join(lines) + "\n"
    labelled = {"l.csv": column("dx", "a", "b")} if beside or name == "patients.csv" else {}
    found = read(tmp_path, {**dict.fromkeys(SIX, ""), name: data, **labelled})
    assert not found.doubts
    assert len(found.labels) == (6 if labelled else 0)
    (ignored,) = [each for each in found.ignored if name in each.examples]
    assert expected in ignored.reason


def test_a_table_that_names_no_image_is_no_reason_for_labels_by_anything_weaker(
    tmp_path: Path,
) -> None:
    files = {f"{name}/{at}.jpg": "" for name in ("cat", "dog") for at in range(3)}
    files["patients.csv"] = "patient,label\nann,sick\nbob,well\n"
    (doubt,) = read(tmp_path, files).doubts
    assert "no column was found that names images" in doubt.question


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("bad.csv", "file,label\nx.jpg,a\ny.jpg,b\n"),
        ("boxes.json", '[{"file": "1.jpg", "bbox": [1, 2, 3, 4]}]'),
        ("notes.txt", "".join(f"{image}: take {image[0]} again, please\n" for image in SIX)),
    ],
)
@pytest.mark.parametrize("good", ["l.csv", "l.txt"])
def test_a_list_that_is_not_understood_offers_those_that_are(
    tmp_path: Path, name: str, data: str, good: str
) -> None:
    files = {**dict.fromkeys(SIX, ""), name: data, good: column("dx", "a", "b")}
    (doubt,) = read(tmp_path, files).doubts
    assert [option for option, _ in doubt.answers] == [
        f"--labels-from {good}",
        "--labels-from none",
    ]
    assert len(read(tmp_path, {}, labels_from=good).labels) == 6


WORDS_AS = {
    "l.csv": lambda word: column("label", "cat", word),
    "tags.jsonl": lambda word: "".join(
        json.dumps({"file": name, "labels": ["cat" if at % 2 else word]}) + "\n"
        for at, name in enumerate(SIX)
    ),
    "by_class.json": lambda word: json.dumps({"cat": SIX[1::2], word: SIX[::2]}),
    "_classes.csv": lambda word: (
        f"filename,cat,{word}\n"
        + "".join(f"{name},{at % 2},{1 - at % 2}\n" for at, name in enumerate(SIX))
    ),
    "studio.json": lambda word: json.dumps(
        [
            {
                "id": at,
                "data": {"image": name},
                "annotations": [
                    {
                        "result": [
                            {
                                "from_name": "c",
                                "type": "choices",
                                "value": {"choices": ["cat" if at % 2 else word]},
                            }
                        ]
                    }
                ],
            }
            for at, name in enumerate(SIX)
        ]
    ),
    "vertex.jsonl": lambda word: "".join(
        json.dumps(
            {
                "imageGcsUri": f"gs://b/{name}",
                "classificationAnnotation": {"displayName": "cat" if at % 2 else word},
            }
        )
        + "\n"
        for at, name in enumerate(SIX)
    ),
}


@pytest.mark.parametrize("name", WORDS_AS)
@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_words_for_no_label_are_no_classes_in_any_format(
    tmp_path: Path, name: str, task: str
) -> None:
    files = {**dict.fromkeys(SIX, ""), name: WORDS_AS[name]("TODO")}
    found = read(tmp_path, files, task=task)
    assert not found.doubts
    assert set(found.labels.values()) == {("cat",)}
    assert any("'TODO'" in warning and "not labelled" in warning for warning in found.warnings)
    (doubt,) = read(tmp_path, {name: WORDS_AS[name]("unknown")}, task=task).doubts
    assert "'unknown' a class" in doubt.question


def test_a_word_for_no_label_beside_a_label_sets_the_image_aside(tmp_path: Path) -> None:
    rows = [["cat"], ["cat", "todo"], ["dog"], ["dog", "cat"], ["cat"], ["dog"]]
    lines = [json.dumps({"file": at, "labels": row}) for at, row in zip(SIX, rows, strict=True)]
    files = {**dict.fromkeys(SIX, ""), "l.jsonl": "\n".join(lines)}
    found = read(tmp_path, files, task="multi_label")
    assert "1.jpg" not in found.labels
    assert [item.name for item in found.rejections] == ["l.jsonl:2 1.jpg: cat, todo"]


def test_labels_of_which_most_are_seen_again_are_classes_however_they_are_combined(
    tmp_path: Path,
) -> None:
    """24 images, each with another combination of 6 labels."""
    combined = [*combinations("abcdef", 2), *combinations("abcdef", 3)][:24]
    names = [f"{at}.jpg" for at in range(24)]
    rows = "".join(f"{name},{'|'.join(text)}\n" for name, text in zip(names, combined, strict=True))
    files = {**dict.fromkeys(names, ""), "l.csv": "file,labels\n" + rows}
    found = read(tmp_path, files, task="multi_label")
    assert not found.doubts
    assert len(found.labels) == 24


def test_predictions_beside_folders_offer_the_folders(tmp_path: Path) -> None:
    images = {f"train/{name}/{at}.jpg": "" for name in ("cat", "dog") for at in range(3)}
    tests = {f"test/{at}.jpg": "" for at in range(3)}
    data = "file,predicted_label\n" + "".join(f"test/{at}.jpg,cat\n" for at in range(3))
    (doubt,) = read(tmp_path, {**images, **tests, "predictions.csv": data}).doubts
    assert "--labels-from parent" in [option for option, _ in doubt.answers]


def test_words_that_may_be_classes_are_a_question_unless_they_are_known(tmp_path: Path) -> None:
    files = {**dict.fromkeys(SIX, ""), "l.csv": column("label", "cat", "unknown")}
    (doubt,) = read(tmp_path, files).doubts
    assert "'unknown' a class" in doubt.question
    assert [option for option, _ in doubt.answers] == ["--yes", "--labels-from none"]
    known = KnownClasses(frozenset({"unknown"}))
    assert not read_source(tmp_path / "set", ReadingOptions(), known=known).doubts

"""A list beside folders of classes takes their place only if it says what they say, or is asked."""

import json
from collections import Counter
from pathlib import Path

import pytest

from labelling.sources.lists_and_folders import spelled_alike
from labelling.sources.read import read_source
from labelling.sources.reading import Reading, ReadingOptions

pytestmark = pytest.mark.unit

PETS = tuple(f"{folder}/{i}.jpg" for folder in ("cat", "dog") for i in range(3))


def table(header: str, *cells: str, files: tuple[str, ...] = PETS) -> str:
    rows = [",".join(row) for row in zip(files, cells, strict=False)]
    return "\n".join([f"filename,{header}", *rows]) + "\n"


class Pets:
    """Folders cat and dog of three images each, with lists beside them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(
        self, files: dict[str, str], images: tuple[str, ...] = PETS, **options: object
    ) -> Reading:
        for name, text in {**dict.fromkeys(images, ""), **files}.items():
            path = self._path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return read_source(self._path, ReadingOptions(**options))


@pytest.fixture
def pets(tmp_path: Path) -> Pets:
    return Pets(tmp_path / "pets")


def classes(reading: Reading) -> dict[str, int]:
    return dict(Counter("|".join(labels) for labels in dict(reading.labels).values()))


def options_of(reading: Reading) -> list[str]:
    return [option for doubt in reading.doubts for option, _ in doubt.answers]


CUTS_ACROSS = {
    "a label": ("l.csv", table("label", *"xyxyxy")),
    "any column": ("l.csv", table("path2", *"aabbab")),
    "a correction": ("l.csv", table("label", "cat", "cat", "dog", "dog", "dog", "dog")),
    "finer": ("l.csv", table("label", "siam", "siam", "manx", "pug", "pug", "pug")),
    "coarser": ("l.csv", table("label", *["pet"] * 6)),
    "one folder": ("l.csv", table("label", "CC0", "CC0", "CC0")),
    "once each": ("l.csv", "filename,label\ncat/0.jpg,CC0\ndog/1.jpg,CC-BY\n"),
    "JSON records": (
        "metadata.json",
        "["
        + ",".join(f'{{"file_name":"{name}","mark":{i % 2}}}' for i, name in enumerate(PETS))
        + "]",
    ),
    "a JSON map": (
        "m.json",
        "{" + ",".join(f'"{name}": "{"ab"[i % 2]}"' for i, name in enumerate(PETS)) + "}",
    ),
    "sizes in JSON": (
        "m.json",
        "{"
        + ",".join(f'"{name}":{{"w":640,"h":{480 + i % 2}}}' for i, name in enumerate(PETS))
        + "}",
    ),
    "an inventory of S3": (
        "inventory.csv",
        "".join(f'"bucket","{n}","{123 + i % 2}","2024-05-01"\n' for i, n in enumerate(PETS)),
    ),
}


@pytest.mark.parametrize("given", CUTS_ACROSS.values(), ids=CUTS_ACROSS)
def test_a_list_that_says_something_else_than_the_folders_is_a_question(
    pets: Pets, given: tuple[str, str]
) -> None:
    name, text = given
    reading = pets({name: text})
    assert len(reading.doubts) == 1
    offered = options_of(reading)
    assert "--labels-from parent" in offered
    assert {f"--labels-from {name}", "--labels-from none"} & {*offered}
    assert classes(pets({}, labels_from="parent")) == {"cat": 3, "dog": 3}


def test_the_question_shows_what_both_say_and_each_answer_decides(pets: Pets) -> None:
    reading = pets({"l.csv": table("label", *"xyxyxy")})
    (doubt,) = reading.doubts
    assert "l.csv and the folders label images differently (x in cat/ (2)" in doubt.question
    assert dict(doubt.answers) == {
        "--labels-from l.csv": "as in the list, classes: x (3), y (3)",
        "--labels-from parent": "classes: cat (3), dog (3)",
    }
    by_list = pets({}, labels_from="l.csv")
    assert (by_list.doubts, classes(by_list)) == ((), {"x": 3, "y": 3})
    by_columns = pets({}, columns=("filename", "label"))
    assert (list(by_columns.doubts), classes(by_columns)) == ([], {"x": 3, "y": 3})


OTHER_NAMES = {
    "another language": (["Katze"] * 3, ["Hund"] * 3),
    "codes": (["0"] * 3, ["1"] * 3),
    "seldom": (["Katze"] * 3, ["Hund"] * 2),
}


@pytest.mark.parametrize("expected", OTHER_NAMES.values(), ids=OTHER_NAMES)
def test_other_names_of_all_classes_are_a_question(
    pets: Pets, expected: tuple[list[str], list[str]]
) -> None:
    reading = pets({"l.csv": table("label", *expected[0], *expected[1])})
    (doubt,) = reading.doubts
    assert "l.csv and the folders name the classes differently" in doubt.question
    assert [option for option, _ in doubt.answers] == [
        "--labels-from l.csv",
        "--labels-from parent",
    ]
    assert set(classes(pets({}, labels_from="l.csv"))) == {expected[0][0], expected[1][0]}
    assert set(classes(pets({}, labels_from="parent"))) == {"cat", "dog"}


def test_other_spellings_of_classes_are_taken_and_told(pets: Pets) -> None:
    reading = pets({"l.csv": table("label", *["Cat!"] * 3, "Hund", "Hund")})
    assert (list(reading.doubts), classes(reading)) == ([], {"Cat!": 3, "Hund": 2})
    assert "Cat! (cat), Hund (dog); --labels-from parent" in reading.warnings[-2]
    assert "label 1 more images" in reading.warnings[-1]


@pytest.mark.parametrize(
    ("label", "folder", "alike"),
    [
        ("Black footed Albatross", "001.Black_footed_Albatross", True),
        ("CON", "CON_", True),
        ("?", "_", True),
        ("0", "cat", False),
        ("1", "1_cat", False),
        ("1", "1", True),
        ("Canon", "cat", False),
        ("Käfer", "kafer", True),
    ],
)
def test_what_is_another_spelling(label: str, folder: str, alike: bool) -> None:
    assert spelled_alike((label,), folder) is alike


def test_the_same_labels_are_no_news(pets: Pets) -> None:
    reading = pets({"l.csv": table("label", *["cat"] * 3, *["dog"] * 3)})
    assert (list(reading.doubts), list(reading.warnings)) == ([], [])


def test_labels_beside_those_of_the_folders_are_more_of_the_same(pets: Pets) -> None:
    texts = ["cat|asleep", "cat", "cat", "dog|asleep", "dog", "dog"]
    reading = pets({"l.csv": table("labels", *texts)}, task="multi_label")
    assert not reading.doubts
    assert classes(reading)["cat|asleep"] == 1


def test_a_list_of_images_outside_the_folders_drops_no_labels(pets: Pets) -> None:
    flat = tuple(f"more/{i}.jpg" for i in range(3))
    text = table("label", *"xyx", files=flat)
    reading = pets({"l.csv": text}, images=(*PETS, *flat[:2], "unlabelled/2.jpg"))
    assert reading.doubts


def test_several_lists_that_disagree_with_the_folders_are_one_question(pets: Pets) -> None:
    lists = {
        f"{name}.csv": table("label", *"xyx", files=files)
        for name, files in (("one", PETS[:3]), ("two", PETS[3:]))
    }
    reading = pets(lists)
    assert options_of(reading) == ["--yes", "--labels-from parent"]
    assert classes(reading) == {"x": 4, "y": 2}


@pytest.mark.parametrize("column", ["split", "fold"])
def test_a_list_of_splits_leaves_the_folders_their_labels(pets: Pets, column: str) -> None:
    answer = ["train", "train", "test"] * 2
    reading = pets({"l.csv": table(column, *answer)})
    assert (list(reading.doubts), classes(reading)) == ([], {"cat": 3, "dog": 3})
    assert reading.splits.get("dog/2.jpg") == "test"
    assert "l.csv: no labels; the folders give them" in reading.warnings
    assert not any("same labels" in warning for warning in reading.warnings)


def test_a_question_about_columns_offers_the_folders(pets: Pets) -> None:
    reading = pets({"l.csv": table("width,height", *["640,480", "480,640"] * 3)})
    assert options_of(reading)[-1] == "--labels-from parent"
    scores = pets({"l.csv": table("value", *["0.5", "0.25"] * 3)})
    assert "--labels-from parent" in options_of(scores)


def test_texts_of_splits_beside_folders_give_the_splits(pets: Pets) -> None:
    texts = {
        "train.txt": "cat/0.jpg\ncat/1.jpg\ndog/0\n",
        "val.txt": "dog/1.jpg\n",
        "files.txt": "cat/2.jpg\n",
    }
    reading = pets(texts)
    assert (list(reading.doubts), classes(reading)) == ([], {"cat": 3, "dog": 3})
    assert dict(Counter(reading.splits.values())) == {"train": 3, "val": 1}
    assert list(reading.warnings) == ["train.txt, val.txt: no labels; the splits are read"]


@pytest.mark.parametrize("form", ["list", "text", "csv"])
@pytest.mark.parametrize("many", [1, 3])
def test_lists_of_splits_are_judged_together(pets: Pets, form: str, many: int) -> None:
    """Of 20 classes, each split has few images, and the test set one of each."""
    files, images = {}, []
    for split, count in (("train", many), ("val", 1), ("test", 1)):
        texts = [(f"{at}_{n}.jpg", f"k.{at}") for at in range(20) for n in range(count)]
        images += [f"{split}/{name}" for name, _ in texts]
        if form == "csv":
            rows = ["file_name,label", *(f"{name},{label}" for name, label in texts)]
            files[f"{split}/metadata.csv"] = "\n".join(rows) + "\n"
        else:
            rows = [
                {"file_name": name, "labels": [label] if form == "list" else label}
                for name, label in texts
            ]
            files[f"{split}/metadata.jsonl"] = "".join(json.dumps(row) + "\n" for row in rows)
    reading = pets(files, images=tuple(images))
    assert not reading.doubts
    assert classes(reading) == dict.fromkeys((f"k.{at}" for at in range(20)), 2 + many)


def test_a_list_alone_of_a_label_for_each_image_is_asked_about_in_its_own_words(pets: Pets) -> None:
    rows = "".join(
        json.dumps({"file": f"{at}.jpg", "labels": [f"k{at}"]}) + "\n" for at in range(20)
    )
    (doubt,) = pets({"l.jsonl": rows}, images=tuple(f"{at}.jpg" for at in range(20))).doubts
    assert "(k0, k1, k2, k3)" in doubt.question

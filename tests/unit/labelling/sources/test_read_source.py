"""A source is understood as a whole; a list that is not understood is never replaced by a guess."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from labelling.sources.read import read_source
from labelling.sources.reading import Reading, ReadingOptions
from labelling.sources.source_names import ByFolder, SourceNames

pytestmark = pytest.mark.unit

Files = Mapping[str, str]
Read = Callable[..., Reading]
YOLO_BOX = "0 0.5 0.5 0.2 0.2\n"
VOC = "<annotation><filename>a.jpg</filename><object><name>cat</name></object></annotation>"


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads a folder of these files."""

    def run(files: Files, **options: object) -> Reading:
        for name, text in files.items():
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return read_source(tmp_path / "set", ReadingOptions(**options))

    return run


def images(*folders: str, count: int = 3) -> dict[str, str]:
    return {f"{folder}/{i}.jpg".lstrip("/"): "" for folder in folders for i in range(count)}


def classes(reading: Reading) -> dict[str, int]:
    counts = Counter("|".join(labels) for labels in dict(reading.labels).values())
    assert all(name in set(reading.names.values()) for name in reading.labels)
    return dict(counts)


def ignored(reading: Reading) -> dict[str, int]:
    return {name: group.count for group in reading.ignored for name in group.examples}


# --- lists and folders ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({**images("JPEGImages"), **{f"Annotations/{i}.xml": VOC for i in range(3)}}, "Pascal VOC"),
        (
            {**images("images/train"), **{f"labels/train/{i}.txt": YOLO_BOX for i in range(3)}},
            "YOLO",
        ),
        ({**images("cat", "dog"), "boxes.csv": "file,xmin,ymin,xmax,ymax\ncat/0.jpg,1,1,2,2\n"}, "boxes"),
        ({**images(""), "labels.xlsx": "PK"}, "save it as CSV"),
        ({**images("cat", "dog"), "labels.json": '{"images": {"cat/0.jpg": [1, [2]]}}'}, "labels.json"),
    ],
    ids=["voc", "yolo", "boxes", "spreadsheet", "unknown JSON"],
)  # fmt: skip
def test_what_is_no_list_of_labels_is_named_and_nothing_labelled(
    read: Read, files: Files, named: str
) -> None:
    reading = read(files)
    assert classes(reading) == {}
    (doubt,) = reading.doubts
    assert named in doubt.question
    options = [option for option, _ in doubt.answers]
    assert options[-1] == "--labels-from none"
    # Only folders of classes are an answer.
    assert ("--labels-from parent" in options) == any(name.startswith("cat") for name in files)
    assert read({}, labels_from="none").doubts == ()


def test_a_detection_data_set_of_thousands_is_named_by_its_first_files(read: Read) -> None:
    reading = read({**images("images"), **{f"labels/{i}.txt": YOLO_BOX for i in range(30)}})
    assert "YOLO" in reading.doubts[0].question
    assert sum(group.count for group in reading.ignored) == 10


def test_texts_that_are_no_lists_block_nothing(read: Read) -> None:
    reading = read(
        {
            **images("cat", "dog"),
            "README.txt": "Pictures of pets.\nThe best one is cat/0.jpg\nEnjoy.\n",
            "requirements.txt": "torch==2.1\n",
            "LICENSE": "MIT",
            "classes.txt": "cat\ndog\n",
            "package.json": '{"name": "pets", "version": 1}',
            "measurements.csv": "when,temperature\n2024-05-01,20.5\n",
            "notes.md": "0.jpg",
        }
    )
    assert (reading.doubts, classes(reading)) == ((), {"cat": 3, "dog": 3})
    assert sum(group.count for group in reading.ignored) == 7


def test_one_list_for_each_split(read: Read) -> None:
    rows = "filename, cat, dog\n0.jpg, 1, 0\n1.jpg, 0, 1\n2.jpg, 0, 1\n"
    reading = read(
        {**images("train", "valid"), "train/_classes.csv": rows, "valid/_classes.csv": rows}
    )
    assert (reading.doubts, classes(reading)) == ((), {"cat": 2, "dog": 4})
    assert Counter(reading.splits.values()) == {"train": 3, "val": 3}


def test_a_list_named_after_a_split_speaks_of_its_folder(read: Read) -> None:
    """Kaggle: numbers without suffix, which images of the test set have, too."""
    rows = "id,label\n0,frog\n1,truck\n2,frog\n"
    forms = "id,label\n" + "".join(f"{i},cat\n" for i in range(3))
    reading = read(
        {**images("train", "test"), "trainLabels.csv": rows, "sampleSubmission.csv": forms}
    )
    assert dict(reading.labels) == {
        "train/0.jpg": ("frog",),
        "train/1.jpg": ("truck",),
        "train/2.jpg": ("frog",),
    }
    assert "sampleSubmission.csv" in ignored(reading)


def test_lists_that_contradict_each_other_are_named(read: Read) -> None:
    one, two = ("file,labels\n" + "".join(f"{i}.jpg,{c}\n" for i, c in enumerate(cs))
                for cs in ("aabbb", "abbbb"))  # fmt: skip
    reading = read({**images("", count=5), "one.csv": one, "two.csv": two})
    assert classes(reading) == {"a": 1, "b": 3}
    assert [rejection.name for rejection in reading.rejections] == [
        "one.csv:3 1.jpg: a",
        "two.csv:3 1.jpg: b",
    ]


def test_a_plain_text_that_says_what_the_folders_say_is_no_question(read: Read) -> None:
    rows = "".join(f"{c}/{i}.jpg {n}\n" for n, c in enumerate(("cat", "dog")) for i in range(3))
    reading = read({**images("cat", "dog"), "train.txt": rows})
    assert (reading.doubts, classes(reading)) == ((), {"cat": 3, "dog": 3})


def test_a_plain_text_that_contradicts_the_folders_is_a_question(read: Read) -> None:
    rows = "cat/0.jpg good\ncat/1.jpg bad\ndog/0.jpg good\ndog/1.jpg bad\n"
    (doubt,) = read({**images("cat", "dog"), "train.txt": rows}).doubts
    assert [option for option, _ in doubt.answers] == [
        "--labels-from train.txt",
        "--labels-from parent",
    ]
    assert classes(read({}, labels_from="train.txt")) == {"good": 2, "bad": 2}


def test_a_plain_text_of_numbers_of_images_is_no_list(read: Read) -> None:
    """images.txt of CUB-200."""
    rows = "".join(
        f"{n * 3 + i} {c}/{i}.jpg\n" for n, c in enumerate(("cat", "dog")) for i in range(3)
    )
    reading = read({**images("cat", "dog"), "images.txt": rows})
    assert (reading.doubts, classes(reading)) == ((), {"cat": 3, "dog": 3})


def test_a_plain_text_is_a_list_where_folders_say_nothing(read: Read) -> None:
    reading = read({**images("photos"), "train.txt": "0.jpg cat\n1.jpg dog\n2.jpg cat\n"})
    assert classes(reading) == {"cat": 2, "dog": 1}


def test_labels_of_single_images_are_asked_about(read: Read) -> None:
    rows = "file_name,what\n" + "".join(f"{i}.jpg,caption of number {i}\n" for i in range(6))
    reading = read({**images("", count=6), "metadata.csv": rows})
    assert "6 different labels" in reading.doubts[0].question


def test_it_is_told_where_folders_label_more_than_the_list(read: Read) -> None:
    reading = read({**images("cat", "dog"), "l.csv": "file,label\ncat/0.jpg,cat\ndog/1.jpg,dog\n"})
    assert classes(reading) == {"cat": 1, "dog": 1}
    assert "label 4 more images" in reading.warnings[-1]


# --- files -----------------------------------------------------------------------------------


def test_masks_beside_their_images_are_no_images(read: Read) -> None:
    files = {
        f"{c}/{c} ({i}){m}.png": "" for c in ("a", "b") for i in range(2) for m in ("", "_mask")
    }
    reading = read({**files, "a/gas_mask.png": ""})
    assert classes(reading) == {"a": 3, "b": 2}
    assert [group.count for group in reading.ignored] == [4]


def test_archives_and_films_within_are_refused_with_the_remedy(read: Read) -> None:
    reading = read({**images("cat", "dog"), "cat/more.zip": "", "film.MOV": ""})
    reasons = {rejection.name: rejection.reason for rejection in reading.rejections}
    assert "unpack it" in reasons["cat/more.zip"]
    assert "single frames" in reasons["film.MOV"]


def test_labels_in_the_names_of_files_are_reported_and_not_read(read: Read) -> None:
    reading = read({f"train/{c}.{i}.jpg": "" for c in ("cat", "dog") for i in range(3)})
    assert (classes(reading), reading.doubts) == ({}, ())
    assert "begin with cat, dog" in reading.warnings[-1]
    assert read({f"train/IMG_{i}.jpg": "" for i in range(3)}, labels_from="none").warnings == ()


# --- names -----------------------------------------------------------------------------------


def test_names_are_found_in_whatever_order_they_came() -> None:
    entries = ["p/b/2.jpg", "p/é.jpg", "p/a/1.jpg", "p/a-x/1.jpg", "p/é/z.jpg", "p/b/2.jpg"]
    names = SourceNames(entries, "p/")
    assert (len(names), set(names)) == (5, set(entries))
    assert dict(names.items()) == {e: e[2:].replace("é", "é") for e in entries}
    assert list(names.values()) == [names[entry] for entry in names]
    assert all(entry in names for entry in entries)
    for other in ("p/b/2.jp", "p/b/2.jpgx", "", "zz", "\udcff", 7):
        assert other not in names
    with pytest.raises(KeyError):
        names["p/b"]


def test_the_label_of_a_folder_is_that_of_each_image() -> None:
    names = SourceNames(["a/1.jpg", "a/2.jpg", "b/1.jpg", "3.jpg"])
    labels = ByFolder(names, {"a": ("x",), "": ("y",)})
    assert dict(labels) == {"3.jpg": ("y",), "a/1.jpg": ("x",), "a/2.jpg": ("x",)}
    assert (len(labels), labels.get("b/1.jpg"), labels.value_set()) == (3, None, {("x",), ("y",)})


def test_texts_beside_images_of_their_names_are_reported(read: Read) -> None:
    found = read({"a/1.jpg": "", "a/1.txt": "cat", "a/2.jpg": "", "a/2.json": '{"species": "cat"}'})
    (beside,) = [group for group in found.ignored if "beside an image" in group.reason]
    assert "write a CSV with the columns file,labels" in beside.reason
    assert beside.count == 2


def test_texts_that_only_name_images_are_no_lists(read: Read) -> None:
    images = {f"images/{number}.jpg": "" for number in range(4)}
    texts = {"cat.txt": "0.jpg\n1.jpg\n", "dog.txt": "2.jpg\n3.jpg\n", "labels/7.txt": "1\n"}
    found = read({**images, **texts})
    assert (found.layout, list(found.doubts)) == ("no classes: images holds only images", [])
    (only,) = [group for group in found.ignored if "hold no labels" in group.reason]
    assert only.count == 3

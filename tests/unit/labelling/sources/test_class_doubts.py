"""What is told and asked about classes that may be one, and about copies of images."""

from pathlib import Path

import pytest

from labelling.labels.known_classes import KnownClasses
from labelling.sources.read import read_source
from labelling.sources.reading import Reading, ReadingOptions

pytestmark = pytest.mark.unit


def read(path: Path, *folders: str, known: frozenset[str] = frozenset(), **options: str) -> Reading:
    for folder in folders:
        for number in range(2):
            (path / "set" / folder).mkdir(parents=True, exist_ok=True)
            (path / "set" / folder / f"{number}.png").write_bytes(b"")
    given = ReadingOptions(**options)
    return read_source(path / "set", given, known=KnownClasses(labels=known))


def classes(reading: Reading) -> set[str]:
    return {label for labels in dict(reading.labels).values() for label in labels}


@pytest.mark.parametrize("folders", [("cat", "cats", "dog"), ("berry", "berries"), ("box", "boxes"),
                                     ("glass", "glasses", "cup")])  # fmt: skip
def test_singular_and_plural_are_classes_and_told(tmp_path: Path, folders: tuple[str, ...]) -> None:
    reading = read(tmp_path, *folders)
    assert not reading.doubts
    assert classes(reading) == {*folders}
    (note,) = reading.warnings
    assert (
        f"'{folders[0]}' and '{folders[1]}'" in note or f"'{folders[1]}' and '{folders[0]}'" in note
    )
    assert f"imgclf labels merge {folders[1]} --into {folders[0]}" in note


def test_a_plural_of_a_class_that_is_there_already_is_reported(tmp_path: Path) -> None:
    assert (
        "merge dogs --into dog"
        in read(tmp_path, "dogs", "cat", known=frozenset({"dog"})).warnings[0]
    )
    there = frozenset({"dog", "dogs"})
    assert not read(tmp_path, known=there).warnings


@pytest.mark.parametrize("folders", [("t-shirt", "t_shirt"), ("Cat", "cat"), ("hot dog", "hotdog")])
def test_spellings_of_one_word_are_a_question(tmp_path: Path, folders: tuple[str, ...]) -> None:
    (doubt,) = read(tmp_path, *folders, "bird").doubts
    assert "look alike" in doubt.question


AUGMENTED = {
    "beside": (("original/cat", "original/dog", "augmented/cat", "augmented/dog"), "augmented/"),
    "a part of train": (("train/cat", "train/dog", "train_aug/cat", "train_aug/dog"), "train_aug/"),
    "within": (("cat/original", "cat/augmented", "dog/original", "dog/augmented"), "cat/augmented/"),
}  # fmt: skip


@pytest.mark.parametrize("given", AUGMENTED.values(), ids=AUGMENTED)
def test_changed_copies_are_told(tmp_path: Path, given: tuple[tuple[str, ...], str]) -> None:
    folders, reported = given
    reading = read(tmp_path, *folders)
    assert classes(reading) == {"cat", "dog"}
    (note,) = [note for note in reading.warnings if "augmented copies" in note]
    assert note.startswith(reported)
    assert "(4 images)" in note
    assert "share a split" in note
    assert "To leave them out" in note
    command = f"imgclf ingest {tmp_path / 'set' / 'original'}"
    assert (command in note) is (reported == "augmented/")


def test_a_class_that_is_called_so_is_no_copy(tmp_path: Path) -> None:
    reading = read(tmp_path, "rotated", "upright")
    assert (list(reading.doubts), list(reading.warnings)) == ([], [])


@pytest.mark.parametrize(
    "copy", ["cat_aug", "cat-augmented", "aug_cat", "cat rotated 2", "cat (2)"]
)
def test_a_class_that_is_called_like_a_copy_of_another_is_a_question(
    tmp_path: Path, copy: str
) -> None:
    (doubt,) = read(tmp_path, "cat", "dog", copy).doubts
    assert f"{copy}/ looks like a copy of cat/" in doubt.question
    assert classes(read(tmp_path, labels_from="parent")) == {"cat", "dog", copy}


def test_a_rare_label_one_letter_from_another_is_reported_and_not_asked_about(
    tmp_path: Path,
) -> None:
    rows = ["a.png,square", "b.png,square", "c.png,square", "d.png,sqaure", "e.png,circel"]
    (tmp_path / "set").mkdir()
    for number, row in enumerate(rows):
        (tmp_path / "set" / row.partition(",")[0]).write_bytes(b"%d" % number)
    lines = "\n".join(["file,label", *rows])
    (tmp_path / "set" / "labels.csv").write_text(lines, encoding="utf-8")
    known = KnownClasses(labels=frozenset({"circle"}))
    reading = read_source(tmp_path / "set", ReadingOptions(), known=known)
    assert not reading.doubts
    (note,) = reading.warnings
    assert "'circel' (1) beside 'circle', 'sqaure' (1) beside 'square'" in note
    assert note.endswith("imgclf labels merge circel --into circle")
    there = KnownClasses(labels=frozenset({"circle", "circel", "sqaure", "square"}))
    assert not read_source(tmp_path / "set", ReadingOptions(), known=there).warnings

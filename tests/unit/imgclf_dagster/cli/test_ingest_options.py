"""Options of ``imgclf ingest`` that are wrong, or decide nothing, are usage errors (exit code 2)."""

import zipfile

import pytest

from imgclf_dagster.cli.ingest import ingest as command
from tests.unit.imgclf_dagster.ingest.ingest_of_tests import Ingest, ingest, picture

__all__ = ["ingest"]

pytestmark = pytest.mark.unit

LIST = "file,label\n001.png,a\n002.png,b\n003.png,a\n004.png,b\n"


def printed_error(ingest: Ingest) -> str:
    return " ".join(ingest.words.replace("│", " ").split())


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ("--columns file,label", "--columns has no effect: no table of labels is read"),
        ("--columns 1,2 --labels-from top", "with --labels-from top no list is read"),
        ("--columns 1,2 --labels-from none", "with --labels-from none no list is read"),
        ("--columns 1,2 --as-class cat", "with --as-class no list is read"),
        ("--labels-from parent --as-class cat", "each of them decides every label"),
        ("--encoding cp1252", "--encoding has no effect: no list of labels is read"),
        ("--encoding klingon", "--encoding klingon: no encoding of this name"),
        ("--labels-from nix.csv", "--labels-from nix.csv: No such file"),
        ("--labels-from .", "--labels-from .: "),
        ("--keep-splits", "gives no splits"),
    ],
)
def test_beside_folders_of_classes(ingest: Ingest, args: str, expected: str) -> None:
    ingest.lay("cat", "dog")
    assert ingest("--yes", *args.split()) == 2
    assert expected in printed_error(ingest)
    assert not ingest.home.exists()


@pytest.mark.parametrize("option", ["parent", "top"])
def test_folders_of_classes_that_are_not_there(ingest: Ingest, option: str) -> None:
    ingest.lay(".")
    assert ingest("--labels-from", option) == 2
    assert f"--labels-from {option} gives no image a label: a flat folder" in printed_error(ingest)


@pytest.mark.parametrize(
    ("name", "text", "args", "expected"),
    [
        ("l.csv", LIST, "--columns file,kind", "l.csv has no column kind; it has file, label"),
        ("l.json", '{"001.png": "a", "002.png": "b", "003.png": "a", "004.png": "b"}',
         "--columns file,label", "--columns has no effect"),
        ("l.txt", "nothing about them", "--encoding cp1252", "--encoding has no effect"),
    ],
)  # fmt: skip
def test_beside_a_list(ingest: Ingest, name: str, text: str, args: str, expected: str) -> None:
    ingest.lay(".", count=4, files={name: text})
    assert ingest("--dry-run", *args.split()) == 2
    assert expected in printed_error(ingest)


def test_what_has_an_effect_is_taken(ingest: Ingest) -> None:
    ingest.lay(".", count=4, files={"l.csv": LIST})
    assert ingest("--dry-run", "--columns", "file,label", "--encoding", "cp1252") == 0
    assert ingest("--dry-run", "--labels-from", "l.csv", "--columns", "1,2") == 0


@pytest.mark.parametrize("args", ["--labels-from parent", "--as-class cat"])
def test_where_the_source_is_a_list_it_gives_the_labels(ingest: Ingest, args: str) -> None:
    ingest.lay(".", count=4, files={"l.csv": LIST})
    assert ingest(*args.split(), source=ingest.source / "l.csv") == 2
    assert f"give the folder: imgclf ingest {ingest.source} {args}" in printed_error(ingest)


def test_images_of_a_list_without_its_labels(ingest: Ingest) -> None:
    ingest.lay(".", count=5, files={"l.csv": LIST})
    assert ingest("--labels-from", "none", source=ingest.source / "l.csv") == 0
    assert "4 images without labels" in ingest.out
    assert ingest.counts() == {}


def test_names_in_an_archive_that_say_their_encoding(ingest: Ingest) -> None:
    ingest.source.mkdir()
    with zipfile.ZipFile(ingest.source / "set.zip", "w") as archive:
        for number, folder in enumerate(("cat", "dog", "cat", "dog")):
            archive.writestr(f"{folder}/{number}.png", picture(number))
    archive_path = ingest.source / "set.zip"
    assert ingest("--dry-run", "--encoding", "gbk", source=archive_path) == 0
    assert "--encoding gbk had no effect: the names in the archive say their own" in ingest.words


def test_an_answer_takes_the_place_of_options_that_it_makes_idle(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_is_terminal", lambda: True)
    rows = "".join(f"{number:03d}.png,word {number}\n" for number in range(1, 7))
    ingest.lay(".", count=6, files={"l.csv": f"file,kind\n{rows}"})
    assert ingest("--columns", "file,kind", "--dry-run", answers="2\n") == 0
    assert "are these classes, or ids and captions" in ingest.words
    assert "6 images without labels" in ingest.words

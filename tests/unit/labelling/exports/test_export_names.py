"""Names in an export: the original ones, safe on every file system, and each of its own."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelling.exports.contents import Contents, ExportImage
from labelling.exports.file_names import MAX_BYTES, UniqueNames, safe_name, suffix_for
from labelling.exports.placing import TORCHVISION, class_folders, in_class_folders

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("cat", "cat"),
        ("Käse & Brot", "Käse & Brot"),
        ("Ka\u0308se", "K\u00e4se"),
        ("日本 語.png", "日本 語.png"),
        ("n/a", "n_a"),
        ("a\\b", "a_b"),
        ('what? "x" <y> a|b *:', "what_ _x_ _y_ a_b __"),
        (".hidden", "_hidden"),
        ("..", "__"),
        ("trailing. ", "trailing__"),
        (" leading", "_leading"),
        ("CON", "_CON"),
        ("nul.png", "_nul.png"),
        ("COM1.tar.gz", "_COM1.tar.gz"),
        ("lpt²", "_lpt²"),
        ("console", "console"),
        ("Thumbs.db", "_Thumbs.db"),
        ("__MACOSX", "___MACOSX"),
        ("lost+found", "_lost+found"),
        ("$RECYCLE.BIN", "_$RECYCLE.BIN"),
        ("@eaDir", "_@eaDir"),
        ("half.part", "_half.part_"),
        ("", "_"),
    ],
)
def test_a_name_stays_what_it_is_unless_some_file_system_refuses_it(given: str, made: str) -> None:
    assert safe_name(given) == made


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300))
def test_every_text_becomes_a_name_that_windows_takes(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()
    name = safe_name(text)
    assert 0 < len(name.encode()) <= MAX_BYTES
    assert not re.search(r'[<>:"/\\|?*\x00-\x1f]', name)
    assert name[0] != "."
    assert name[-1] not in ". "
    assert safe_name(name) == name


def test_names_that_a_disk_takes_for_one_are_distinguished() -> None:
    names = UniqueNames()
    took = [
        names.take("a", name, ["8hex", "long"])
        for name in ("x.png", "X.PNG", "x.png", "ä.png", "A\u0308.png", "ﬁ.png", "fi.png")
    ]
    assert took[:3] == ["x.png", "X-8hex.PNG", "x-long.png"]
    assert took[3:5] == ["ä.png", "A\u0308-8hex.png"]
    assert names.take("b", "x.png", []) == "x.png", "another folder"
    with pytest.raises(ValueError, match="no name is left"):
        names.take("a", "x.png", ["8hex", "long"])


def test_a_long_name_keeps_its_suffix_when_it_is_distinguished() -> None:
    names = UniqueNames()
    long = "ü" * 118 + ".png"
    assert names.take("", long, ["12345678"]) == long
    tagged = names.take("", long, ["12345678"])
    assert tagged.endswith("-12345678.png")
    assert len(tagged.encode()) <= MAX_BYTES


def test_classes_keep_their_names_and_never_share_a_folder() -> None:
    folders = class_folders(["a/b", "a_b", "Cat", "cat", "v1.5", "V1.5", "a:b"])
    assert folders["a_b"] == "a_b", "whoever can keep a name keeps it"
    assert folders["Cat"] == "Cat"
    assert folders["cat"] == "cat-2"
    assert folders["v1.5"] == "v1.5-2", "a class has no suffix"
    assert len({folder.casefold() for folder in folders.values()}) == 7


@pytest.mark.parametrize(
    ("name", "kind", "added"),
    [
        ("photo.JPG", "JPEG", ""),
        ("photo", "JPEG", ".jpg"),
        ("photo.jfif", "JPEG", ".jpg"),
        ("IMG.MPO", "MPO", ".jpg"),
        ("scan.dat", "PNG", ".png"),
        ("wrong.png", "JPEG", ""),
        ("clip.gif", "GIF", ""),
        ("photo", "", ""),
    ],
)
def test_a_reader_that_goes_by_suffixes_sees_every_image_it_can_read(
    name: str, kind: str, added: str
) -> None:
    assert suffix_for(name, kind, TORCHVISION) == added


def test_files_of_one_name_in_one_class_are_distinguished_by_their_hash() -> None:
    images = [
        ExportImage(digit * 64, f"set/{digit}/1.png", ("cat",), "train", 8, 8) for digit in "ab"
    ]
    contents = Contents("v", "single_label", "", ("cat",), tuple(images), "x")
    paths = in_class_folders(contents, {"cat": "cat"}, {"train": "train"}, TORCHVISION)
    assert list(paths.values()) == ["train/cat/1.png", "train/cat/1-bbbbbbbb.png"]

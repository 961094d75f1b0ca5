"""Lists after public bug reports, as folders: what came of them was no label and exit code 0."""

from pathlib import Path

import pytest

from labelling.sources.read import read_source
from labelling.sources.reading import Reading, ReadingOptions

pytestmark = pytest.mark.unit

HERE = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
BELOW = tuple(f"images/{name}" for name in HERE)
PAIR = {"a.jpg": "cat", "b.jpg": "dog"}
UMLAUTS = "file,labels\r\na.jpg,Bär\r\nb.jpg,Käfer\r\n"

CASES = {
    "C1": (HERE, "labels.csv", "file;labels\r\na.jpg;cat\r\nb.jpg;dog\r\n", PAIR),
    "C2": (HERE, "labels.csv", "sep=,\r\nfile,labels\r\na.jpg,cat\r\nb.jpg,dog\r\n", PAIR),
    "C3": (HERE, "labels.csv", UMLAUTS.encode("cp1252"), {"a.jpg": "Bär", "b.jpg": "Käfer"}),
    "C4": (HERE, "labels.csv", "file\tlabels\r\na.jpg\tcat\r\nb.jpg\tdog\r\n".encode("utf-16"), PAIR),
    "C6": (BELOW, "labels.csv", "file,labels\nimages\\a.jpg,cat\n.\\images\\b.jpg,dog\n", {"images/a.jpg": "cat", "images/b.jpg": "dog"}),
    "C7": (HERE, "labels.csv", "file,labels\n/home/me/photos/a.jpg,cat\n/home/me/photos/b.jpg,dog\n", PAIR),
    "C8": (HERE, "labels.csv", "file,labels\nhttps://example.org/a.jpg,cat\ns3://bucket/b.jpg,dog\n", PAIR),
    "C9": (HERE, "train.csv", "filename,label\na.jpg,cat\nb.jpg,dog\n", PAIR),
    "C10": (HERE, "labels.csv", "id_code,diagnosis\na,0\nb,2\n", {"a.jpg": "0", "b.jpg": "2"}),
    "C11": (HERE, "_classes.csv", "filename, cat, dog\na.jpg, 1, 0\nb.jpg, 0, 1\n", PAIR),
    "C13": (HERE, "labels.csv", "file,labels\nA.JPG,cat\nB.JPG,dog\n", PAIR),
    "C14": (BELOW, "labels.csv", "file,labels\na.jpg,cat\nb.jpg,dog\n", {"images/a.jpg": "cat", "images/b.jpg": "dog"}),
    "C17": (HERE, "labels.csv", "a.jpg,cat\nb.jpg,dog\n", PAIR),
    "C19": (HERE, "labels.tsv", "file\tlabels\na.jpg\tcat\nb.jpg\tdog\n", PAIR),
    "F02": (BELOW, "labels.csv", "file;labels\nimages/a.jpg;cat\nimages/b.jpg;dog\n", {"images/a.jpg": "cat", "images/b.jpg": "dog"}),
    "F12": (HERE, "labels.csv", "file,labels\na.jpg,caf\u00e9\nb.jpg,cafe\u0301\n", {"a.jpg": "café", "b.jpg": "café"}),
}  # fmt: skip


def read(root: Path, images: tuple[str, ...], name: str, data: bytes | str, **options) -> Reading:
    for file in (*images, name):
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_bytes(b"x")
    (root / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_source(root, ReadingOptions(**options))


@pytest.mark.parametrize("case", CASES)
def test_a_list_gives_its_labels_and_no_folder_does(tmp_path, case):
    images, name, data, right = CASES[case]
    reading = read(tmp_path, images, name, data)
    assert {file: "|".join(labels) for file, labels in reading.labels.items()} == right
    assert not reading.doubts
    assert not reading.rejections


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_other_separators_of_several_labels_are_refused_with_the_remedy(tmp_path, task):
    data = 'file,labels\na.jpg,"cat,dog"\nb.jpg,"cat;dog"\nc.jpg,cat dog\nd.jpg,dog\n'
    reading = read(tmp_path, HERE, "labels.csv", data, task=task)
    assert reading.labels == {}
    assert "write several labels as a|b" in reading.doubts[0].question


def test_a_list_that_is_no_text_is_not_passed_over(tmp_path):
    reading = read(tmp_path, BELOW, "labels.csv", b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00")
    assert reading.labels == {}
    assert "no text" in reading.doubts[0].question

"""The label that all images of a test set have: asked about, or none where it is hidden plainly."""

from pathlib import Path

import pytest

from labelling.sources.read import read_source
from labelling.sources.reading import Reading, ReadingOptions

pytestmark = pytest.mark.unit

MANY = tuple(f"{at:02}.jpg" for at in range(24))


def source(path: Path, **lists: str) -> Path:
    for name in MANY:
        (path / name).write_bytes(b"not read")
    for name, text in lists.items():
        (path / f"{name}.csv").write_text(text)
    return path


def read(path: Path, **options) -> Reading:
    return read_source(path, ReadingOptions(**options))


def table(names: tuple[str, ...], *labels: str) -> str:
    rows = [f"{name},{labels[at % len(labels)]}\n" for at, name in enumerate(names)]
    return "".join(["file,label\n", *rows])


@pytest.mark.parametrize("word", ["hidden", "<hidden>", "Masked", "placeholder", "versteckt", "oculto", "?", "TBD"])  # fmt: skip
def test_a_word_in_the_place_of_a_label_is_none(tmp_path: Path, word: str) -> None:
    path = source(tmp_path, train=table(MANY[:16], "cat", "dog"), test=table(MANY[16:], word))
    found = read(path)
    assert (list(found.doubts), len(found.labels)) == ([], 16)
    assert any("not labelled" in text for text in found.warnings)
    assert found.splits[MANY[20]] == "test"


@pytest.mark.parametrize("label", ["0", "cat", "none"])
def test_one_label_for_all_of_a_test_set_is_asked_about(tmp_path: Path, label: str) -> None:
    first = ("0", "1", "2") if label == "0" else ("cat", "dog")
    path = source(tmp_path, train=table(MANY[:16], *first), test=table(MANY[16:], label))
    doubt = next(doubt for doubt in read(path).doubts if "All 8 test images" in doubt.question)
    assert [option for option, _ in doubt.answers] == [
        "--yes",
        "--labels-from train.csv",
        "--labels-from none",
    ]
    assert len(read(path, labels_from="train.csv").labels) == 16


@pytest.mark.parametrize(
    ("word", "labelled"), [("hidden", 16), ("dog", 24), ("0", None), ("secret class", None)]
)
def test_the_same_in_one_table_with_a_column_of_splits(
    tmp_path: Path, word: str, labelled: int | None
) -> None:
    """Beside the others, the name of one of their classes is a label; a number may be anything."""
    first = ("0", "2") if word == "0" else ("cat", "dog")
    rows = [
        f"{name},{first[at % 2]},train\n" if at < 16 else f"{name},{word},test\n"
        for at, name in enumerate(MANY)
    ]
    found = read(source(tmp_path, l="".join(["file,label,split\n", *rows])))
    if labelled:
        assert (list(found.doubts), len(found.labels)) == ([], labelled)
    else:
        assert f"All 8 test images of l.csv have {word!r}" in found.doubts[0].question


def test_no_label_for_all_of_a_test_set_is_asked_about_in_multi_label(tmp_path: Path) -> None:
    def one_hot(names: tuple[str, ...], *cells: str) -> str:
        return table(names, *cells).replace("file,label", "file,cat,dog")

    train, test = one_hot(MANY[:16], "0,1", "1,1"), one_hot(MANY[16:], "0,0")
    found = read(source(tmp_path, train=train, test=test), task="multi_label")
    assert "All 8 test images of test.csv have none of the labels" in found.doubts[0].question


@pytest.mark.parametrize("names", [("train", "test"), ("cats", "dogs"), ("train", "val")])
def test_other_lists_are_read(tmp_path: Path, names: tuple[str, str]) -> None:
    labels = {"test": ("cat", "dog"), "dogs": ("dog",), "val": ("dog",)}[names[1]]
    first = ("cat",) if names[0] == "cats" else ("cat", "dog")
    lists = {names[0]: table(MANY[:16], *first), names[1]: table(MANY[16:], *labels)}
    found = read(source(tmp_path, **lists))
    assert (list(found.doubts), len(found.labels)) == ([], 24)


# --- how sure somebody is --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        ("cat 90%", "dog 87%", "cat 88 %"),
        ("cat (0.87)", "dog (0.9)", "cat (1.0)"),
        ("cat: 90", "dog: 87", "cat: 85"),
        ("cat_0.93", "dog_0.71", "cat_0.5"),
        ("cat", "dog", "dog (0.55)"),
        ("Katze (85 %)", "Hund (90 %)", "Hund"),
        ("cat=0,93", "dog=0,71"),
        ("cat;90%", "dog;80%", "dog;85%"),
    ],
)
def test_labels_with_how_sure_they_are_are_asked_about(tmp_path: Path, labels: tuple) -> None:
    text = table(MANY, *labels).replace(",", "\t", 1)
    text = "file\tlabel\n" + "".join(
        f"{n}\t{labels[i % len(labels)]}\n" for i, n in enumerate(MANY)
    )
    found = read(source(tmp_path, l=text))
    assert any("with a confidence" in doubt.question for doubt in found.doubts)


@pytest.mark.parametrize(
    "labels",
    [
        ("milk 1.5%", "milk 3.5%", "water"),
        ("Boeing 737", "Airbus 320", "Airbus 380"),
        ("class 10", "class 11", "class 12"),
        ("Mk 10", "Mk 20", "Su 27"),
        ("beer 5%", "wine 12%", "water"),
        ("grade: 1", "grade: 2"),
        ("A4", "B5", "v1.0"),
    ],
)
def test_labels_that_end_in_numbers_are_labels(tmp_path: Path, labels: tuple) -> None:
    assert list(read(source(tmp_path, l=table(MANY, *labels))).doubts) == []

"""Lists as published data sets bring them: comments on top, columns of numbers, sums, lists of splits."""

from collections import Counter
from pathlib import Path

import pytest

from labelling.sources.read import read_source
from labelling.sources.reading import Reading, ReadingOptions

pytestmark = pytest.mark.unit

BREEDS = {"Abyssinian": (1, 1, 1), "beagle": (2, 2, 1), "Birman": (3, 1, 2)}
NAMES = [f"{breed}_{at}" for breed in BREEDS for at in range(1, 5)]
FILES = [f"{name}.jpg" for name in NAMES]
PETS = [f"{name} {' '.join(map(str, BREEDS[_breed]))}\n" for name in NAMES for _breed in [name.split("_")[0]]]  # fmt: skip
ABOVE = [
    "#Image CLASS-ID SPECIES BREED ID\n",
    "#ID: 1:37 Class ids\n",
    "#SPECIES: 1:Cat 2:Dog\n",
    "#BREED ID: 1-25:Cat 1:12:Dog\n",
    "#All images with 1st letter as captial are cat images\n",
    "#images with small first letter are dog images\n",
]
"""What stands above annotations/list.txt of the Oxford-IIIT Pet data set."""


def read(tmp_path: Path, lists: dict[str, str], **options: object) -> Reading:
    (tmp_path / "images").mkdir(exist_ok=True)
    for image in FILES:
        (tmp_path / "images" / image).write_bytes(b"x")
    for name, text in lists.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return read_source(tmp_path, ReadingOptions(**options))


def by_breed(separator: str = ",", suffix: str = ".jpg") -> str:
    return "".join(f"{name}{suffix}{separator}{name.split('_')[0]}\n" for name in NAMES)


def counted(found: Reading) -> dict[str, int]:
    return dict(Counter("|".join(text) for text in found.labels.values()))


@pytest.mark.parametrize("above", [0, 1, 2, 3, 6])
@pytest.mark.parametrize("name", ["annotations/list.txt", "list.csv"])
def test_columns_of_numbers_are_asked_about_and_each_option_reads_its_column(
    tmp_path: Path, above: int, name: str
) -> None:
    text = "".join([*ABOVE[:above], *PETS])
    (doubt,) = read(tmp_path, {name: text}).doubts
    options = [option for option, _ in doubt.answers if option.startswith("--columns")]
    assert options == ["--columns 1,2", "--columns 1,3", "--columns 1,4"]
    for at, counts in enumerate([{"1": 4, "2": 4, "3": 4}, {"1": 8, "2": 4}, {"1": 8, "2": 4}], 2):
        assert counted(read(tmp_path, {}, columns=("1", str(at)))) == counts
        named = read(tmp_path, {}, columns=("1", str(at)), labels_from=str(tmp_path / name))
        assert counted(named) == counts


def test_lists_of_one_form_are_asked_about_once(tmp_path: Path) -> None:
    lists = {"list.txt": PETS, "trainval.txt": PETS[:3] + PETS[4:11], "test.txt": PETS[3::4]}
    texts = {name: "".join(lines) for name, lines in lists.items()}
    (doubt,) = read(tmp_path, texts).doubts
    assert doubt.question == "Which column of list.txt, test.txt, trainval.txt holds the labels?"
    assert dict(doubt.answers)["--columns 1,2"] == "3 classes: 1 (4), 2 (4), 3 (4)"
    assert counted(read(tmp_path, {}, columns=("1", "2"))) == {"1": 4, "2": 4, "3": 4}


def test_a_plain_text_that_is_asked_about_can_be_left_out(tmp_path: Path) -> None:
    (doubt,) = read(tmp_path, {"list.txt": "".join(PETS)}).doubts
    assert doubt.answers[-1][0] == "--labels-from none"
    named = read(tmp_path, {}, labels_from=str(tmp_path / "list.txt"))
    assert "--columns 1,2" in dict(named.doubts[0].answers)
    beside = read(tmp_path, {"labels.csv": "file,label\n" + by_breed()})
    assert (list(beside.doubts), counted(beside)["Birman"]) == ([], 4)


def test_a_list_that_is_not_understood_offers_those_that_only_leave_a_question(
    tmp_path: Path,
) -> None:
    xml = "<annotation><filename>{}.jpg</filename><object><name>cat</name><bndbox/></object></annotation>"
    boxes = {f"xmls/{name}.xml": xml.format(name) for name in NAMES}
    (doubt,) = read(tmp_path, {"list.txt": "".join(PETS), **boxes}).doubts
    assert "--labels-from list.txt" in dict(doubt.answers)


def test_columns_by_number_are_no_header_where_a_line_holds_both_numbers(tmp_path: Path) -> None:
    found = read(tmp_path, {"list.csv": "".join(PETS[8:] + PETS[:8])}, columns=("1", "2"))
    assert len(found.labels) == 12


@pytest.mark.parametrize("sign", ["#", "# ", "%", "//", "// ", ";", "; ", "--", "##"])
@pytest.mark.parametrize("separator", [",", " ", "\t"])
def test_comments_above_a_table_are_no_rows_of_it(
    tmp_path: Path, sign: str, separator: str
) -> None:
    above = f"{sign}image list, of pets\n\n{sign}ID: classes; it's 5\" big\n{sign}v 2\n"
    found = read(tmp_path, {"l.csv": above + by_breed(separator)})
    assert (list(found.doubts), list(found.rejections)) == ([], [])
    assert counted(found) == dict.fromkeys(BREEDS, 4)
    assert "images in column 1, labels in column 2" in found.layout


@pytest.mark.parametrize("sign", ["#", "# ", "%", "//", ";", "--"])
@pytest.mark.parametrize("separator", [",", " ", "\t"])
def test_a_comment_with_the_titles_of_the_columns_is_the_header(
    tmp_path: Path, sign: str, separator: str
) -> None:
    above = f"{sign}made by a tool\n{sign}class{separator}image\n{sign}have fun\n"
    rows = "".join(f"{name.split('_')[0]}{separator}{name}.jpg\n" for name in NAMES)
    found = read(tmp_path, {"l.csv": above + rows})
    assert counted(found) == dict.fromkeys(BREEDS, 4)
    assert "images in column image, labels in column class" in found.layout
    (tmp_path / "l.csv").unlink()
    found = read(tmp_path, {"m.csv": f"{sign}image{separator}tag\nfile{separator}label\n{by_breed(separator)}"})  # fmt: skip
    assert "images in column file, labels in column label" in found.layout


@pytest.mark.parametrize(
    "header", [";file;label", ";label", "#;file;label"], ids=["index", "index alone", "number"]
)
def test_titles_that_begin_like_a_comment_are_the_header(tmp_path: Path, header: str) -> None:
    before = "" if header == ";label" else "{at};"
    rows = [before.format(at=at) + line for at, line in enumerate(by_breed(";").splitlines())]
    found = read(tmp_path, {"l.csv": "\n".join([header, *rows]) + "\n"})
    assert (list(found.doubts), list(found.rejections)) == ([], [])
    assert counted(found) == dict.fromkeys(BREEDS, 4)


@pytest.mark.parametrize("form", ["{}.000000", "{}"])
@pytest.mark.parametrize("name", ["train.lst", "l.csv"])
def test_an_index_without_title_is_no_label(tmp_path: Path, form: str, name: str) -> None:
    rows = [
        f"{at * 7 % 12}\t{form.format(at // 4)}\timages/{file}\n" for at, file in enumerate(FILES)
    ]
    found = read(tmp_path, {name: "".join(rows)})
    assert (list(found.doubts), counted(found)) == ([], {"0": 4, "1": 4, "2": 4})


def test_classes_without_titles_are_told_to_be_called_by_number(tmp_path: Path) -> None:
    rows = [f"{at}\t{at % 2}\t{1 - at % 2}\timages/{file}\n" for at, file in enumerate(FILES)]
    (doubt,) = read(tmp_path, {"l.csv": "".join(rows)}, task="multi_label").doubts
    assert "--columns 4,2-3" in dict(doubt.answers)
    found = read(tmp_path, {}, task="multi_label", columns=("4", "2-3"))
    assert counted(found) == {"2": 6, "3": 6}
    assert any("called by the numbers of their columns" in text for text in found.warnings)


def one_hot(title: str = "", last: str = "") -> str:
    rows = [f"file,cat,dog,owl{title and ',' + title}\n"]
    for at, file in enumerate(FILES):
        cells = ",".join("1" if at % 3 == to else "0" for to in range(3))
        rows.append(f"{file},{cells}{',1' if title else ''}\n")
    return "".join(rows) + last


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
@pytest.mark.parametrize("first", ["Total", "Summe", "", "12 images", "mean"])
def test_a_row_of_sums_below_columns_of_classes_is_no_image(
    tmp_path: Path, task: str, first: str
) -> None:
    found = read(tmp_path, {"l.csv": one_hot(last=f"{first},4,4,4\n")}, task=task)
    assert (list(found.doubts), counted(found)) == ([], {"cat": 4, "dog": 4, "owl": 4})
    (rejection,) = found.rejections
    assert rejection.name.startswith("l.csv:14")


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
@pytest.mark.parametrize("title", ["n", "Total", "sum", "Anzahl"])
def test_a_column_that_counts_the_classes_is_none(tmp_path: Path, task: str, title: str) -> None:
    found = read(tmp_path, {"l.csv": one_hot(title)}, task=task)
    assert (list(found.doubts), counted(found)) == ([], {"cat": 4, "dog": 4, "owl": 4})
    assert any(f"not used: {title}" in text for text in found.warnings)
    several = one_hot(title).replace("0,0,1,1", "1,0,1,2").replace("1,0,0,1", "0,0,0,0")
    found = read(tmp_path, {"l.csv": several}, task="multi_label")
    assert counted(found) == {"": 4, "dog": 4, "cat|owl": 4}
    other = one_hot(title).replace("0,0,1,1", "0,0,1,0")
    found = read(tmp_path, {"l.csv": other}, task="multi_label")
    assert f"Is {title} of l.csv (yes and no) a class like the others?" in found.doubts[0].question


def test_units_below_the_header_do_not_tell_what_columns_hold(tmp_path: Path) -> None:
    rows = one_hot().splitlines(keepends=True)
    found = read(tmp_path, {"l.csv": "".join([rows[0], "(name),(0/1),(0/1),(0/1)\n", *rows[1:]])})
    assert counted(found) == {"cat": 4, "dog": 4, "owl": 4}


@pytest.mark.parametrize(
    ("lists", "splits"),
    [
        ({"train_val_list": (0, 8), "test_list": (8, 12)}, {"train": 8, "test": 4}),
        ({"trainval": (0, 8), "test": (8, 12)}, {"train": 8, "test": 4}),
        ({"image_ids_train": (0, 8), "image_ids_val": (8, 12)}, {"train": 8, "val": 4}),
        (
            {"trainval": (0, 8), "train": (0, 5), "val": (5, 8), "test": (8, 12)},
            {"train": 5, "val": 3, "test": 4},
        ),
    ],
)
def test_lists_of_names_give_the_split_that_they_are_called(
    tmp_path: Path, lists: dict[str, tuple[int, int]], splits: dict[str, int]
) -> None:
    texts = {
        f"{name}.txt": "".join(f"{file}\n" for file in FILES[first:end])
        for name, (first, end) in lists.items()
    }
    found = read(tmp_path, {"labels.csv": "file,label\n" + by_breed(), **texts})
    assert (dict(Counter(found.splits.values())), list(found.rejections)) == (splits, [])
    assert counted(found) == dict.fromkeys(BREEDS, 4)


@pytest.mark.parametrize("name", ["list_eval_partition.txt", "train_test_split.txt", "folds.csv"])
def test_numbers_of_splits_are_asked_about(tmp_path: Path, name: str) -> None:
    text = "".join(f"{file} {at % 3}\n" for at, file in enumerate(FILES))
    (doubt,) = read(tmp_path, {name: text}).doubts
    assert "has a name of splits" in doubt.question
    assert "--labels-from none" in dict(doubt.answers)

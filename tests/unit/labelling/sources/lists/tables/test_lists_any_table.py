"""Whatever writes a table, it reads back as it was, or is refused or questioned: never misread."""

import csv
import io
import random

import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelling.labels.form import normal_label
from labelling.sources.lists.list_format import ListRefusedError
from labelling.sources.reading import ReadingOptions
from tests.unit.labelling.sources.lists_of_tests import ListedSource

pytestmark = pytest.mark.unit

ALPHABETS = {
    "utf-8": "abc XYZäöéñßжю猫狗ねこイ-_.,;'\"#&()1",
    "utf-8-sig": "abc äöé猫-_.,;'\"",
    "utf-16": "abc äé猫-,;",
    "utf-16-le": "abc äé-,;",
    "utf-16-be": "abc äé猫-,;",
    "cp1252": "abcdefghi äöüéèñçßøå-,;'",
    "cp1250": "abcdefghi ąęłżčšřőű-,;",
    "cp1251": "абвгдежз ию-,;",
    "gbk": "abc 猫狗汽车苹果良品次正常异",
    "shift_jis": "abc 猫犬ねこイヌ自動車良品",
    "big5": "abc 貓狗汽車蘋果正常異",
    "euc_kr": "abc 고양이개자동차정상불량",
    "ascii": "abcXYZ 019-_.,;'\"",
}


@st.composite
def tables(draw):
    """What a table says, its bytes as some program writes them, and the encoding if it is asked."""
    encoding = draw(st.sampled_from(sorted(ALPHABETS)))
    text = st.text(ALPHABETS[encoding], max_size=7)
    classes = draw(st.lists(text.map(lambda rest: f"k{rest}"), min_size=1, max_size=4, unique=True))
    stems = draw(st.lists(text, min_size=1, max_size=12, unique_by=lambda each: each.casefold()))
    files = [f"{at}{stem}.jpg".replace(";", "") for at, stem in enumerate(stems)]
    texts = [(file, draw(st.sampled_from(classes))) for file in files]
    header = draw(
        st.sampled_from([None, ("file", "label"), ("Image Name", "Class"), ("Foto", "Was")])
    )
    note = draw(st.sampled_from([None, "", "x", 'a note, with; signs\tand "quotes"']))
    swap = draw(st.booleans())

    def row(pair):
        cells = [*reversed(pair)] if swap else [*pair]
        return cells if note is None or header is None else [*cells, note]

    rows = [*([row(header)] if header else []), *map(row, texts)]
    if header and note is not None:
        rows[0][-1] = "note"
    out = io.StringIO()
    dialect = draw(
        st.fixed_dictionaries(
            {
                "delimiter": st.sampled_from(",;\t|"),
                "quotechar": st.sampled_from("\"'"),
                "quoting": st.sampled_from(
                    [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]
                ),
                "lineterminator": st.sampled_from(["\r\n", "\n", "\r"]),
            }
        )
    )
    if draw(st.booleans()):
        dialect |= {"doublequote": False, "escapechar": "\\"}
    csv.writer(out, **dialect).writerows(rows)
    reported = None if encoding.startswith(("utf", "ascii")) else encoding
    return texts, out.getvalue().encode(encoding), reported


def read_back(table, data: bytes, encoding: str | None) -> None:
    """Fail if the list gives any image another label than was written."""
    source = ListedSource(
        {"labels.csv": data}, tuple(file for file, _ in table), ReadingOptions(encoding=encoding)
    )
    try:
        labels = source.match().labels
    except ListRefusedError:
        return
    for file, label in table:
        read = labels.get(file)
        # Several labels are refused in single_label: nothing is labelled wrongly.
        assert read is None or len(read) > 1 or read == (normal_label(label),)


@settings(max_examples=100)
@given(tables())
def test_a_table_of_any_dialect_is_never_misread(table):
    read_back(*table)


@settings(max_examples=100)
@given(st.integers(0, 1 << 30))
def test_what_pandas_writes_is_read_as_it_was(seed):
    dice = random.Random(seed)
    files = [f"images/{at:03}.png" for at in range(dice.randint(2, 30))]
    classes = dice.sample(
        ["cat", "big dog", "Bär", "wood, dark", "猫", 'a "b"'], dice.randint(1, 3)
    )
    texts = [(file, dice.choice(classes)) for file in files]
    frame = pandas.DataFrame(texts, columns=["filename", "category"])
    text = frame.to_csv(
        sep=dice.choice(",;\t|"),
        index=dice.random() < 0.5,
        quoting=dice.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        lineterminator=dice.choice(["\n", "\r\n"]),
    )
    source = ListedSource(
        {"l.csv": text.encode(dice.choice(["utf-8", "utf-16", "utf-8-sig"]))}, tuple(files)
    )
    assert source.match().labels == {file: (label,) for file, label in texts}


POOL = [
    "cat",
    "dog",
    "bird",
    "big cat",
    "salt, fine",
    "red-fox",
    "no_1",
    "Bär",
    "猫",
    "a/b",
    "C#",
    "50%",
    "'q'",
]


def in_cells(table, sign):
    return [("file", "labels"), *((file, sign.join(labels)) for file, labels in table.items())]


def in_columns(table, classes):
    return [
        ("file", *classes),
        *((file, *(int(each in labels) for each in classes)) for file, labels in table.items()),
    ]


@settings(max_examples=100)
@given(st.integers(0, 1 << 30))
def test_several_labels_in_any_form_are_never_misread(seed):
    dice = random.Random(seed)
    sign = dice.choice("|;,")
    classes = [each for each in dice.sample(POOL, dice.randint(1, 6)) if sign not in each] or [
        "cat"
    ]
    files = [f"{at}.jpg" for at in range(dice.randint(1, 20))]
    fewest = dice.randint(0, 1)
    texts = {
        file: dice.sample(classes, dice.randint(fewest, min(3, len(classes)))) for file in files
    }
    rows = dice.choice(
        [
            in_cells(texts, sign),
            in_columns(texts, classes),
            [("file", "labels"), *((file, repr(labels)) for file, labels in texts.items())],
            [
                ("file", "label"),
                *((file, each) for file, labels in texts.items() for each in labels),
            ],
        ]
    )
    out = io.StringIO()
    csv.writer(out, delimiter=dice.choice(",;\t"), quoting=dice.choice([0, 1])).writerows(rows)
    source = ListedSource(
        {"l.csv": out.getvalue()}, tuple(files), ReadingOptions(task="multi_label")
    )
    try:
        labels = source.match().labels
    except ListRefusedError:
        return
    for file, read in labels.items():
        assert set(read) == set(texts[file])

"""Columns that say which lines of a table count, in many languages: a question, never passed over."""

import pytest

from labelling.sources.doubt import Doubt
from labelling.sources.lists.columns.split_columns import flag_of
from labelling.sources.lists.review.words import is_never_a_class, may_say_what_counts
from labelling.sources.names.splits import SPLITS
from labelling.sources.reading import ReadingOptions
from tests.unit.labelling.sources.lists_of_tests import ListedSource, labels

pytestmark = pytest.mark.unit

MANY = tuple(f"{at:02}.jpg" for at in range(24))


def table(header: str, *columns) -> str:
    rows = [
        ";".join([image, *(str(column[at % len(column)]) for column in columns)])
        for at, image in enumerate(MANY)
    ]
    return "\n".join([header, *rows]) + "\n"


def doubt(data: str, **options) -> Doubt:
    reading = ListedSource({"l.csv": data}, MANY, ReadingOptions(**options)).read("l.csv")
    assert reading.statements == ()
    (found,) = reading.doubts
    assert "may say which lines count" in found.question
    return found


@pytest.mark.parametrize(
    ("header", "yes", "no"),
    [
        ("Datei;Klasse;gültig", "ja", "nein"),
        ("Datei;Klasse;ausschließen", "x", ""),
        ("Datei;Klasse;Ausschuss (ja/nein)", "ja", "nein"),
        ("Datei;Klasse;ist freigegeben", "J", "N"),
        ("fichier;classe;validé", "oui", "non"),
        ("fichier;classe;à exclure", "x", ""),
        ("fichier;classe;image utilisable", "oui", "non"),
        ("imagen;clase;válido", "sí", "no"),
        ("imagen;clase;excluir", "si", ""),
        ("immagine;classe;escludi", "sì", "no"),
        ("arquivo;classe;válida", "sim", "não"),
        ("bestand;klasse;uitsluiten", "ja", "nee"),
        ("plik;klasa;wykluczyć", "tak", "nie"),
        ("dosya;sınıf;geçerli mi", "evet", "hayır"),
        ("файл;класс;исключить", "да", "нет"),
        ("文件;类别;是否有效", "是", "否"),
        ("ファイル;ラベル;除外", "○", ""),
        ("파일;라벨;제외 여부", "예", "아니오"),
        ("soubor;label;vyloučeno", "ano", "ne"),
        ("fil;klass;uteslut", "ja", "nej"),
        ("file;label;discarded_reason", "too dark", ""),
    ],
)
def test_the_lines_that_count_are_asked_about(header: str, yes: str, no: str) -> None:
    data = table(header, ("cat", "dog"), (yes, no, no, no, no))
    found = doubt(data)
    file, label, _ = header.split(";")
    assert [option for option, _ in found.answers] == [
        f"--columns {file},{label}",
        "--labels-from none",
    ]
    reported = labels(data, *MANY, name="l.csv", columns=(file, label))
    assert reported[MANY[1]] == "dog"


@pytest.mark.parametrize(
    "title",
    ["deleted", "labeled", "is_annotated", "excluded", "gelöscht", "validée", "已审核", "除外"],
)
@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_a_state_among_columns_of_classes_is_asked_about(title: str, task: str) -> None:
    """The class columns are offered by name, and that the state is a class."""
    data = table(f"file;cat;dog;{title}", (1, 0), (0, 1), (1, 0, 0))
    found = doubt(data, task=task)
    assert [option for option, _ in found.answers] == [
        "--columns file,cat-dog",
        f"--columns file,cat-{title}",
        "--labels-from none",
    ]
    reported = labels(data, *MANY, name="l.csv", task=task, columns=("file", "cat-dog"))
    assert reported[MANY[0]] == "cat"


def test_classes_on_both_sides_of_a_state_are_offered() -> None:
    data = table("file;cat;deleted;dog;cow", (1, 0), (1, 0, 0), (0, 1), (0, 0, 1))
    found = doubt(data, task="multi_label")
    assert found.answers[0][0] == "--columns file,cat,dog-cow"
    columns = ("file", "cat", "dog-cow")
    reported = labels(data, *MANY, name="l.csv", task="multi_label", columns=columns)
    assert reported[MANY[5]] == "dog|cow"


@pytest.mark.parametrize("title", ["Ort", "Material", "Größe", "couleur", "edad", "raça", "品种"])
def test_other_columns_of_yes_and_no_are_none_of_these(title: str) -> None:
    assert not may_say_what_counts(title)


@pytest.mark.parametrize(
    "title", ["valid", "Ausschuss", "gut", "brak", "clear", "train", "checked", "状态", "scrap"]
)
def test_a_class_may_be_called_so(title: str) -> None:
    assert not is_never_a_class(title)


@pytest.mark.parametrize(
    "yes_no", [("evet", "hayır"), ("是", "否"), ("nee", "ja"), ("예", "아니오")]
)
def test_columns_of_classes_in_more_languages(yes_no: tuple[str, str]) -> None:
    yes, no = yes_no if yes_no[0] != "nee" else yes_no[::-1]
    data = table("file;cat;dog", (yes, no), (no, yes))
    assert labels(data, *MANY, name="l.csv")[MANY[1]] == "dog"


def test_words_of_splits_are_no_words_of_states() -> None:
    """A title that says a split must not be taken for a state, unless a language has one word."""
    both = {word for word in SPLITS if is_never_a_class(word) and flag_of(word)}
    assert both <= {"validation", "validacion", "validacao", "確認用"}

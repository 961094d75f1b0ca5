"""Splits are known in any language, or asked about; a class is never called like one silently."""

import unicodedata

import pytest

from labelling.sources.folders.layouts import Layout, read_layout
from labelling.sources.folders.names import kind_of, split_of, split_of_list
from labelling.sources.names.splits import EITHER, SPLITS, WEAK
from labelling.sources.names.words import words
from labelling.sources.reading import ReadingOptions

pytestmark = pytest.mark.unit


def layout(*folders: str, **options: str) -> Layout:
    """Two images in each folder."""
    names = [f"{folder}/{i}.jpg" for folder in folders for i in range(2)]
    return read_layout(names, ReadingOptions(**options))


@pytest.mark.parametrize(
    ("train", "other", "split"),
    [
        ("обучение", "тест", "test"), ("Обучающая выборка", "Тестовая выборка", "test"),
        ("addestramento", "verifica", "val"), ("allenamento", "prova", "test"),
        ("uczące", "testowe", "test"), ("ćwiczenie", "test", "test"), ("koulutus", "testi", "test"),
        ("trénovací", "testovací", "test"), ("oefenen", "toetsen", "test"),
        ("訓練用", "検証用", "val"), ("学習データ", "テストデータ", "test"), ("训练数据", "测试数据", "test"),
        ("학습", "검증", "val"), ("학습 데이터", "테스트 데이터", "test"),
        ("huấn luyện", "kiểm tra", "test"), ("Dữ liệu huấn luyện", "dữ_liệu_kiểm_tra", "test"),
        ("تدريب", "اختبار", "test"), ("بيانات التدريب", "بيانات الاختبار", "test"),
        ("Lerndaten", "Prüfdaten", "test"), ("Trainingsdaten", "Validierungsdaten", "val"),
        ("प्रशिक्षण", "परीक्षण", "test"), ("ชุดฝึก", "ชุดทดสอบ", "test"), ("EĞİTİM", "SINAMA", "test"),
        ("eğitim verileri", "doğrulama", "val"), ("données d'entraînement", "essais", "test"),
        ("Datos de entrenamiento", "pruebas", "test"), ("treinamento", "validação", "val"),
        ("навчання", "перевірка", "val"), ("εκπαίδευση", "δοκιμή", "test"), ("tanító", "teszt", "test"),
        ("träning", "validering", "val"), ("træning", "afprøvning", "test"), ("latih", "uji", "test"),
        ("antrenare", "testare", "test"), ("אימון", "בדיקה", "test"), ("آموزش", "آزمون", "test"),
        ("প্রশিক্ষণ", "পরীক্ষা", "test"), ("mafunzo", "jaribio", "test"), ("mokymas", "testavimas", "test"),
        ("apmācība", "pārbaude", "val"), ("обучение", "валидация", "val")
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_splits_of_other_languages(train: str, other: str, split: str, form: str) -> None:
    one, two = (unicodedata.normalize(form, name) for name in (train, other))
    bare = layout(one, two)
    assert (bare.doubts, bare.labels) == ((), {})
    found = layout(f"{one}/cat", f"{one}/dog", f"{two}/cat")
    assert (found.doubts, set(found.labels.values())) == ((), {"cat", "dog"})
    assert found.splits == {f"{one}/cat": "train", f"{one}/dog": "train", f"{two}/cat": split}


def test_every_word_of_the_list_is_found_as_it_is_written() -> None:
    assert len(SPLITS) > 500
    for word, split in SPLITS.items():
        assert kind_of(word) == ("perhaps split" if word in WEAK else "split"), word
        assert split_of(word) == split, word
    assert SPLITS.keys() > EITHER


@pytest.mark.parametrize(
    "name", ["latest", "contest", "detest", "attest", "steam train", "protest", "deval", "invalid",
             "de la", "public", "private", "data", "donnees"]
)  # fmt: skip
def test_joined_words_make_no_split(name: str) -> None:
    assert kind_of(name) not in ("split", "perhaps split")


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("Training", "PublicTest", "PrivateTest"), {"train", "test"}),
        (("private_test", "public_test"), {"test"}),
        (("train", "query", "gallery"), {"train", "test"}),
        (("bounding_box_train", "bounding_box_test", "query"), {"train", "test"}),
        (("learn", "test"), {"train", "test"}),
        (("train", "exam"), {"train", "test"}),
        (("held-out", "train"), {"train", "test"}),
    ],
)
def test_tests_of_contests_and_of_retrieval(folders: tuple[str, ...], splits: set[str]) -> None:
    found = layout(*folders)
    assert (found.doubts, found.labels) == ((), {})
    assert set(found.splits.values()) == splits


@pytest.mark.parametrize("folders", [("learn", "exam"), ("gallery", "query"), ("gallery", "probe")])
def test_words_with_other_meanings_are_asked_about(folders: tuple[str, ...]) -> None:
    (doubt,) = layout(*folders).doubts
    assert [option for option, _ in doubt.answers] == ["--labels-from parent", "--labels-from none"]
    assert set(layout(*folders, labels_from="parent").labels.values()) == {*folders}


def test_words_with_other_meanings_are_classes_among_classes() -> None:
    found = layout("gallery", "museum", "kitchen")
    assert (found.doubts, len(set(found.labels.values()))) == ((), 3)


@pytest.mark.parametrize(
    "folders", [("testrad", "other"), ("validace_x", "y"), ("entrenos", "b", "c"), ("тестик", "учёба")]
)  # fmt: skip
def test_few_folders_of_which_one_sounds_like_a_split_are_asked_about(
    folders: tuple[str, ...],
) -> None:
    (doubt,) = layout(*folders).doubts
    assert "split" in doubt.question
    assert set(layout(*folders, labels_from="parent").labels.values()) == {*folders}


@pytest.mark.parametrize("folders", [("trainers", "boots"), ("testis", "ovary")])
def test_other_words_that_begin_so_are_classes(folders: tuple[str, ...]) -> None:
    found = layout(*folders)
    assert (found.doubts, set(found.labels.values())) == ((), {*folders})


@pytest.mark.parametrize("name", ["eval", "evaluation", "Evaluierung", "dev", "verifica", "評価"])
def test_evaluation_is_the_validation_set(name: str) -> None:
    found = layout("train/cat", "train/dog", f"{name}/cat", f"{name}/dog")
    assert {found.splits[f"{name}/cat"], found.splits[f"{name}/dog"]} == {"val"}


def test_evaluation_beside_a_validation_set_is_the_test_set_and_told() -> None:
    found = layout("train/cat", "train/dog", "dev/cat", "dev/dog", "eval/cat")
    assert (found.splits["dev/cat"], found.splits["eval/cat"]) == ("val", "test")
    assert any(text.startswith("eval/ is read as the test set") for text in found.warnings)


def test_evaluation_beside_validation_and_test_is_neither() -> None:
    found = layout("train/cat", "train/dog", "val/cat", "test/dog", "eval/cat")
    assert "eval/cat" not in found.splits
    assert split_of_list("eval.csv") is None


def test_words_keep_letters_that_unicode_does_not_take_apart() -> None:
    assert words("Læring_sınıfŁø प्रशिक्षण") == ["laering", "sinif", "lo", words("प्रशिक्षण")[0]]

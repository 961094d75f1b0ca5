"""Folders of images that are not sorted yet, bins and old versions, dates and wells, in any language."""

import unicodedata

import pytest

from labelling.sources.folders.layouts import Layout, read_layout
from labelling.sources.folders.names import kind_of
from labelling.sources.names.leftovers import LEFTOVERS
from labelling.sources.names.unsorted import PERHAPS_UNSORTED, UNSORTED
from labelling.sources.reading import ReadingOptions

pytestmark = pytest.mark.unit


def layout(*folders: str, known: tuple[str, ...] = (), source: str = "") -> Layout:
    """Two images in each folder."""
    names = [f"{folder}/{i}.jpg" for folder in folders for i in range(2)]
    return read_layout(names, ReadingOptions(), known=frozenset(known), source=source)


def classes(*folders: str) -> set[str]:
    """What is read without a question."""
    found = layout(*folders)
    assert found.doubts == ()
    return set(found.labels.values())


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(
    "name",
    ["à trier", "Photos à trier", "non étiqueté", "non classées", "zu sortieren", "noch sortieren",
     "unsortiert", "Unsortierte Bilder", "unsortiertes", "nicht gelabelt", "zu labeln", "noch zu klassifizieren",
     "da classificare", "non classificati", "por clasificar", "sin clasificar", "Fotos sin etiquetar",
     "não classificado", "a classificar", "te sorteren", "nog te sorteren", "ongesorteerd", "do posortowania",
     "неразобранное", "не размечено", "без метки", "未标注", "未分类图片", "未整理フォルダ", "ラベルなし", "미분류",
     "라벨 없음", "chưa phân loại", "ยังไม่จัดประเภท", "غير مصنف", "לא ממוין", "अवर्गीकृत", "sınıflandırılmamış",
     "rendezetlen", "osorterade", "usortert", "lajittelemattomat", "belum dilabeli", "unlabeled_images",
     "Unlabelled images", "not labelled yet", "still to sort", "000_unsorted", "_todo", "???", "？？",
     "还未分类", "아직 미분류", "restant à trier", "разобрать потом", "ikke sortert ennå", "no class"],
)  # fmt: skip
def test_what_is_still_to_be_sorted_has_no_labels_and_is_reported(name: str, form: str) -> None:
    name = unicodedata.normalize(form, name)
    found = layout("chat", "chien", name)
    assert (found.doubts, set(found.labels.values())) == ((), {"chat", "chien"})
    assert f"the images of {name}/ are ingested without labels" in found.warnings


@pytest.mark.parametrize(
    "name",
    ["unklar", "Unbekannt", "onbekend", "unknown", "_unknown", "not_sure", "inconnus", "à vérifier", "desconocido",
     "non so", "неизвестно", "на проверку", "未知", "不明", "확인필요", "review", "?", "-", "未确认",
     "Sonstiges unsortiert", "unsorted dogs", "nicht klassifizierbar", "review_later", "pending_review",
     "look again", "später prüfen", "à revoir plus tard", "más tarde", "проверить позже", "稍后处理", "再確認"],
)  # fmt: skip
def test_what_may_be_unsorted_or_a_class_is_asked_about_unless_it_is_known(name: str) -> None:
    (doubt,) = layout("cat", "dog", name).doubts
    assert f"{name}/ may hold images that nobody has labelled yet, or be a class" in doubt.question
    assert layout("cat", "dog", name, known=(name,)).doubts == ()


@pytest.mark.parametrize(
    "folders",
    [("labelled", "unlabelled"), ("mit Etikett", "ohne Etikett"), ("sorted", "unsorted", "mixed"),
     ("avec étiquette", "sans étiquette")],
)  # fmt: skip
def test_an_opposite_beside_it_may_make_it_a_class(folders: tuple[str, ...]) -> None:
    (doubt,) = layout(*folders).doubts
    assert folders[1] in doubt.question
    found = read_layout([f"{f}/1.jpg" for f in folders], ReadingOptions(labels_from="parent"))
    assert set(found.labels.values()) == {*folders}


@pytest.mark.parametrize(
    "names",
    ["alt/Duplikate/Papierkorb", "old/duplicates/trash", "vieux/Doublons/Corbeille", "viejo/duplicados/papelera",
     "vecchie/doppioni/cestino", "Kopie", "copies", "副本", "重复", "ゴミ箱", "휴지통", "корзина/дубликаты/старое",
     "kosz", "kopia zapasowa", "резервная копия", "do not use", "gelöscht", "à supprimer", "prullenbak", "yedek",
     "old_2", "alte_bilder", "rejected_duplicates", "Duplikate 2", "vieilles images"],
)  # fmt: skip
def test_what_was_put_aside_is_asked_about(names: str) -> None:
    beside = names.split("/")
    (doubt,) = layout("M4", "M5", "M6", *beside).doubts
    assert all(f"{name}/" in doubt.question for name in beside)
    assert layout("M4", "M5", "M6", *beside, known=(*beside,)).doubts == ()


@pytest.mark.parametrize(
    "name",
    [
        "cat_old",
        "cat alt",
        "cat - コピー",
        "catのコピー",
        "cat 副本",
        "cat - kopia",
        "Copia di cat",
        "cat_backup",
    ],
)
def test_a_copy_or_an_old_version_of_a_class_is_asked_about(name: str) -> None:
    (doubt,) = layout("cat", "dog", name).doubts
    assert f"{name}/ looks like a copy of cat/" in doubt.question
    assert (
        layout("dog", "bird", name).doubts == ()
    )  # a class: there is nothing that it is a copy of


ORDINARY = [
    "old/young", "alt/neu/gebraucht", "vieux/jeune", "glass/metal/trash", "cat/dog/trash can", "+/-/?",
    "cat/dog/other", "none/scratch/dent", "checked/unchecked", "kat/kopje", "cat/llama/lama", "oud/guitar",
    "Kos/Taube", "Maske/keine Maske", "sonstiges/Dose", "ok/nok/Ausschuss", "misc/tools", "done/not done",
    "A1/A2/B1/B2/C1/C2", "M4/M5/M6", "A1/A2/A3/B1/B2/B3", "X1/X3/X5", "1.5/2.5/3.5", "12.5mm/13.5mm",
    "1998 Porsche 911/1999 Audi TT/2001 BMW X5", "Acura Integra Type R 2001/AM General Hummer SUV 2000",
    "2019-nCoV/influenza/healthy", "0-5/5-10/10-15", "80's/90's",
]  # fmt: skip


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_classes_are_not_asked_about(text: str) -> None:
    assert classes(*text.split("/")) == {*text.split("/")}


@pytest.mark.parametrize(
    "text",
    ["2019 Kroatien|2020 Ostsee|2021-07 Alpen", "2019 Croatia|2020 Baltic|2021 Alps", "Kroatien 2019|Ostsee 2020",
     "2019-05-03 Birthday|2020-12-24 Christmas|20210714_hike", "2019-05 Wedding|Wedding 06.2020",
     "4.7.21 Alpen|12.05. Oma", "Juli 2021 Alpen|Rom Mai 2020", "été '19|hiver '20", "2019_Rom|2020_Wien", "Rom 2019-2020|Wien 2020-21",
     "2019年春节|2020年春节", "[2019] Rom|(2020) Wien", "210704 Alpen|220801 Rom", "2019 Rom|2020 Wien|Oma",
     "48.1374,11.5755|48.2000,11.6000", "48.2N_11.6E|48.3N_11.7E", "R01C01|R01C02", "x0_y0|x0_y1", "XY01|XY02"],
)  # fmt: skip
def test_dates_beside_names_and_positions_are_asked_about(text: str) -> None:
    (doubt,) = layout(*text.split("|")).doubts
    assert "dates, places" in doubt.question


def test_a_dated_album_beside_classes_is_asked_about() -> None:
    (doubt,) = layout("cat", "dog", "20240501_Berlin").doubts
    assert "20240501_Berlin/" in doubt.question


def test_dated_names_above_classes_are_parts() -> None:
    found = classes("2024-05-01_cam1/cat", "2024-05-01_cam1/dog", "2024-05-02_cam2/cat")
    assert found == {"cat", "dog"}


@pytest.mark.parametrize(
    ("folders", "source"),
    [
        ("Plate_0042/A1 Plate_0042/A2 Plate_0042/B1 Plate_0042/B2", ""),
        ("P1_plate/A1 P1_plate/A2 P1_plate/B1 P1_plate/B2 notes/cat", ""),
        ("Plate1/A1 Plate1/A2 Plate1/B1 Plate1/B2 Plate2/A1 Plate2/A2 Plate2/B1 Plate2/B2", ""),
        ("Plate_0042/A1 Plate_0042/B1", ""),
        ("A1 A2 B1 B2", "Platte_7"),
        ("A01 A02 B01 B02", ""),
        (" ".join(f"{row}{column}" for row in "ABCDEFGH" for column in range(1, 13)), "data"),
    ],
)
def test_wells_of_a_plate_are_asked_about(folders: str, source: str) -> None:
    (doubt,) = layout(*folders.split(), source=source).doubts
    assert "wells of a plate" in doubt.question


@pytest.mark.parametrize(
    "name",
    ["Neuer Ordner", "Nouveau dossier (2)", "Nueva carpeta", "新建文件夹", "新しいフォルダー", "새 폴더", "Новая папка"],
)  # fmt: skip
def test_a_new_folder_of_a_desktop_is_no_class(name: str) -> None:
    assert classes(name) == set()
    assert layout("cat", "dog", name).doubts


def test_every_expression_is_found_as_it_is_written() -> None:
    assert min(map(len, (UNSORTED, PERHAPS_UNSORTED, LEFTOVERS))) > 250
    for word in UNSORTED:
        assert kind_of(word) == "unlabelled", word
    for word in PERHAPS_UNSORTED | LEFTOVERS:
        assert kind_of(word) != "name", word

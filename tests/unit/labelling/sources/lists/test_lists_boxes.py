"""Tables of boxes, whatever language their columns are called in: refused, and sizes are no labels."""

import pytest

from labelling.sources.lists.list_format import ListRefusedError
from tests.unit.labelling.sources.lists_of_tests import ListedSource, labels

pytestmark = pytest.mark.unit

SIX = tuple(f"{at}.jpg" for at in range(6))


def table(header: str, *rows: str) -> str:
    lines = [f"{name};{rows[at % len(rows)]}" for at, name in enumerate(SIX)]
    return "\n".join([header, *lines]) + "\n"


@pytest.mark.parametrize(
    "header",
    [
        "Datei;links;oben;breite;hoehe;Klasse",
        "Datei;Links;Oben;Rechts;Unten;Klasse",
        "Datei;Box links;Box oben;Breite [px];Höhe [px];Klasse",
        "fichier;gauche;haut;largeur;hauteur;classe",
        "imagen;izquierda;arriba;ancho;alto;clase",
        "immagine;sinistra;alto;larghezza;altezza;classe",
        "arquivo;esquerda;topo;largura;altura;classe",
        "bestand;links;boven;breedte;hoogte;klasse",
        "plik;lewo;góra;szerokość;wysokość;klasa",
        "resim;sol;üst;genişlik;yükseklik;sınıf",
        "файл;слева;сверху;ширина;высота;класс",
        "文件;左;上;宽;高;类别",
        "ファイル;左;上;右;下;ラベル",
        "image;left;top;width;height;label",
        "image;x;y;w;h;label",
        "image;x_center;y_center;width;height;label",
    ],
)
def test_boxes_are_refused(header: str) -> None:
    data = table(header, "10;20;100;90;cat", "11;21;101;91;dog")
    with pytest.raises(ListRefusedError, match="a table of boxes .*detection or segmentation"):
        labels(data, *SIX, name="l.csv")


@pytest.mark.parametrize(
    "header",
    ["image;x;y;height;label", "image;links;rechts;oben;label", "image;width;height;depth;label"],
)
def test_other_measures_are_no_boxes(header: str) -> None:
    data = table(header, "10;20;100;cat", "11;21;101;dog")
    assert labels(data, *SIX, name="l.csv")["1.jpg"] == "dog"


def test_sides_that_are_labels_are_no_boxes() -> None:
    data = table("image;left;top;width;height", "cat;cow;owl;emu", "dog;hen;fox;elk")
    assert len(ListedSource({"l.csv": data}, SIX).read("l.csv").doubts[0].answers) == 4


@pytest.mark.parametrize("sides", ["Roi.X1;Roi.Y1;Roi.X2;Roi.Y2", "roi_x;roi_y;roi_w;roi_h"])
def test_sizes_and_a_part_of_each_image_are_no_labels(sides: str) -> None:
    """The lists of GTSRB: of the training set with a class, of the test set without one."""
    size = "53;54;6;5;48;49"
    given = labels(table(f"Filename;Width;Height;{sides};ClassId", f"{size};0", f"{size};1"), *SIX)
    assert given["1.jpg"] == "1"
    reading = ListedSource({"t.csv": table(f"Filename;Width;Height;{sides}", size)}, SIX).read(
        "t.csv"
    )
    assert (list(reading.doubts), {item.labels for item in reading.statements}) == ([], {None})


def test_width_and_height_alone_are_asked_about() -> None:
    data = table("Datei;Breite;Höhe", "640;480", "480;640")
    assert len(ListedSource({"l.csv": data}, SIX).read("l.csv").doubts[0].answers) == 2

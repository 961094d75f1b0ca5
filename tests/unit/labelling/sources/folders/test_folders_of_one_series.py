"""Folders of what varies within a series, and of parts of classes, are asked about; classes are not."""

import pytest

from labelling.sources.folders.layouts import Layout, read_layout
from labelling.sources.reading import ReadingOptions

pytestmark = pytest.mark.unit


def layout(*folders: str, known: tuple[str, ...] = (), **options: str) -> Layout:
    """Two images in each folder."""
    names = [f"{folder}/{i}.jpg" for folder in folders for i in range(2)]
    return read_layout(names, ReadingOptions(**options), known=frozenset(known))


OF_ONE_SERIES = [
    "10x/20x/40x", "40X/100X/200X/400X", "x4/x10/x20", "10× /20×", "mag_10x/mag_40x", "5x objective/20x objective",
    "magnification_10/magnification_40", "DAPI/GFP/RFP", "dapi/brightfield", "Cy3/Cy5", "Hoechst/FITC/Texas Red/merge",
    "01_DAPI/02_GFP", "DAPI_channel/GFP_channel", "R/G/B", "RGB/NIR/RedEdge", "NIR/SWIR/visible", "ch00/ch01", "Ch1/Ch2",
    "channel_0/channel_1", "C0/C1", "c0/c1/c2", "z01/z02/z03", "Z-1/Z-2", "z_stack_1/z_stack_2", "slice_01/slice_02", "focus1/focus2",
    "T0/T24/T48", "t000/t001/t002", "t1/t7/t14", "D0/D7/D14", "0h/24h/48h", "30min/60min", "2 dpi/7 dpi",
    "timepoint_1/timepoint_2", "tp1/tp2", "time_0/time_1", "exposure_100/exposure_200ms", "angle_0/angle_90",
    "band_450nm/band_650nm", "rep1/rep2/rep3", "view1/view2",
]  # fmt: skip


@pytest.mark.parametrize("text", OF_ONE_SERIES)
def test_folders_of_one_series_are_asked_about_and_may_be_classes(text: str) -> None:
    folders = text.split("/")
    (doubt,) = layout(*folders).doubts
    assert {"--labels-from parent", "--labels-from none"} <= dict(doubt.answers).keys()
    found = layout(*folders, labels_from="parent")
    assert set(found.labels.values()) == {folder.strip() for folder in folders}


@pytest.mark.parametrize("above", ["10x 40x", "DAPI GFP", "z01 z02", "T0 T24"])
def test_a_series_above_the_same_classes_is_seen_through(above: str) -> None:
    found = layout(*(f"{one}/{name}" for one in above.split() for name in ("benign", "malignant")))
    assert (found.doubts, set(found.labels.values())) == ((), {"benign", "malignant"})


IN_PARTS = {
    "ok_batch1 ok_batch2 nok_batch1 nok_batch2": {"ok", "nok"},
    "batch1_ok batch2_ok batch1_nok": {"ok", "nok"},
    "scratch-camera-A scratch-camera-B dent-camera-A": {"scratch", "dent"},
    "Cat_session_01 cat_session_02 Dog_session_01 dog_session_02": {"Cat", "Dog"},
    "rust_20240501 rust_20240502 healthy_20240501": {"rust", "healthy"},
    "gut_Charge1 gut_Charge2 schlecht_Charge1 schlecht_Charge2": {"gut", "schlecht"},
    "ok ok_part2 nok nok_part2": {"ok", "nok"},
}


@pytest.mark.parametrize("text", IN_PARTS)
def test_classes_in_parts_are_asked_about_and_read_either_way(text: str) -> None:
    folders = text.split()
    found = layout(*folders)
    (doubt,) = found.doubts
    assert set(found.labels.values()) == IN_PARTS[text]  # as --yes takes them
    assert {"--yes", "--labels-from parent"} <= dict(doubt.answers).keys()
    assert set(layout(*folders, labels_from="parent").labels.values()) == {*folders}
    known = layout(*folders, known=(*folders,))
    assert (known.doubts, set(known.labels.values())) == ((), {*folders})


CLASS_SETS = [
    "cat/dog", "0/1/2/3/4/5/6/7/8/9", "c0/c1/c2/c3/c4/c5/c6/c7/c8/c9", "C1/C2/C3/C4/C5/C6/C7", "T1/T2/T3/T4", "T1a/T1b/T2",
    "A/B/C/D", "a/e/i/o/u", "A1/A2/A3", "M3/M4/M5", "X1/X3/X5", "Model 3/Model S/Model X",
    "grade_1/grade_2/grade_3", "level0/level1/level2", "class_0/class_1", "type1/type2", "G1/G2/G3", "S/M/L/XL", "P1/P2/P3",
    "N0/N1/N2", "BI-RADS 1/BI-RADS 2", "red/green/blue", "red/green/yellow", "black/white/grey", "2x4/4x4", "1kg/2kg/5kg",
    "1 Euro/2 Euro", "5mm/10mm", "K6/K8", "D/E/F", "d4/d6/d8/d10/d12/d20", "rgba/cmyk", "nucleus/membrane/cytoplasm",
    "actin/tubulin/nuclei", "phase/solid", "merge/yield/stop", "visible/hidden", "thermal/acoustic", "day/night", "open/closed", "good/bad",
    "defect/no_defect", "COVID/NORMAL/Viral Pneumonia", "mel/nv/bcc/akiec/bkl/df/vasc", "benign/malignant", "tumor/stroma/lymph",
    "ADI/BACK/DEB/LYM/MUC/MUS/NORM/STR/TUM", "MRI/CT/X-ray", "AP/PA/LL", "L1/L2/L3/L4/L5", "front/side/rear", "paper/rock/scissors",
    "happy/sad/angry", "airplane/automobile/bird", "daisy/dandelion/rose/sunflower/tulip", "Apple 6/Apple Golden 1/Apple Golden 2/Pear",
    "Tomato 1/Tomato 2/Cherry 1/Cherry 2", "Audi S4 2007/Audi S4 2012/BMW M3 2012", "clubs_2/clubs_3/hearts_2/hearts_3",
    "001.ak47/002.american-flag", "n01440764/n01443537", "no_finding/effusion", "living room/bed room", "Room 1 chair/desk",
    "book review/news", "later blight/early blight", "person/person with bag", "scene text/scene",
]  # fmt: skip


@pytest.mark.parametrize("text", CLASS_SETS)
def test_ordinary_class_sets_are_not_asked_about(text: str) -> None:
    folders = text.split("/")
    found = layout(*folders)
    assert (found.doubts, set(found.labels.values())) == ((), {*folders})

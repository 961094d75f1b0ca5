"""Folders of series, sizes, backups and albums are asked about; classes named alike stay usable."""

import pytest

from labelling.sources.folders.layouts import Layout, read_layout
from labelling.sources.reading import ReadingOptions

pytestmark = pytest.mark.unit


def layout(*folders: str, **options: str) -> Layout:
    """Two images in each folder."""
    names = [f"{folder}/{i}.jpg" for folder in folders for i in range(2)]
    return read_layout(names, ReadingOptions(**options))


SERIES = [
    "batch_a/batch_b", "part A/part B", "site_a/site_b/site_c", "site-north/site-south", "Batch One/Batch Two",
    "camera_left/camera_right", "CamA/CamB", "run_ii/run_iii", "Q1/Q2", "2024-Q1/2024-Q2", "KW12/KW13",
    "Monday/Tuesday", "mon/tue/wed", "Montag/Dienstag", "lundi/mardi", "понедельник/вторник", "月曜日/火曜日",
    "January/February", "Jan 2024/Feb 2024", "März/April", "2024年5月/2024年6月", "summer 2023/winter 2023",
    "export/export-2", "Archive/temp", "main/backup", "thumbs/full", "old/new", "exports/final", "hires/lowres",
    "256x256/512x512", "crop256x256/crop512x512", "224px/512px", "1920×1080/640×480", "week1/256x256",
    "Photos from 2023/Photos from 2024", "Fotos von 2023/Fotos von 2024", "Фото за 2023/Фото за 2024",
    "Camera Roll/Screenshots", "Camera/Screenshots", "Facebook/Instagram/Twitter",
    "Scan 2024-05-01/Scan 2024-05-02", "2024-05 Hochzeit/2024-06 Urlaub",
    "GX010203/GX010204", "DJI_202405010900_001/DJI_202405020900_002", "WellA1/WellA2",
    "Lightroom Export/Lightroom Export 2", "tile_1/tile_2",
    "00/1f/2a/3b/a0/b1/c2/ff", "9f86d081884c7d65/60303ae22b998861",
    "3fa85f64-5717-4562-b3fc-2c963f66afa6/3fa85f64-5717-4562-b3fc-2c963f66afa7",
]  # fmt: skip


@pytest.mark.parametrize("text", SERIES)
def test_series_are_asked_about(text: str) -> None:
    folders = text.split("/")
    (doubt,) = layout(*folders).doubts
    offered = dict(doubt.answers)
    assert {"--labels-from parent", "--labels-from none"} <= offered.keys()
    assert set(layout(*folders, labels_from="parent").labels.values()) == {*folders}
    assert layout(*folders, labels_from="none").labels == {}


@pytest.mark.parametrize(
    "text",
    ["class_a/class_b", "type_a/type_b", "A/B/C", "grade_a/grade_b", "Grade A/Grade B", "1/2/3",
     "small/medium/large", "left/right", "north/south", "full/empty", "new_york/old_town", "sun/moon",
     "spring/summer/winter", "x_ray/mri", "person_walking/person_sitting", "machine_ok/machine_broken",
     "1a/1b/1c/2a/2b/2c/3a/3b", "a1/b2/ff", "SKU-1001/SKU-1002", "sam_1/sam_2", "item 201399/item 204413", "10 Euro 2002/20 Euro 2002", "10001000/10001001", "facebook/others", "friday_car/bus", "2x4/4x4", "phone/camera", "march/walk", "with_mask/without_mask"],
)  # fmt: skip
def test_classes_are_no_series(text: str) -> None:
    found = layout(*text.split("/"))
    assert (found.doubts, set(found.labels.values())) == ((), {*text.split("/")})


@pytest.mark.parametrize(
    "name", ["backup", "Export", "plots", "results", "temp", "thumbnails", "Photos from 2023"]
)
def test_a_backup_among_classes_is_asked_about(name: str) -> None:
    (doubt,) = layout("cat", "dog", name).doubts
    assert name in doubt.question
    found = layout("cat", "dog", name, labels_from="parent")
    assert set(found.labels.values()) == {"cat", "dog", name}


@pytest.mark.parametrize(
    "folders",
    [
        ("Photos from 2023", "Photos from 2024", "Urlaub Kreta"),
        ("Kreta", "Oma"),
        ("Photos from 2023",),
    ],
)
@pytest.mark.parametrize(
    "top", ["DCIM", "phone/DCIM", "Takeout/Google Photos", "Google Fotos", "Takeout/Google フォト"]
)
def test_albums_of_google_photos_are_asked_about(folders: tuple[str, ...], top: str) -> None:
    paths = [f"{top}/{folder}" for folder in folders]
    (doubt,) = layout(*paths).doubts
    assert "--labels-from none" in dict(doubt.answers)
    assert set(layout(*paths, labels_from="parent").labels.values()) == {*folders}


def test_a_series_with_the_same_classes_is_seen_through() -> None:
    found = layout("256x256/cat", "256x256/dog", "512x512/cat", "512x512/dog")
    assert (found.doubts, set(found.labels.values())) == ((), {"cat", "dog"})


def test_a_backup_beside_splits_has_no_labels_and_is_reported() -> None:
    found = layout("train/cat", "train/dog", "test/cat", "backup")
    assert (found.doubts, set(found.labels.values())) == ((), {"cat", "dog"})
    assert any("backup/" in text for text in found.warnings)

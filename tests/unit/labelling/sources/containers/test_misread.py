"""Names that are on disk as an old program has misread them are told; good ones are not."""

from pathlib import Path

import pytest

from labelling.sources.containers.misread import misread
from labelling.sources.read import read_source

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("meant", "written", "read"),
    [
        ("Käfer", "utf-8", "cp437"),
        ("Käfer", "utf-8", "cp1252"),
        ("кошка", "utf-8", "cp1252"),
        ("猫", "utf-8", "latin-1"),
        ("ねこ", "cp932", "cp437"),
        ("고양이", "cp949", "cp437"),
        ("数据", "gbk", "cp437"),
    ],
)
def test_the_name_that_was_meant_is_reported(meant: str, written: str, read: str) -> None:
    assert misread(meant.encode(written).decode(read)) == meant


@pytest.mark.parametrize("damaged", ["├¿", "K\ufffdfer"])
def test_what_cannot_be_guessed_is_damaged_all_the_same(damaged: str) -> None:
    assert misread(damaged) == ""


@pytest.mark.parametrize(
    "good",
    [
        *("Käfer", "São Paulo", "Ã", "Ångström", "naïve", "ÅÄÖ", "À la carte", "10°C", "Þór"),
        *("кошка", "猫", "ねこ", "고양이", "Đà Nẵng", "≤5", "π", "½", "🐱", "cat", "Ka\u0308fer"),
    ],
)
def test_good_names_are_good(good: str) -> None:
    assert misread(good) is None


def test_the_reading_warns_of_folders(tmp_path: Path) -> None:
    for name in ("├¿", "KÃ¤fer", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"x")
    (warning,) = (text for text in read_source(tmp_path).warnings if "wrong encoding" in text)
    assert "├¿" in warning
    assert "├¿ (" not in warning
    assert "KÃ¤fer (Käfer?)" in warning
    assert "dog" not in warning

"""Labels in any script are drawn, and what no font has is named once."""

import io
import warnings
from collections.abc import Iterator

import pytest

from training.evaluation import fonts
from training.evaluation.plots import picture_file

pytestmark = pytest.mark.unit

SCRIPTS = {
    "Chinese": ("猫", "狗"),
    "Japanese": ("ねこ", "いぬ"),
    "Korean": ("고양이", "개미핥기"),
    "Cyrillic": ("кошка", "собака"),
    "Devanagari": ("बिल्ली", "कुत्ता"),
    "Arabic": ("قطة", "كلب"),
    "Thai": ("แมว", "หมา"),
    "emoji": ("🐈", "🐕"),
    "joined emoji": ("👩‍🚒", "👨🏽‍🌾"),
}


@pytest.fixture(autouse=True)
def _nothing_named_yet() -> Iterator[None]:
    known = set(fonts._named)
    fonts._named.clear()
    yield
    fonts._named.clear()
    fonts._named.update(known)


def drawn(text: str) -> bytes:
    sink = io.BytesIO()
    with picture_file(sink, 2, 1) as figure:
        figure.text(0.1, 0.5, text)
    return sink.getvalue()


@pytest.mark.parametrize(("one", "other"), SCRIPTS.values(), ids=SCRIPTS.keys())
def test_labels_of_every_script_are_distinguished_in_a_plot(one: str, other: str) -> None:
    assert fonts.families_for(one + other)[1] == set()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drawn(one) != drawn(other[: len(one)])


def test_what_no_font_has_is_named_once_with_the_remedy() -> None:
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        for _ in range(3):
            drawn("\U0001d4b3 \ue000")
    text = [str(warning.message) for warning in notes]
    assert len(text) == 1, text
    assert "U+1D4B3 MATHEMATICAL SCRIPT CAPITAL X" in text[0]
    assert "U+E000" in text[0]
    assert "install a font" in text[0]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "find_spec", lambda name: None)
    monkeypatch.setattr(fonts, "_packaged", lambda: ())
    monkeypatch.setattr(fonts, "_of_machine", lambda: ())
    with pytest.warns(UserWarning, match="pip install manimgx-fonts noto-cjk-sans-jp-regular"):
        drawn("猫")


def test_latin_labels_need_no_other_font() -> None:
    assert fonts.families_for("Crème brûlée, ça va? ✓✗…") == ([fonts.DEFAULT], set())

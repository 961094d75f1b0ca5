"""What the benchmarks say of their numbers."""

from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.result import Measurement, Result

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("bound", "value", "passed"),
    [
        ("at most", 10.0, True),
        ("at most", 10.1, False),
        ("at least", 10.0, True),
        ("at least", 9.9, False),
    ],
)
def test_a_limit_is_kept_on_its_right_side(bound: str, value: float, passed: bool) -> None:
    item = Measurement(what="x", value=value, unit="s", bound=bound, limit=10.0)
    assert item.passed is passed
    assert Result(measurements=[item]).missed == ([] if passed else [item])


def test_better_is_more_than_one_whichever_way_the_unit_points() -> None:
    slow = Measurement(what="x", value=2.0, unit="s", peer=6.0)
    fast = Measurement(what="x", value=600.0, unit="images/s", bound="at least", peer=200.0)
    assert slow.ratio == fast.ratio == 3.0


def test_a_run_replaces_its_own_sections_of_the_page(tmp_path: Path) -> None:
    path, order = tmp_path / "docs" / "benchmarks.md", ["first", "second"]
    number = Measurement(what="old number", value=1.0, unit="s")
    for name in reversed(order):
        result = Result(measurements=[number])
        page.update(path, {name: page.section(name, "What.", result, 0.0)}, order)
    missed = Measurement(what="new number", value=3.0, unit="s", limit=2.0)
    second = page.section("second", "What.", Result(measurements=[missed]), 0.0)
    page.update(path, {"second": second}, order)
    page.update(path, {"second": second}, order)
    text = path.read_text(encoding="utf-8")
    assert text.startswith(page.HEAD)
    assert text.index("## first") < text.index("old number") < text.index("## second")
    assert text.count("old number") == text.count("new number") == 1
    assert "| new number | 3 s | ≤ 2 | **FAIL** |" in text


def test_what_was_skipped_gives_its_reason() -> None:
    assert "Skipped: no photos." in page.section("x", "What.", Result(skipped="no photos"), 0.0)

"""Rare labels one edit from a commoner one are named; words that only look so are not."""

import pytest

from labelling.labels.typos import Typo, probable_typos

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("label", ["sqaure", "squarre", "squre", "squape", "Sqaure"])
def test_one_edit_or_transposition_is_found(label: str) -> None:
    assert probable_typos({label: 1, "square": 3, "circle": 40}) == [Typo(label, "square")]


@pytest.mark.parametrize(
    ("label", "other"),
    [
        ("shirt", "shirts"),  # plural
        ("berrys", "berry"),
        ("type1", "type2"),  # digits count
        ("Square", "square"),  # asked about elsewhere
        ("hot dog", "hotdog"),
        ("cafés", "cafes"),
        ("bat", "cat"),  # too short
        ("qsuare", "sqaure"),  # two edits
        ("squirrel", "square"),
    ],
)
def test_what_is_no_typo_is_not_named(label: str, other: str) -> None:
    assert probable_typos({label: 1, other: 100}) == []


@pytest.mark.parametrize(
    ("rare", "common", "named"), [(1, 2, False), (1, 3, True), (3, 9, True), (4, 400, False)]
)
def test_only_a_rare_label_beside_a_commoner_one_is_named(
    rare: int, common: int, named: bool
) -> None:
    assert bool(probable_typos({"mouse": common, "moose": rare})) is named


def test_the_commonest_of_several_is_meant() -> None:
    counts = {"mouse": 9, "moose": 90, "mouze": 1, "moouse": 0}
    assert probable_typos(counts) == [Typo("mouze", "mouse")]
    assert probable_typos({"lines": 5, "limes": 50, "lifes": 1}) == [Typo("lifes", "limes")]

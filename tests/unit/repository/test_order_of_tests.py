"""The files that ``make test`` hands out first."""

from pathlib import Path

import pytest

from tests.conftest import LONGEST

pytestmark = pytest.mark.unit

TESTS = Path(__file__).parents[2]


def test_the_longest_files_are_where_it_says() -> None:
    """A file that was moved would be handed out with the rest of its folder."""
    assert [part for part in LONGEST if not (TESTS / part).exists()] == []

"""Paths and names on the pages of the documentation are those of the repository."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).parents[3]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{p.name}" for p in REPOSITORY.glob("docs/*.md")),
]
TOP = (
    "assets|benchmarks|cloudformation|docs|errors|guard|imgclf_dagster|labelling|object_store"
    "|resources|serving|tests|training|ui"
)
NAMED = re.compile(rf"`((?:{TOP})/[\w./-]*)`")
DECIDED_IN = re.compile(r"`(\w+)` in `([\w/]+\.py)`")


@pytest.mark.parametrize("page", PAGES)
def test_every_path_on_the_page_exists(page: str) -> None:
    named = NAMED.findall((REPOSITORY / page).read_text(encoding="utf-8"))
    missing = sorted({path for path in named if not (REPOSITORY / path).exists()})
    assert not missing, f"{page} names what is not there: {missing}"


def test_each_decision_is_made_where_the_architecture_says() -> None:
    text = (REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8")
    _, _, table = text.partition("## Where is it decided")
    questions = [line for line in table.splitlines() if line.startswith("| … ")]
    assert len(questions) >= 10
    assert all(NAMED.search(line) for line in questions)
    for name, path in DECIDED_IN.findall(table):
        code = (REPOSITORY / path).read_text(encoding="utf-8")
        assert re.search(rf"\b{name}\b", code), f"{path} has no {name}"

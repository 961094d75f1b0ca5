"""Dagster's metadata is for people: the product does not read it back."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
PACKAGES = ("assets", "imgclf_dagster")
"""Those that see events of Dagster."""

ALLOWED = {
    "assets/records/former_metadata.py": "homes of older code, and what a person reported",
    "imgclf_dagster/line/progress.py": "shows the checks of the run that is under way",
    "imgclf_dagster/runs/orphans.py": "the pid that Dagster itself recorded",
}


def metadata_read(source: ast.AST) -> list[int]:
    """The lines that take the metadata of something."""
    nodes = ast.walk(source)
    return [n.lineno for n in nodes if isinstance(n, ast.Attribute) and n.attr == "metadata"]


def markdown_parsed(source: ast.AST) -> list[int]:
    """The lines that import a parser of Markdown."""
    parsers = {"rich.markdown", "markdown", "markdown_it"}
    return [
        node.lineno
        for node in ast.walk(source)
        if (isinstance(node, ast.ImportFrom) and node.module in parsers)
        or (isinstance(node, ast.Import) and {name.name for name in node.names} & parsers)
    ]


@pytest.mark.parametrize("reads", [metadata_read, markdown_parsed])
def test_no_product_code_reads_metadata_back(reads: Callable[[ast.AST], list[int]]) -> None:
    found = {
        f"{name}:{line}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if (name := path.relative_to(ROOT).as_posix()) not in ALLOWED
        for line in reads(ast.parse(path.read_text()))
    }
    assert not found, "write a record (assets/records/), and read that"


@pytest.mark.parametrize("name", ALLOWED)
def test_each_exception_is_needed(name: str) -> None:
    assert metadata_read(ast.parse((ROOT / name).read_text()))

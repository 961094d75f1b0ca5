"""docs/architecture.md names what there is, and all folders of it."""

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
PACKAGES = (
    "imgclf_dagster",
    "assets",
    "resources",
    "labelling",
    "training",
    "serving",
    "object_store",
)


def test_every_path_in_it_exists() -> None:
    named = re.findall(r"`([\w./]+(?:\.py|\.toml|/))`", PAGE)
    assert len(named) > 100
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_path_that_contributors_are_told_exists() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w.]+/[\w./]+)`", page)
    assert len(named) > 15
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_function_in_it_is_in_the_file_that_it_names() -> None:
    pairs = re.findall(r"`(\w+)` in `([\w/]+\.py)`", PAGE)
    assert pairs
    for name, path in pairs:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert name in {getattr(node, "name", None) for node in tree.body}, (name, path)


def test_every_folder_is_in_it() -> None:
    folders = {
        f"{init.parent.relative_to(ROOT).as_posix()}/"
        for package in PACKAGES
        for init in (ROOT / package).glob("*/**/__init__.py")
    }
    assert sorted(folder for folder in folders if f"`{folder}`" not in PAGE) == []


def test_every_folder_says_in_one_sentence_what_it_is() -> None:
    for package in PACKAGES:
        for init in (ROOT / package).glob("*/**/__init__.py"):
            tree = ast.parse(init.read_text(encoding="utf-8"))
            assert ast.get_docstring(tree), init

"""Docstrings describe every parameter of a public function that has three or more."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
PACKAGES = (
    *("assets", "cloudformation", "errors", "guard", "imgclf_dagster", "labelling"),
    *("object_store", "resources", "serving", "training", "ui"),
)
MANY = 3


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Names of the parameters that a caller gives; Dagster gives ``context``."""
    args = function.args
    names = [arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls", "context")]


def described(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Names in the section ``Args`` of the docstring."""
    text = ast.get_docstring(function) or ""
    section = re.search(r"^Args:\n((?:    .*\n?|\n)*)", text, re.MULTILINE)
    lines = re.findall(r"^    \*{0,2}(\w+(?:, \w+)*):", section[1], re.M) if section else []
    return [name for line in lines for name in line.split(", ")]


def functions(source: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def undescribed(source: str) -> list[str]:
    """Public functions of ``source`` with parameters that should be described and are not."""
    found = []
    for function in functions(source):
        given = parameters(function)
        if len(given) >= MANY and not function.name.startswith("_"):
            missing = [name for name in given if name not in described(function)]
            found += [f"{function.name}: {', '.join(missing)}"] if missing else []
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_every_parameter_of_a_function_with_three_or_more_is_described(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    missing = {
        str(path.relative_to(ROOT)): names
        for path in files
        if (names := undescribed(path.read_text(encoding="utf-8")))
    }
    assert missing == {}


def test_a_parameter_without_description_is_found() -> None:
    source = 'def f(a, b, *, c):\n    """Add.\n\n    Args:\n        a, b: numbers.\n    """\n'
    assert undescribed(source) == ["f: c"]
    assert undescribed(source.replace("numbers.", "numbers.\n        c: another.")) == []
    assert undescribed("def f(self, context, a, b): ...") == []
    assert undescribed("def _f(a, b, c): ...") == []

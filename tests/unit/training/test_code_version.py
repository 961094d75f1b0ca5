"""CODE_VERSION is part of every job's name: code that makes other models needs another one."""

import ast
import hashlib
import importlib.util
import json
import os
from pathlib import Path

import pytest

from training.config import CODE_VERSION

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
SNAPSHOT = Path(__file__).with_name("code_version.snapshot.json")
REFRESH = "IMGCLF_UPDATE_SNAPSHOTS"

PACKAGES = ("training", "object_store")
"""Where the code of jobs is."""

ENTRIES = ("training.train", "training.evaluate")

TELLS_ONLY = {
    "training.data.contact_sheet",
    "training.container.container",
    "training.evaluation.batch_picture",
    "training.evaluation.event_files",
    "training.evaluation.history_picture",
    "training.fitting.preview",
    "training.errors",
    "training.evaluation.fonts",
    "training.container.leaving",
    "training.container.gpus",
    "training.container.phases",
    "training.container.pipes",
    "training.container.progress_file",
    "training.evaluation.plots",
}
"""Modules that tell or draw what a job did; the model and its scores are the same without them.
Whatever else the jobs import decides, so a new module counts until it is named here."""


def _syntax(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _imports(tree: ast.Module) -> set[str]:
    """Modules of ours that ``tree`` imports, at the top or within functions."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PACKAGES:
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if (ROOT / f"{name.replace('.', '/')}.py").is_file()}


def _deciding(*entries: str) -> dict[str, str]:
    """By module that ``entries`` import, the hash of what its code does."""
    known: dict[str, ast.Module] = {}
    pending = set(entries)
    while pending:
        module = pending.pop()
        known[module] = _syntax(module)
        if module not in TELLS_ONLY:
            pending |= _imports(known[module]) - known.keys()
    return {module: meaning(known[module]) for module in sorted(known) if module not in TELLS_ONLY}


def meaning(tree: ast.Module) -> str:
    """sha256 of a module without what cannot change a result: layout, comments, docstrings, the
    descriptions of fields, the messages of errors, and CODE_VERSION itself."""
    return hashlib.sha256(_written(tree).encode()).hexdigest()


def _written(node: object) -> str:
    """The same text for the same code under every version of Python."""
    if isinstance(node, list):
        return f"[{','.join(_written(item) for item in node if not _is_silent(item))}]"
    if isinstance(node, ast.keyword) and node.arg == "description":
        return ""
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        return f"Raise({_written(node.exc.func)})"
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
        return f"{type(node).__name__}({','.join(f'{n}={_written(v)}' for n, v in fields)})"
    return repr(node)


def _is_silent(node: object) -> bool:
    """Whether it is a docstring (of anything), or says the version."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "CODE_VERSION"
    )


def test_code_that_decides_a_model_changes_with_its_version() -> None:
    found = {CODE_VERSION: _deciding(*ENTRIES)}
    if os.environ.get(REFRESH):
        SNAPSHOT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    known = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    refresh = f"{REFRESH}=1 pytest {Path(__file__).relative_to(ROOT)}"
    assert CODE_VERSION in known, f"CODE_VERSION is {CODE_VERSION} now; take note: {refresh}"
    was, is_ = known[CODE_VERSION], found[CODE_VERSION]
    changed = sorted(name for name in was.keys() | is_.keys() if was.get(name) != is_.get(name))
    assert not changed, (
        f"{', '.join(changed)} changed since CODE_VERSION became {CODE_VERSION}. Raise "
        "CODE_VERSION in training/config.py: without that, jobs done before are taken for what "
        "this code would make. If the change cannot alter a model or its scores, leave it. "
        f"Then: {refresh}"
    )


def test_the_modules_that_make_a_model_are_watched() -> None:
    watched = set(_deciding(*ENTRIES))
    assert "training.config" in watched
    assert {
        "training.artefact.export",
        "training.data.augmentation",
        "training.fitting.fit",
    } <= watched
    assert watched.isdisjoint(TELLS_ONLY)


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ("# why\nX = 1\nCODE_VERSION = '9'\ndef f():\n    raise ValueError(f'no {X}')", True),
        ("X = 1\n'''What X is.'''\ndef f():\n    '''Does.'''\n    raise ValueError('no')", True),
        ("X = 2\ndef f():\n    raise ValueError('no')", False),
        ("X = 1\ndef f():\n    raise KeyError('no')", False),
    ],
)
def test_only_what_the_code_does_counts(changed: str, same: bool) -> None:
    before = meaning(ast.parse("X = 1\ndef f():\n    raise ValueError('no')"))
    assert (meaning(ast.parse(changed)) == before) is same

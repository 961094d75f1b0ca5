"""Every job of the line has a name of the list that the roles' policies are held to."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.compute.job_names import JOB_KINDS, job_name

ROOT = Path(__file__).parents[4]
FOUNDATION = ROOT / "cloudformation" / "foundation.yaml"


def specs() -> Iterator[tuple[str, str, str]]:
    """(Where, stage or "", kind) of each ``JobSpec(…)`` in what makes the line's jobs."""
    for folder in ("assets", "imgclf_dagster"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if "JobSpec(" not in text:  # to parse all takes a second
                continue
            tree = ast.parse(text)
            values = {
                node.targets[0].id: node.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "JobSpec":
                    given = {word.arg: word.value for word in node.keywords}
                    name, kind = given["name"], given["kind"]
                    if isinstance(name, ast.Name):
                        name = values[name.id]
                    yield f"{path.name}:{node.lineno}", stage_of(name), ast.literal_eval(kind)


def stage_of(name: ast.expr) -> str:
    if isinstance(name, ast.Call) and getattr(name.func, "id", "") == "job_name":
        return str(ast.literal_eval(name.args[0]))
    if isinstance(name, ast.JoinedStr) and isinstance(name.values[0], ast.Constant):
        return str(name.values[0].value).rstrip("-")
    return ""


def test_every_job_is_named_by_the_list() -> None:
    found = list(specs())
    kinds = {**JOB_KINDS, "tune": "training"}  # a tuning job's, which has a right of its own
    assert {stage for _, stage, _ in found} == set(kinds)
    assert [where for where, stage, kind in found if kinds.get(stage) != kind] == []
    assert "hyper-parameter-tuning-job/tune-*" in FOUNDATION.read_text(encoding="utf-8")


def test_a_name_that_no_role_may_start_is_refused() -> None:
    assert job_name("embed", "0a1b") == "embed-0a1b"
    with pytest.raises(ValueError, match="'drift' is no stage of the line"):
        job_name("drift", "0a1b")

"""Every job of the tests starts warm: ``tests.warm_programs`` knows each program of ``training``."""

import ast
from pathlib import Path

import pytest

from tests.warm_programs.sitecustomize import JOB_MODULES

pytestmark = pytest.mark.unit

TRAINING = Path(__file__).parents[3] / "training"
LAUNCHER = "training.launcher"
"""It starts the others."""


def is_program(source: str) -> bool:
    """Whether a module does something when it is run: ``if __name__ == "__main__":``."""
    return any(
        isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
        for node in ast.parse(source).body
    )


def test_every_job_starts_in_a_copy_of_a_process_with_pytorch() -> None:
    """One that is not known imports it again: 5 s for each start of the job."""
    programs = {
        ".".join(path.relative_to(TRAINING.parent).with_suffix("").parts)
        for path in TRAINING.rglob("*.py")
        if is_program(path.read_text(encoding="utf-8"))
    }
    assert LAUNCHER in programs
    ours = {name for name in JOB_MODULES if name.startswith("training.")}
    assert ours == programs - {LAUNCHER}

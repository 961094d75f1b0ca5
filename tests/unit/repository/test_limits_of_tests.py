"""No test has a time limit of its own: tests.patience has the one, which scales with the machine."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import patience
from tests.patience import wait_for

pytestmark = pytest.mark.unit

TESTS = Path(__file__).parents[2]

WAITS = frozenset({"wait", "join", "communicate", "result", "wait_for"})
"""Calls whose number is a limit. Below a second it is the pause of a loop, not a limit."""

CLOCKS = frozenset({"monotonic", "time", "perf_counter"})


def number(node: ast.expr | None) -> float:
    """The value of a literal number; 0 for everything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    return 0.0


def called(node: ast.AST) -> str:
    """Name of the function or method that is called; empty for anything but a call."""
    if not isinstance(node, ast.Call):
        return ""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def limits(source: str) -> Iterator[tuple[int, str]]:
    """Line and kind of every time limit that is written as a number."""
    for node in ast.walk(ast.parse(source)):
        name = called(node)
        if isinstance(node, ast.Call):
            if name == "timeout" and "mark" in ast.unparse(node.func):
                yield node.lineno, "a test's own limit"
            if any(word.arg == "timeout" and number(word.value) >= 1 for word in node.keywords):
                yield node.lineno, "timeout=<number>"
            if name in WAITS and any(number(value) >= 1 for value in node.args[-1:]):
                yield node.lineno, f"{name}(<number>)"
        elif isinstance(node, ast.FunctionDef) and "wait" in node.name:
            given = node.args
            if any(number(value) >= 1 for value in (*given.defaults, *given.kw_defaults)):
                yield node.lineno, "a limit by default"
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            if called(node.left) == "monotonic" and number(node.right) >= 1:
                yield node.lineno, "a deadline"
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Lt | ast.LtE):
            took = node.left
            if (
                isinstance(took, ast.BinOp)
                and isinstance(took.op, ast.Sub)
                and called(took.left) in CLOCKS
                and number(node.comparators[0])
            ):
                yield node.lineno, "an upper bound of a duration"


@pytest.mark.parametrize(
    "source",
    [
        "@pytest.mark.timeout(300)\ndef test(): ...",
        "subprocess.run(x, timeout=60)",
        "process.wait(20)",
        "def wait_for(condition, seconds: float = 20): ...",
        "def wait_for(condition, *, timeout_s=10): ...",
        "thread.join(10)",
        "threading.Barrier(3, timeout=10)",
        "deadline = time.monotonic() + 30",
        "assert time.monotonic() - began < 2",
    ],
)
def test_a_limit_is_found(source: str) -> None:
    assert len(list(limits(source))) == 1


@pytest.mark.parametrize(
    "source", ["over.wait(0.05)", "process.wait(WAIT_S)", "assert asked - began >= 0.4", "wait()"]
)
def test_a_pause_is_none(source: str) -> None:
    assert list(limits(source)) == []


def test_no_test_has_a_limit_of_its_own() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{line}: {what}; use tests.patience"
        for path in sorted(TESTS.rglob("*.py"))
        if path != Path(__file__)
        for line, what in limits(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_what_never_happens_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "WAIT_S", 0.01)
    with pytest.raises(AssertionError, match="in vain: the light is off"):
        wait_for(lambda: False, lambda: "the light is off")
    assert wait_for(lambda: 7) == 7


def test_looks_that_cost_much_are_further_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that lists a bucket or asks a server would otherwise take all of a core."""
    clock = [0.0]
    monkeypatch.setattr(patience.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(patience.time, "sleep", clock.append)

    def pauses(look_s: float, **every: float) -> list[float]:
        def look() -> bool:
            clock[0] += look_s
            return len(clock) == 3

        del clock[1:]
        wait_for(look, **every)
        return clock[1:]

    assert pauses(0.001) == [0.05, 0.05]
    assert pauses(0.03) == pytest.approx([0.27, 0.27])
    assert pauses(30) == [0.5, 0.5]
    assert pauses(30, every_s=0.002) == [0.002, 0.002]


@pytest.mark.parametrize(("given", "limit"), [("0.2", 1.0), ("2.5", 2.5), ("99", patience.MOST)])
def test_limits_scale_with_the_measured_speed(
    given: str, limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(patience.SLOWNESS_VARIABLE, given)
    assert patience.slowness() == limit

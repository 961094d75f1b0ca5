"""What is said of checks while a run goes on."""

import io
import re
import threading
import uuid

import dagster as dg
import pytest
from rich.console import Console

from imgclf_dagster.checks.result import judge
from imgclf_dagster.console import SafeConsole
from imgclf_dagster.line import progress
from imgclf_dagster.line.outcome import RunOutcome
from imgclf_dagster.line.progress import ConsoleNarrator, narrated
from object_store.store import ObjectStore
from tests.patience import WAIT_S

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("severity", "found", "mark"),
    [("WARN", True, "!"), ("WARN", False, "✓"), ("ERROR", True, "✗"), ("ERROR", False, "✓")],
)
def test_a_check_that_warns_has_no_tick(tmp_path, severity: str, found: bool, mark: str) -> None:
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()

    @dg.asset
    def dataset() -> None: ...

    @dg.asset_check(asset=dataset)
    def near_duplicate_groups() -> dg.AssetCheckResult:
        return judge(
            store,
            check="near_duplicate_groups",
            subject="dataset/1",
            passed=not found,
            severity=severity,
            reason="what it says",
        )

    job = dg.Definitions(
        assets=[dataset], asset_checks=[near_duplicate_groups], executor=dg.in_process_executor
    ).resolve_implicit_global_asset_job_def()
    outcome = RunOutcome(run_id=str(uuid.uuid4()), success=False)
    console = Console(record=True, width=200)
    with (
        dg.DagsterInstance.ephemeral() as instance,
        narrated(instance, outcome, ConsoleNarrator(console)),
    ):
        job.execute_in_process(instance=instance, run_id=outcome.run_id)
    assert f"{mark} near_duplicate_groups" in console.export_text()


class _Terminal:
    """Counts as a terminal whose size is known, and keeps what is written to it."""

    def __init__(self) -> None:
        self.written = io.StringIO()
        self.console = SafeConsole(file=self.written, force_terminal=True, width=120)


def test_a_terminal_shows_what_the_job_does_until_the_run_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "LOOK_S", 0.01)
    looks: list[str] = []
    shown = threading.Event()

    def look() -> str:
        looks.append(f"train-1: look {len(looks)}[/]")
        if len(looks) > 2:
            shown.set()
        return "" if len(looks) == 1 else looks[-1]

    terminal, outcome = _Terminal(), RunOutcome(run_id=str(uuid.uuid4()), success=False)
    narrator = ConsoleNarrator(terminal.console)
    with (
        dg.DagsterInstance.ephemeral() as instance,
        narrated(instance, outcome, narrator, look),
    ):
        assert shown.wait(WAIT_S)
        narrator.logged("trained_model", "a line above it", level=20)
    written = terminal.written.getvalue()
    assert re.search(r"train-1: look \d+\[/\]", written)
    assert "a line above it" in written
    assert written.endswith("\x1b[2K")  # the line is deleted


def test_a_file_gets_no_line_that_is_written_over() -> None:
    written = io.StringIO()
    narrator = ConsoleNarrator(SafeConsole(file=written))
    narrator.working("train-1: epoch 1 done")
    narrator.working("")
    assert written.getvalue() == ""

"""What is said of checks while a run goes on."""

import uuid

import dagster as dg
import pytest
from rich.console import Console

from imgclf_dagster.checks.result import judge
from imgclf_dagster.line.outcome import RunOutcome
from imgclf_dagster.line.progress import ConsoleNarrator, narrated
from object_store.store import ObjectStore

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

"""A run is failed only if its process is gone and it has not ended by itself."""

from typing import Any

import dagster as dg
import pytest

from imgclf_dagster.runs import orphans

pytestmark = pytest.mark.graph


def test_a_run_that_ends_well_while_it_is_looked_at_stays_a_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instance = dg.DagsterInstance.ephemeral()
    run = dg.DagsterRun(job_name="line", status=dg.DagsterRunStatus.STARTED)
    instance.add_run(run)

    def ends(*_: Any) -> int:
        """The process ends between the look at the run and the look at the process."""
        event = dg.DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name="line")
        instance.report_dagster_event(event, run_id=run.run_id)
        return 4711

    monkeypatch.setattr(orphans, "gone_process", ends)
    assert orphans.reap_orphaned_runs(instance) == []
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is dg.DagsterRunStatus.SUCCESS

"""How a sensor asks for a run: once at a time, and ever more seldom after failures."""

import time
from collections.abc import Collection, Sequence
from itertools import takewhile
from typing import Any

import dagster as dg

from imgclf_dagster.runs.jobs import LINE

ASKED_TAG = "imgclf/asked-for"
"""Names what a run was asked to look at, so that its failures can be counted."""

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
SUCCESS = dg.DagsterRunStatus.SUCCESS
UNSUCCESSFUL = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
RETRY_S = 60.0
RETRY_MAX_S = 3600.0

Tick = dg.SensorResult | dg.SkipReason


def ask(
    instance: dg.DagsterInstance,
    asset: str,
    token: str,
    *,
    jobs: Collection[str] = (LINE,),
    also: Collection[str] = (),
    beside: Collection[str] = (),
    partition: str | None = None,
    run_config: dict[str, Any] | None = None,
    recurs: bool = False,
) -> Tick:
    """One run for what ``token`` names: not while one is under way, which may be at it already,
    and after a failure again, ever more seldom. (Dagster takes a run key once, failed or not, so
    the key names the run after which it is asked again.)

    Args:
        asset: what the run materializes.
        jobs: do it, too.
        also: what follows on it and goes with it in the same run.
        beside: assets that must not be materialized at the same time.
        partition: of the asset, if it has some.
        recurs: whether the same may be needed again after a run that succeeded. Else what a run
            that succeeded left as it is stays so: asking again would change nothing.
    """
    if run_id := under_way(instance, {asset, *beside}, jobs):
        return dg.SkipReason(f"run {run_id} is under way")
    asked = instance.get_run_records(dg.RunsFilter(tags={ASKED_TAG: token}))  # newest first
    failures = _failures(asked, since_success=recurs)
    if last := failures or (asked[:1] if recurs else []):
        pause = min(RETRY_S * 2 ** max(len(failures) - 1, 0), RETRY_MAX_S)
        wait = max(record.end_time or 0.0 for record in last) + pause - time.time()
        if wait > 0:
            done = f"failed {len(failures)} times" if failures else "was done just now"
            return dg.SkipReason(f"{done}; again in {wait:.0f} s")
    after = next(iter(asked if recurs else failures), None)
    request = dg.RunRequest(
        run_key=f"{asset}-{token}" + (f"-{after.dagster_run.run_id}" if after else ""),
        run_config=run_config,
        tags={ASKED_TAG: token},
        partition_key=partition,
        asset_selection=[dg.AssetKey(name) for name in (asset, *also)],
    )
    return dg.SensorResult(run_requests=[request])


def _failures(asked: Sequence[dg.RunRecord], *, since_success: bool) -> list[dg.RunRecord]:
    """Those of the runs, newest first, that did not succeed; of those before a success none."""
    if since_success:
        asked = list(takewhile(lambda run: run.dagster_run.status != SUCCESS, asked))
    return [run for run in asked if run.dagster_run.status in UNSUCCESSFUL]


def under_way(
    instance: dg.DagsterInstance, assets: Collection[str], jobs: Collection[str]
) -> str | None:
    """Id of an unfinished run of one of ``jobs``, or that materializes one of ``assets``.

    A run that has done its part of them, and is at something else since, is none.
    """
    keys = {dg.AssetKey(asset) for asset in assets}
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        selected = run.asset_selection or set()
        if run.job_name in jobs or (keys & selected and not _is_past(instance, run, keys)):
            return run.run_id
    return None


def _is_past(
    instance: dg.DagsterInstance, run: dg.DagsterRun, keys: Collection[dg.AssetKey]
) -> bool:
    selected = run.asset_selection or set()
    if selected <= set(keys):
        return False
    events = [instance.get_latest_materialization_event(key) for key in selected & set(keys)]
    return all(event is not None and event.run_id == run.run_id for event in events)

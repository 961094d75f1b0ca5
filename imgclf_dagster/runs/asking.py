"""Run requests of sensors: one at a time, with growing pauses after failures."""

import time
from collections.abc import Collection, Sequence
from itertools import takewhile
from typing import Any

import dagster as dg

from imgclf_dagster.runs.jobs import LINE

ASKED_TAG = "imgclf/asked-for"
"""Tag with the token of a run request, by which the failures of its runs are counted."""

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
    """Request one run for ``token``, or skip while such a run is unfinished or a pause lasts.

    After a failure the run is requested again after 1 minute, doubled with each further failure up
    to 1 hour.

    Args:
        instance: Dagster's instance.
        asset: name of the asset that the run materializes.
        token: names the change for which the run is requested.
        jobs: names of jobs that materialize the asset as well.
        also: names of downstream assets that are materialized in the same run.
        beside: names of assets that must not be materialized at the same time.
        partition: partition key of the asset, if it is partitioned.
        run_config: run config.
        recurs: whether the token may need a run again after a successful one. If not, one
            successful run is enough.

    Returns:
        The run request, or the reason for skipping.
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
    # Dagster accepts a run key only once, even if its run failed, so the key of a repetition names
    # the run before it.
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
    """Return the failed and canceled runs of ``asked`` (newest first).

    With ``since_success``, only those after the last successful run.
    """
    if since_success:
        asked = list(takewhile(lambda run: run.dagster_run.status != SUCCESS, asked))
    return [run for run in asked if run.dagster_run.status in UNSUCCESSFUL]


def under_way(
    instance: dg.DagsterInstance, assets: Collection[str], jobs: Collection[str]
) -> str | None:
    """Return the id of an unfinished run of one of ``jobs``, or one that materializes an asset.

    A run with other assets does not count if it has materialized its part of ``assets`` already.

    Args:
        instance: Dagster's instance.
        assets: names of assets.
        jobs: names of jobs.

    Returns:
        The run id, or ``None``.
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

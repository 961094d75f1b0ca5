"""Runs whose process is gone: killed, or lost to a power cut."""

import socket

import dagster as dg
import psutil

PROCESS_TAG = "imgclf/process"
"""Which process executes a run, so that the next one can tell a killed run from a running one."""

LAUNCHED_TAG = ".dagster/grpc_info"
"""What Dagster's own launcher says of a run: a process of this machine's code server executes it."""

CLOCK_SLACK_S = 300.0
"""How far a process's beginning, which counts from the boot, may lie off the clock (seconds)."""

ACTIVE = (
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.NOT_STARTED,
)


def process_tag() -> dict[str, str]:
    """The tags of a run that this very process executes, and whoever started it starts again."""
    process = psutil.Process()
    return {
        PROCESS_TAG: f"{socket.gethostname()}:{process.pid}:{process.create_time()}",
        "dagster/max_retries": "0",
    }


def reap_orphaned_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs whose process is gone; return their ids.

    Left as *started*, they would block every automation condition for ever. Runs that another
    launcher started (a task of ECS) are left to Dagster's run monitoring, which can ask it.
    """
    reaped = []
    for run in instance.get_runs(dg.RunsFilter(statuses=list(ACTIVE))):
        gone = gone_process(instance, run)
        # Looked at again: it may have ended well between the two looks.
        if gone is not None and _is_active(instance, run):
            instance.report_run_failed(run, f"its process {gone} is gone")
            reaped.append(run.run_id)
    return reaped


def _is_active(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    now = instance.get_run_by_id(run.run_id)
    return now is not None and now.status in ACTIVE


def gone_process(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int | None:
    """The process of ``run``, if it had one on this machine that is gone."""
    if executor := run.tags.get(PROCESS_TAG):
        host, pid, created = executor.split(":")
        if host != socket.gethostname() and _is_shared(instance):
            return None
        return None if _alive(int(pid), float(created) - 1, float(created) + 1) else int(pid)
    if LAUNCHED_TAG in run.tags:
        launched = _launched(instance, run)
        if launched is not None and not _alive(launched[0], 0.0, launched[1] + CLOCK_SLACK_S):
            return launched[0]
    return None


def _is_shared(instance: dg.DagsterInstance) -> bool:
    """Whether other machines may run things here; else another host name is our own former one."""
    return type(instance.run_storage).__module__.startswith("dagster_postgres")


def _launched(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[int, float] | None:
    """The process that Dagster started for ``run``, and when it said so (seconds since the epoch)."""
    page = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    for record in page.records:
        event = record.event_log_entry.dagster_event
        told = event.engine_event_data.metadata.get("pid") if event is not None else None
        if told is not None:
            return int(str(told.value)), record.event_log_entry.timestamp
    return None


def _alive(pid: int, earliest: float, latest: float) -> bool:
    """Whether process ``pid`` runs, and began between the two moments: numbers are given again."""
    try:
        process = psutil.Process(pid)
        began: float = process.create_time()
        return earliest <= began <= latest and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

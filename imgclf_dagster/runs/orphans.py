"""Runs whose process was killed or lost in a power cut."""

import re
import socket

import dagster as dg
import psutil

from serving.process_identity import is_running, start_mark

PROCESS_TAG = "imgclf/process"
"""Tag with the process that executes a run (host:pid:start time:start mark), to recognize killed
runs."""

LAUNCHED_TAG = ".dagster/grpc_info"
"""Tag that Dagster's default launcher sets: a process of this machine's code server executes it."""

CLOCK_SLACK_S = 300.0
"""Tolerance between a process's start time, counted from the boot, and the clock (seconds)."""

ACTIVE = (
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.NOT_STARTED,
)


def process_tag() -> dict[str, str]:
    """Return the tags of a run that this process executes; Dagster must not retry it."""
    process = psutil.Process()
    return {
        PROCESS_TAG: f"{socket.gethostname()}:{process.pid}:{process.create_time()}"
        f":{start_mark(process.pid) or ''}",
        "dagster/max_retries": "0",
    }


def reap_orphaned_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark the runs whose process has ended as failed, and return their ids.

    Runs of other launchers (tasks of ECS) are left to Dagster's run monitoring.
    """
    # A run left as STARTED would block every automation condition.
    reaped = []
    for run in instance.get_runs(dg.RunsFilter(statuses=list(ACTIVE))):
        gone = gone_process(instance, run)
        # Its status is read again: the run may have ended regularly in the meantime.
        if gone is not None and _is_active(instance, run):
            instance.report_run_failed(run, gone_words(gone))
            reaped.append(run.run_id)
    return reaped


def gone_words(pid: int) -> str:
    """Return why a run whose process ended by itself has failed."""
    return f"its process {pid} is gone"


def is_gone(reason: str) -> bool:
    """Whether a run failed only because its process was killed or lost."""
    return re.fullmatch(r"its process \d+ is gone", reason.strip()) is not None


def _is_active(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    now = instance.get_run_by_id(run.run_id)
    return now is not None and now.status in ACTIVE


def gone_process(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int | None:
    """Return the pid of the run's process if it ran on this machine and has ended, else ``None``."""
    if executor := run.tags.get(PROCESS_TAG):
        host, pid, created, *mark = executor.split(":")  # older versions wrote three parts
        if host != socket.gethostname() and _is_shared(instance):
            return None
        alive = is_running(int(pid), float(created), (mark[0] or None) if mark else None)
        return None if alive else int(pid)
    if LAUNCHED_TAG in run.tags:
        launched = _launched(instance, run)
        if launched is not None and not _started_before(*launched):
            return launched[0]
    return None


def _is_shared(instance: dg.DagsterInstance) -> bool:
    """Whether other machines may execute runs of this instance."""
    # In a SQLite instance, another host name is a former name of this machine.
    return type(instance.run_storage).__module__.startswith("dagster_postgres")


def _launched(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[int, float] | None:
    """Return the pid of the process that Dagster started for a run, and the event's time.

    The time is in seconds since the epoch. ``None`` if no event names a process.
    """
    page = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    for record in page.records:
        event = record.event_log_entry.dagster_event
        noted = event.engine_event_data.metadata.get("pid") if event is not None else None
        if noted is not None:
            return int(str(noted.value)), record.event_log_entry.timestamp
    return None


def _started_before(pid: int, noted: float) -> bool:
    """Whether process ``pid`` runs, and started before an event (seconds since the epoch)."""
    # The operating system reuses pids, so the start time is compared as well.
    try:
        process = psutil.Process(pid)
        began: float = process.create_time()
        return began <= noted + CLOCK_SLACK_S and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

"""Runs whose process is gone: killed, or lost to a power cut."""

import dagster as dg
import psutil

PROCESS_TAG = "imgclf/process"
"""Which process executes a run, so that the next one can tell a killed run from a running one."""

ACTIVE = (
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.NOT_STARTED,
)


def process_tag() -> dict[str, str]:
    """The tag of a run that this very process executes."""
    process = psutil.Process()
    return {PROCESS_TAG: f"{process.pid}:{process.create_time()}"}


def reap_orphaned_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs whose process is gone; return their ids.

    Left as *started*, they would block every automation condition for ever.
    """
    reaped = []
    for run in instance.get_runs(dg.RunsFilter(statuses=list(ACTIVE))):
        executor = run.tags.get(PROCESS_TAG)
        if executor and not _alive(executor):
            instance.report_run_failed(run, f"its process {executor.split(':')[0]} is gone")
            reaped.append(run.run_id)
    return reaped


def _alive(executor: str) -> bool:
    pid, created = executor.split(":")
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(created)) < 1
    except psutil.NoSuchProcess:
        return False

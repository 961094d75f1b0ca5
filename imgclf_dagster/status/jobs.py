"""The jobs of this machine: what they do, and those that nothing waits for any more."""

from collections.abc import Sequence
from typing import Any

from imgclf_dagster.settings.root import Settings
from resources.compute.local.progress import JobProgress, jobs_progress

Facts = dict[str, Any]


def jobs_under_way(settings: Settings, runs: Sequence[Facts]) -> list[Facts]:
    """Return the jobs in the home's folder that are not done, with their progress.

    On profile aws there are none: a job's last message is the last one of its run.

    Args:
        settings: the user's settings.
        runs: the runs under way.
    """
    if settings.profile != "local":
        return []
    return [_facts(progress, runs) for progress in jobs_progress(settings.jobs_dir)]


def _facts(progress: JobProgress, runs: Sequence[Facts]) -> Facts:
    words = progress.words
    if not progress.is_alive:
        words = f"its process has ended ({words})"
        if not runs:  # else the run takes care of it
            words += "; imgclf run takes what it left, or goes on from its last checkpoint"
    return {
        "job": progress.job,
        "alive": progress.is_alive,
        "phase": progress.phase,
        "done": progress.done,
        "total": progress.total,
        "left_s": progress.left_s if progress.is_alive else None,
        "numbers": progress.numbers,
        "said": words,
    }

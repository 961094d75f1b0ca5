"""What the jobs of this machine do now, as their progress files say and their processes show."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from resources.compute.local.folder import JobFolder
from training.container.container import ROOT_VARIABLE
from training.container.phases import duration
from training.container.progress_file import PROGRESS

_NUMBERS = ("train_loss", "val_loss", "val_accuracy", "val_macro_f1")
"""Numbers of an epoch that are shown."""


class _Written(BaseModel):
    """The progress file; an older or newer job may write less or more."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=True)

    pid: int
    phase: str = ""
    text: str = ""
    what: str | None = None
    done: int | None = None
    total: int | None = None
    left_s: float | None = None
    numbers: dict[str, float] = {}


@dataclass(frozen=True)
class JobProgress:
    """What a job did last.

    Attributes:
        job: its name.
        is_alive: whether its process runs.
        problem: why the progress is unknown; "" if it is known.
        phase: name of the phase.
        text: describes the phase.
        what: is counted; "" for nothing.
        done: how many so far.
        total: how many in all.
        left_s: estimate of the remaining time of the phase in seconds; ``None``: unknown.
        numbers: of the last epoch.
    """

    job: str
    is_alive: bool
    problem: str = ""
    phase: str = ""
    text: str = ""
    what: str = ""
    done: int = 0
    total: int = 0
    left_s: float | None = None
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """The progress as one line for people, without the job's name."""
        if self.problem:
            return self.problem
        # What changes comes first: the last line of a terminal is cut at its width.
        counted = self.done < self.total
        parts = [f"{self.what}: {self.done} of {self.total}"] if counted else []
        if counted and self.left_s and self.is_alive:
            parts.append(f"about {duration(self.left_s)} left")
        if self.phase == "fit":
            if "epoch" in self.numbers:
                parts.append(f"epoch {self.numbers['epoch']:.0f} done")
            shown = (name for name in _NUMBERS if name in self.numbers)
            parts += [f"{name} {self.numbers[name]:.4g}" for name in shown]
        return f"{', '.join(parts)} ({self.text})" if parts else self.text


def jobs_progress(jobs_dir: Path) -> list[JobProgress]:
    """Return the progress of each job of ``jobs_dir`` that was started and is not done, by name."""
    try:
        folders = sorted(path for path in jobs_dir.iterdir() if path.is_dir())
    except OSError:  # no job yet
        return []
    return list(_started(folders))


def running_jobs_words(jobs_dir: Path) -> str:
    """Say in one line what the running jobs do; "" if none runs."""
    running = (found for found in jobs_progress(jobs_dir) if found.is_alive)
    return "; ".join(f"{found.job}: {found.words}" for found in running)


def _started(folders: list[Path]) -> Iterator[JobProgress]:
    for path in folders:
        folder = JobFolder(path)
        # Without it there is no process: the job failed and was reported, or is not started yet.
        if (path / "launch.json").exists():
            yield _progress(folder)


def _progress(folder: JobFolder) -> JobProgress:
    job, path = folder.path.name, folder.root / PROGRESS
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        alive = folder.running() is not None
        return JobProgress(job, alive, problem="it starts" if alive else _NOTHING)
    except OSError as error:
        return JobProgress(job, folder.running() is not None, f"its progress is unknown: {error}")
    try:
        found = _Written.model_validate_json(text)
    except ValidationError:
        damaged = f"its progress is unknown: {path} is damaged, which does not harm the job"
        return JobProgress(job, folder.running() is not None, damaged)
    return JobProgress(
        job,
        _is_of_job(found.pid, folder.root),
        phase=found.phase,
        text=found.text,
        what=found.what or "",
        done=found.done or 0,
        total=found.total or 0,
        left_s=found.left_s,
        numbers=found.numbers,
    )


_NOTHING = "it ended before it told anything"


def _is_of_job(pid: int, root: Path) -> bool:
    """Whether process ``pid`` runs and belongs to the job with this root folder."""
    # The operating system reuses pids, so the variable that the job was started with is compared. A
    # zombie has none.
    try:
        return psutil.Process(pid).environ().get(ROOT_VARIABLE) == os.fspath(root)
    except (psutil.Error, OSError, ValueError):
        return False

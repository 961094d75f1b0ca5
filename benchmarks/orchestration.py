"""``imgclf demo``: how much of its time is work on images and models, and how much is not."""

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import run_watched
from benchmarks.result import Measurement, Result

LIMIT_S = 20.0
DEMO_LIMIT_S = 90.0
INDEXING = "raw_images"
JOB_STAGES = {"train": "training and exporting", "eval": "evaluating"}


@dataclass(frozen=True)
class Step:
    """A step of a Dagster run, in seconds since the epoch."""

    name: str
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """The duration in seconds."""
        return self.end - self.start


def measure(scratch: Path) -> Result:
    """Run the demo once in its own home; split its wall time by the steps that Dagster recorded."""
    home = Path(os.environ["IMGCLF_HOME"])
    began = time.time()
    spent = run_watched([str(Path(sys.executable).with_name("imgclf")), "demo"])
    wall = time.time() - began
    in_jobs = sum(seconds for command, seconds in spent.items() if " -m training." in command)
    steps = recorded_steps(home / "demo" / "dagster")
    work = {"indexing (the step raw_images)": seconds_of(steps, INDEXING)}
    work |= job_seconds(home / "demo" / "store")
    rest = wall - sum(work.values())
    in_steps = sum(step.seconds for step in steps)
    first, last = min(step.start for step in steps), max(step.end for step in steps)
    parts = {
        "of which before the first step (start, digits, ingest, endpoint host)": first - began,
        "of which in steps, around the jobs' and raw_images' own time": in_steps
        - sum(work.values()),
        "of which between steps (Dagster's runs, the approval)": last - first - in_steps,
        "of which after the last step (withheld digits sent, shutdown)": began + wall - last,
    }
    return Result(
        measurements=[
            Measurement(
                what="orchestration: all of the demo that is not the work below",
                value=rest,
                unit="s",
                limit=LIMIT_S,
            ),
            Measurement(what="the whole demo", value=wall, unit="s", limit=DEMO_LIMIT_S),
            *(Measurement(what=name, value=value, unit="s") for name, value in work.items()),
            *(Measurement(what=name, value=value, unit="s") for name, value in parts.items()),
            Measurement(
                what="CPU time of orchestration and indexing (all processes but the jobs')",
                value=sum(spent.values()) - in_jobs,
                unit="CPU s",
            ),
            Measurement(
                what="CPU time of training, exporting, evaluating", value=in_jobs, unit="CPU s"
            ),
        ],
        notes=[
            "One run in an empty home. Work: the step raw_images, and the seconds from each "
            "job's launch to its last message (models/*/job.json), its imports included.",
            "Slowest steps: " + ", ".join(_slowest(steps)) + ".",
        ],
    )


def recorded_steps(dagster_home: Path) -> list[Step]:
    """Every step of every run in a Dagster instance, by start time."""
    import dagster as dg

    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        stats = [
            step
            for run_ in instance.get_runs()
            for step in instance.get_run_step_stats(run_.run_id)
        ]
    return sorted(
        (
            Step(stat.step_key, stat.start_time, stat.end_time)
            for stat in stats
            if stat.start_time is not None and stat.end_time is not None
        ),
        key=lambda step: step.start,
    )


def seconds_of(steps: list[Step], name: str) -> float:
    """Total seconds of all steps with that name."""
    return sum(step.seconds for step in steps if step.name == name)


def job_seconds(store: Path) -> dict[str, float]:
    """Total seconds of the jobs in a store, by kind."""
    found = dict.fromkeys(JOB_STAGES.values(), 0.0)
    for name, seconds in _job_records(store):
        stage = next(
            (what for prefix, what in JOB_STAGES.items() if name.startswith(f"{prefix}-")), None
        )
        if stage is None:
            raise ValueError(f"job {name} is of no known stage ({', '.join(JOB_STAGES)})")
        found[stage] += seconds
    return found


def _job_records(store: Path) -> Iterator[tuple[str, float]]:
    for path in sorted((store / "models").glob("*/job.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        yield record["name"], float(record["seconds"])


def _slowest(steps: list[Step]) -> list[str]:
    ordered = sorted(steps, key=lambda step: -step.seconds)
    return [f"{step.name} {step.seconds:.1f} s" for step in ordered[:6]]

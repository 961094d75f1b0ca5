"""What the SageMaker client adds to a job's own time, and how often it asks; against the stand-in."""

import importlib
import itertools
import os
import statistics
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from benchmarks.result import Measurement, Result

LIMIT_S = 3.0
LENGTHS_S = (1, 5, 20, 45)
_JOB = """
import time
from training.container.container import JobContainer
from training.container.pipes import open_pipes

with open_pipes() as pipes:
    seconds = float(JobContainer.from_environment().hyperparameters["seconds"])
    for second in range(int(seconds)):
        print("second", second, flush=True)
        time.sleep(1)
"""


def measure(scratch: Path) -> Result:
    """Run jobs of several lengths, polled with the default settings."""
    # imported by name, because tests are not type-checked
    start_bed = importlib.import_module("tests.testbed.bed").start_bed

    modules = scratch / "modules"
    modules.mkdir()
    (modules / "job_sleeps.py").write_text(_JOB, encoding="utf-8")
    bed = start_bed(scratch / "bed")
    os.environ.update(bed.environ)
    try:
        compute = _compute(bed)
        with (scratch / "output.txt").open("w") as output, redirect_stdout(output):
            added = {length: _added_s(compute, modules, length) for length in LENGTHS_S}
        calls = [call for call in bed.calls() if call["service"] in ("sagemaker", "logs")]
    finally:
        bed.stop()
    longest = f"bench-{LENGTHS_S[-1]}"
    polls = _times(calls, "DescribeTrainingJob", longest)[1:]  # the first looks for the job
    logs = _times(calls, "GetLogEvents", longest) + _times(calls, "DescribeLogStreams", longest)
    pauses = [after - before for before, after in itertools.pairwise(polls)]
    return Result(
        measurements=[
            *(
                Measurement(
                    what=f"added to a job of {length} s of work",
                    value=seconds,
                    unit="s",
                    limit=LIMIT_S,
                )
                for length, seconds in added.items()
            ),
            Measurement(
                what="SageMaker calls a poll (most within the shortest pause of 1 s)",
                value=_most_within(polls, 0.9),
                unit="calls",
                limit=1,
            ),
            Measurement(
                what="CloudWatch calls a poll, until the job has ended",
                value=sum(1 for moment in logs if moment <= polls[-1]) / len(polls),
                unit="calls",
                limit=1,
            ),
            Measurement(
                what=f"pause between polls of a job of {LENGTHS_S[-1]} s, median",
                value=statistics.median(pauses),
                unit="s",
            ),
        ],
        notes=[
            "Added: from the call of SageMakerCompute.run to its result, less the time from the "
            "job's creation to its end as SageMaker tells it. Between them are the search for an "
            "earlier attempt, inputs, launch, the last poll, the log's end, copying and the record.",
            f"{len(polls)} polls watched the longest job; the first job also loads boto3.",
        ],
    )


def _compute(bed: Any) -> Any:
    from object_store.store import ObjectStore
    from resources.aws.session import AwsSession
    from resources.compute.sagemaker.compute import SageMakerCompute

    store = ObjectStore(url=f"s3://{bed.bucket()}")
    store.ensure()
    return SageMakerCompute(
        session=AwsSession(region="us-east-1"),
        store=store,
        job_role_arn="arn:aws:iam::123456789012:role/jobs",
        image_uri="123456789012.dkr.ecr.us-east-1.amazonaws.com/imgclf:1",
    )


def _added_s(compute: Any, modules: Path, length: int) -> float:
    """Seconds that running a job took beyond its own duration."""
    import dagster as dg

    from resources.compute.job_spec import JobSpec

    spec = JobSpec(
        name=f"bench-{length}",
        kind="training",
        module="job_sleeps",
        hyperparameters={"seconds": str(length)},
        environment={"PYTHONPATH": f"{Path.cwd()}{os.pathsep}{modules}"},
    )
    added: list[float] = []

    @dg.asset
    def bench(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        began = time.monotonic()
        result = compute.run(context, spec)
        added.append(time.monotonic() - began - result.seconds)
        return dg.MaterializeResult()

    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([bench], instance=instance)
    return added[0]


def _times(calls: list[dict[str, Any]], operation: str, job: str) -> list[float]:
    return [
        call["time"]
        for call in calls
        if call["operation"] == operation and job in str(call["request"])
    ]


def _most_within(times: list[float], window_s: float) -> int:
    """The largest number of ``times`` within one window."""
    return max(sum(1 for other in times if 0 <= other - first < window_s) for first in times)

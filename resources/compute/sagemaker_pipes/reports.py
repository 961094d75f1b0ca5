"""Reports of a SageMaker job for Dagster: facts as metadata, and the reason of a failure.

Failures, and whether the job is retried automatically:

====================================  ====================================================
AlgorithmError (the script failed)     no: it would fail again, at the same cost
ClientError (image, data, permission)  no: something must be changed first
CapacityError, InternalServerError     yes
stopped: MaxRuntimeExceeded            no: the limit is the user's
stopped: MaxWaitTimeExceeded (spot)    on demand in the same run (``attempt.py``); with
                                       ``spot_fallback = false``: yes, from its checkpoint
stopped from outside (console)         no: a person stopped it
====================================  ====================================================
"""

import re
import signal
from collections.abc import Mapping
from typing import Any

import dagster as dg

from resources.compute.sagemaker_pipes.costs import PRICES_AS_OF, cost_usd, spot_saving_percent
from resources.compute.sagemaker_pipes.jobs import JobState, SageMakerJobs

NO_SPOT_CAPACITY = (
    "MaxWaitTimeExceeded: SageMaker found no spot capacity for it in time. Allow a longer "
    "spot_wait_s (or max_wait_s), another instance type, spot_fallback = true, or spot = false"
)
"""Reason of a spot job that SageMaker or the watching run stopped."""

_OURS_TO_CHANGE = ("AlgorithmError", "ClientError", "ValidationError", "UserError")


def job_facts(state: JobState, prices: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Return the numbers of a job that has ended as JSON values; unknown ones are ``None``.

    ``cost_usd`` is the job's own cost. A warm pool is billed after it until the next job comes, for
    ``keep_alive_seconds`` at most; ``keep_alive_cost_usd`` is the cost of all of them.
    """
    kind, count = state.cluster
    return {
        "job": state.name,
        "secondary_status": state.secondary,
        "instance_type": kind,
        "instance_count": count,
        "spot": bool(state.description.get("EnableManagedSpotTraining", False)),
        "interruptions": state.interruptions,
        "run_seconds": state.run_seconds,
        "billable_seconds": state.billable_seconds,
        "cost_usd": cost_usd(kind, count, state.billable_seconds, prices),
        "keep_alive_seconds": state.keep_alive_seconds,
        "keep_alive_cost_usd": cost_usd(kind, count, state.keep_alive_seconds, prices),
    }


def job_metadata(
    jobs: SageMakerJobs, state: JobState, prices: Mapping[str, float] | None = None
) -> dict[str, dg.MetadataValue]:
    """Return the facts of :func:`job_facts` as Dagster metadata, with links to the AWS console.

    Args:
        jobs: gives the console's addresses.
        state: of a job that has ended.
        prices: USD per hour by instance type; list prices apply to types it does not name.
    """
    facts = job_facts(state, prices)
    cost = facts["cost_usd"]
    found: dict[str, dg.MetadataValue] = {
        "SageMaker job": dg.MetadataValue.text(state.name),
        "SageMaker console": dg.MetadataValue.url(jobs.console_url(state.name)),
        "CloudWatch logs": dg.MetadataValue.url(jobs.logs_url(state.name)),
        "secondary status": dg.MetadataValue.text(state.secondary),
        "instances": dg.MetadataValue.text(f"{facts['instance_count']} x {facts['instance_type']}"),
        "interruptions": dg.MetadataValue.int(facts["interruptions"]),
        f"estimated cost (USD, list prices of {PRICES_AS_OF})": (
            dg.MetadataValue.text("unknown") if cost is None else dg.MetadataValue.float(cost)
        ),
    }
    if state.kind == "training":
        found["capacity"] = dg.MetadataValue.text("spot" if facts["spot"] else "on demand")
    if facts["keep_alive_seconds"]:
        most = facts["keep_alive_cost_usd"]
        found["warm pool afterwards (USD, at most)"] = (
            dg.MetadataValue.text("unknown") if most is None else dg.MetadataValue.float(most)
        )
    if facts["run_seconds"] is not None:
        found[f"{state.kind} seconds"] = dg.MetadataValue.float(float(facts["run_seconds"]))
    if facts["billable_seconds"] is not None:
        found["billable seconds"] = dg.MetadataValue.float(float(facts["billable_seconds"]))
    found |= _best_child(state)
    saving = spot_saving_percent(facts["run_seconds"], facts["billable_seconds"])
    if facts["spot"] and saving is not None:
        found["spot saving (%)"] = dg.MetadataValue.float(saving)
    return found


def _best_child(state: JobState) -> dict[str, dg.MetadataValue]:
    """Return metadata of a tuning job about its training jobs."""
    counts = state.description.get("TrainingJobStatusCounters")
    if counts is None:
        return {}
    found: dict[str, dg.MetadataValue] = {
        "training jobs completed": dg.MetadataValue.int(counts.get("Completed", 0)),
        "training jobs failed": dg.MetadataValue.int(
            counts.get("NonRetryableError", 0) + counts.get("RetryableError", 0)
        ),
    }
    best = state.description.get("BestTrainingJob", {})
    if best:
        metric = best.get("FinalHyperParameterTuningJobObjectiveMetric", {})
        found["best training job"] = dg.MetadataValue.text(best["TrainingJobName"])
        found["best hyperparameters"] = dg.MetadataValue.json(best["TunedHyperParameters"])
        if metric:
            found[f"best {metric['MetricName']}"] = dg.MetadataValue.float(metric["Value"])
    return found


def failure_of(state: JobState) -> tuple[str, bool] | None:
    """Return the reason of a job's failure and whether to retry; ``None`` if it was completed."""
    if state.status == "Completed":
        return None
    if state.status == "Failed":
        reason = with_signal(state.reason) or "SageMaker gives no reason"
        if state.exit_message:
            reason += f"; the container says: {state.exit_message}"
        return reason, not state.reason.startswith(_OURS_TO_CHANGE)
    limit = state.description.get("StoppingCondition", {}).get("MaxRuntimeInSeconds")
    if state.secondary == "MaxWaitTimeExceeded":
        return NO_SPOT_CAPACITY, True
    ran = state.run_seconds or 0
    if state.secondary == "MaxRuntimeExceeded" or (limit and ran >= limit):
        return (
            f"MaxRuntimeExceeded: it was stopped because it ran longer than {limit} s. "
            "Allow it more time, or make it smaller; its checkpoints are kept",
            False,
        )
    return "it was stopped from outside of this run (AWS console, CLI, or another run)", False


def with_signal(reason: str) -> str:
    """Add the signal to a FailureReason with an exit code: ``exit code 137`` is a SIGKILL."""
    text = re.sub(r"exit code:\s*", "exit code ", reason)
    found = re.search(r"exit code (\d+)", text)
    number = int(found[1]) - 128 if found else 0
    if number in {item.value for item in signal.Signals}:
        name = signal.Signals(number).name
        text += f" (killed by {name}{': out of memory?' if name == 'SIGKILL' else ''})"
    return text

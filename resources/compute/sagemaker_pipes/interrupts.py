"""Stopping or keeping a SageMaker job when Dagster's run is interrupted."""

import time

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.events import RunFailureReason
from dagster._core.execution.retries import auto_reexecution_should_retry_run

from resources.compute.sagemaker_pipes.jobs import SageMakerJobs
from resources.waiting import poll

Context = dg.AssetExecutionContext | dg.OpExecutionContext

_CANCELLED = {dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED}
_STOP_WAIT_S = 30.0


def forward_interrupt(
    context: Context, jobs: SageMakerJobs, name: str, interrupt: BaseException
) -> None:
    """Stop the job, unless Dagster will start the run again, which then attaches to it.

    Args:
        context: of the run that is interrupted.
        jobs: of the job's kind.
        name: of the job.
        interrupt: the exception that was raised.
    """
    if isinstance(interrupt, DagsterExecutionInterruptedError) and starts_again(context):
        context.log.warning(
            f"[pipes] the run's process was stopped, and nobody cancelled the run: {name} goes on, "
            "and the run attaches to it when Dagster starts it again"
        )
    else:
        stop_job(context, jobs, name)


def starts_again(context: Context) -> bool:
    """Whether Dagster will start the interrupted run again.

    It does if the run was not cancelled and its run retries are on and not used up; so not if a
    person executes it in a process of their own (Ctrl-C). True if Dagster's database fails.
    """
    instance = context.instance
    try:
        run = instance.get_run_by_id(context.run.run_id)
        if run is None or run.status in _CANCELLED or not instance.run_retries_enabled:
            return False
        failed = run.with_status(dg.DagsterRunStatus.FAILURE)  # as it will be in a moment
        return auto_reexecution_should_retry_run(
            instance, failed, RunFailureReason.UNEXPECTED_TERMINATION
        )
    except Exception as error:  # noqa: BLE001 - of any database; no job is stopped on a guess
        context.log.warning(f"[pipes] Dagster does not say whether the run was cancelled: {error}")
        return True


def stop_job(context: Context, jobs: SageMakerJobs, name: str) -> None:
    """Stop the job and wait, for 30 s at most, until it is no longer ``InProgress``.

    Args:
        context: for the log.
        jobs: of the job's kind.
        name: of the job.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    context.log.warning(f"[pipes] Dagster's run was interrupted: stopping {name}")
    try:
        jobs.stop(name)
        poll(
            lambda: jobs.describe(name),
            lambda state: state is None or state.status != "InProgress",
            deadline=time.monotonic() + _STOP_WAIT_S,
            poll_s=0.5,
        )
    except (BotoCoreError, ClientError) as error:
        context.log.warning(f"[pipes] {name} could not be stopped and may go on: {error}")

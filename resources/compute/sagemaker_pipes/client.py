"""A Dagster Pipes client for SageMaker's training, processing and tuning jobs.

In the manner of dagster-aws's clients for ECS, Glue and EMR, which has none for SageMaker. What it
does beyond them: a job is named by its caller, so launching what exists already attaches to it
instead of paying twice, if it was asked for the same; the limits of the environment are checked before anything is launched;
the log streams of all hosts are followed; and a lost connection does not lose the job.
"""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.resource_annotation import TreatAsResourceParam
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.pipes.client import PipesClientCompletedInvocation

from resources.aws.errors import is_in_use, is_permanent
from resources.compute.sagemaker_pipes.environment import (
    PIPES_ENTRIES,
    check_environment,
    environments,
    with_pipes,
)
from resources.compute.sagemaker_pipes.interrupts import Context, forward_interrupt
from resources.compute.sagemaker_pipes.jobs import JobKind, JobState, SageMakerJobs
from resources.compute.sagemaker_pipes.logs import JobLogs
from resources.compute.sagemaker_pipes.reports import failure_of, job_metadata
from resources.compute.sagemaker_pipes.requests import differing_fields

_SILENT = {"Starting", "LaunchingMLInstances", "PreparingTrainingStack", "Pending"}
"""Secondary statuses in which no container runs, so that there is nothing in CloudWatch."""
_SOON_OVER = {"Uploading", "Stopping"}
_SLICE_S = 0.1
_GROWTH = 0.05


class SageMakerJobFailed(dg.Failure):
    """A job that has ended was not completed.

    Attributes:
        state: the job as SageMaker describes it.
        log_tail: its last lines of output.
    """

    state: JobState
    log_tail: list[str]


class JobNameTaken(dg.Failure):
    """SageMaker has a job of that name which was asked for something else."""


@dataclass(frozen=True)
class EndedJob:
    """A job that has ended, well or not.

    Attributes:
        attached: it was there already; this run did not launch it.
    """

    session: dg.PipesSession
    state: JobState
    log_tail: list[str]
    attached: bool


def print_log(host: str, text: str) -> None:
    """Show lines of a job's output as the step's own, so that Dagster's compute log has them."""
    sys.stdout.write("".join(f"{host}: {line}\n" for line in text.splitlines()))
    sys.stdout.flush()


class PipesSageMakerClient(dg.PipesClient, TreatAsResourceParam):
    """Runs SageMaker jobs with the Pipes protocol.

    The injector and the reader must carry their parameters through environment values of 512
    characters (256 in processing jobs): through S3, that is.
    """

    def __init__(
        self,
        *,
        context_injector: dg.PipesContextInjector,
        message_reader: dg.PipesMessageReader,
        client: Any = None,
        logs_client: Any = None,
        forward_termination: bool = True,
        poll_s: tuple[float, float] = (1.0, 10.0),
        patience_s: float = 300.0,
        hurry: Callable[[], bool] | None = None,
        give_up: Callable[[JobState], bool] | None = None,
        log_sink: Callable[[str, str], None] = print_log,
        prices: Mapping[str, float] | None = None,
    ) -> None:
        """Say how jobs are watched.

        Args:
            context_injector: brings the context to the job.
            message_reader: brings the job's messages back.
            client: boto3's for ``sagemaker``; made from the environment if not given.
            logs_client: boto3's for ``logs``; likewise.
            forward_termination: stop the job when Dagster's run is cancelled, or interrupted for
                good. A run whose process was stopped unasked (its machine is retired), and which
                Dagster's run retries start again, leaves the job to the next process.
            poll_s: shortest and longest pause between two polls, in seconds; it grows with the
                job's age (5 % of it).
            patience_s: how long SageMaker may fail to answer before the run gives up; the job
                goes on, and a later run attaches to it.
            hurry: says that the job is about to end, so that the pause is the shortest.
            give_up: says of a job that has not ended whether to stop it; asked at each poll.
            log_sink: gets (host, lines) of the containers' output.
            prices: US dollars an hour by instance type, before the list prices.
        """
        self._injector, self._reader = context_injector, message_reader
        self._client = client or _client("sagemaker")
        self._logs_client = logs_client or _client("logs")
        self._poll_s, self._patience_s = poll_s, patience_s
        self._hurry, self._log_sink, self._prices = hurry, log_sink, prices
        self._give_up = give_up
        self.forward_termination = forward_termination

    def run(  # type: ignore[override] # as in dagster-aws: the parameters are the client's own
        self,
        *,
        context: Context,
        request: Mapping[str, Any],
        job_kind: JobKind = "training",
        extras: dict[str, Any] | None = None,
    ) -> PipesClientCompletedInvocation:
        """Run a job to its end.

        Args:
            context: of the op or asset.
            request: what CreateTrainingJob (CreateProcessingJob, CreateHyperParameterTuningJob)
                takes, the name included. If there is a job of that name already that was asked
                for the same, it is this one.
            job_kind: training, processing or tuning.
            extras: for the job's Pipes context.

        Raises:
            SageMakerJobFailed: it failed or was stopped.
            JobNameTaken: there is a job of that name that was asked for something else.
            dg.Failure: SageMaker would refuse the environment.
            botocore.exceptions.ClientError: SageMaker refuses the job.
        """
        ended = self.run_to_end(context=context, request=request, job_kind=job_kind, extras=extras)
        metadata = job_metadata(SageMakerJobs(self._client, job_kind), ended.state, self._prices)
        if failure := failure_of(ended.state):
            reason, retry = failure
            failed = SageMakerJobFailed(
                f"{job_kind} job {ended.state.name} {ended.state.status.lower()}: {reason}\n\n"
                "The end of its log:\n" + "\n".join(ended.log_tail),
                metadata=metadata,
                allow_retries=retry,
            )
            failed.state, failed.log_tail = ended.state, ended.log_tail
            raise failed
        return PipesClientCompletedInvocation(ended.session, metadata=metadata)

    def run_to_end(
        self,
        *,
        context: Context,
        request: Mapping[str, Any],
        job_kind: JobKind = "training",
        extras: dict[str, Any] | None = None,
        attach: bool = False,
    ) -> EndedJob:
        """Like :meth:`run`, but how the job ended is left to the caller to judge.

        Args:
            context: see :meth:`run`, also for the rest.
            request: for ``attach`` only its name matters.
            job_kind: training, processing or tuning.
            extras: for the job's Pipes context.
            attach: the job is known to be there.
        """
        jobs = SageMakerJobs(self._client, job_kind)
        name = request[jobs.api.name_key]
        for environment in environments(request, job_kind):
            check_environment(job_kind, name, environment, spare=PIPES_ENTRIES)
        streams = f"{name}-" if job_kind == "tuning" else f"{name}/"
        logs = JobLogs(self._logs_client, jobs.api.log_group, streams, self._log_sink)
        with dg.open_pipes_session(context, self._injector, self._reader, extras) as session:
            bootstrap = dict(session.get_bootstrap_env_vars())
            check_environment(job_kind, name, bootstrap)
            try:
                if not attach:
                    tags = session.default_remote_invocation_info
                    full = with_pipes(request, job_kind, bootstrap, tags)
                    attach = not self._launch(jobs, request, full)
                context.log.info(
                    f"[pipes] {'attached to' if attach else 'launched'} SageMaker {job_kind} job "
                    f"{name}: {jobs.console_url(name)}"
                )
                state = self._watch(context, jobs, name, logs)
            except (DagsterExecutionInterruptedError, KeyboardInterrupt) as interrupt:
                if self.forward_termination:
                    forward_interrupt(context, jobs, name, interrupt)
                raise
            self._finish_logs(context, logs, failed=state.status != "Completed")
        return EndedJob(session, state, list(logs.tail), attach)

    def _launch(
        self, jobs: SageMakerJobs, request: Mapping[str, Any], full: Mapping[str, Any]
    ) -> bool:
        """Launch the job; False if it is there already.

        Args:
            jobs: of its kind.
            request: what the caller asks for.
            full: the same with what belongs to this run only.

        Raises:
            JobNameTaken: a job of its name is there, and was asked for something else.
        """
        from botocore.exceptions import ClientError

        try:
            jobs.create(full)
        except ClientError as error:
            if not is_in_use(error):
                raise
        else:
            return True
        # Another run launched it, or our first try arrived and only its answer was lost.
        name = request[jobs.api.name_key]
        state = jobs.describe(name)
        if state is None:
            raise JobNameTaken(
                f"SageMaker says that the name {name} is taken, and has no {jobs.kind} job of it: "
                "use another name",
                allow_retries=False,
            )
        others = differing_fields(self._client, jobs.kind, request, state.description)
        if others:
            raise JobNameTaken(
                f"there is a {jobs.kind} job {name} already ({state.status}), and it was asked for "
                f"something else: {'; '.join(others)}. SageMaker never lets a name be used again: "
                "give this job another name, or ask for what that one does",
                allow_retries=False,
            )
        return False

    def _watch(self, context: Context, jobs: SageMakerJobs, name: str, logs: JobLogs) -> JobState:
        """Describe the job until it has ended; one call a poll, and one for its log."""
        from botocore.exceptions import BotoCoreError, ClientError

        began = answered = time.monotonic()
        told = ""
        seen = 0
        while True:
            try:
                state = jobs.describe(name)
            except (BotoCoreError, ClientError) as error:
                if is_permanent(error) or time.monotonic() - answered > self._patience_s:
                    raise  # the job goes on; the next run attaches to it
                context.log.warning(f"[pipes] {name} cannot be described, trying again: {error}")
                time.sleep(self._poll_s[0])
                continue
            if state is None:
                raise dg.Failure(f"SageMaker has no {jobs.kind} job {name}: was it deleted?")
            answered = time.monotonic()
            for step in state.transitions[seen:]:
                context.log.info(f"[pipes] {name}: {step.status}. {step.message}".rstrip())
                logs.expect_streams()
            seen = len(state.transitions)
            if not seen and state.status != told:
                told = state.status
                context.log.info(f"[pipes] {name}: {told}")
            if state.ended:
                return state
            if self._give_up and state.status != "Stopping" and self._give_up(state):
                self._stop(context, jobs, name)
            if state.secondary not in _SILENT:
                self._read_logs(context, logs)
            self._pause(time.monotonic() - began, state)

    def _stop(self, context: Context, jobs: SageMakerJobs, name: str) -> None:
        """Have the job stopped; if SageMaker does not answer, the next poll asks again."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            jobs.stop(name)
        except (BotoCoreError, ClientError) as error:
            context.log.warning(f"[pipes] {name} cannot be stopped, trying again: {error}")

    def _pause(self, age_s: float, state: JobState) -> None:
        shortest, longest = self._poll_s
        pause = min(longest, max(shortest, _GROWTH * age_s))
        end = time.monotonic() + (shortest if state.secondary in _SOON_OVER else pause)
        at_least = time.monotonic() + shortest
        while (now := time.monotonic()) < end:
            if self._hurry and now >= at_least and self._hurry():
                return
            time.sleep(max(0.0, min(_SLICE_S, end - now)))

    def _read_logs(self, context: Context, logs: JobLogs) -> None:
        """Read some of the log; the job does not depend on it."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            logs.poll()
        except (BotoCoreError, ClientError) as error:
            context.log.warning(f"[pipes] the job's log cannot be read: {error}")

    def _finish_logs(self, context: Context, logs: JobLogs, *, failed: bool) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            logs.drain()
            if failed and not logs.tail:  # CloudWatch may lag behind
                time.sleep(self._poll_s[0])
                logs.drain()
        except (BotoCoreError, ClientError) as error:
            context.log.warning(f"[pipes] the end of the job's log cannot be read: {error}")


def _client(service: str) -> Any:
    import boto3

    return boto3.client(service)  # type: ignore[call-overload]

"""A Dagster Pipes client for SageMaker's training, processing and tuning jobs.

It follows dagster-aws's clients for ECS, Glue and EMR; dagster-aws has none for SageMaker. Beyond
them:

- the caller names the job, so launching a job that exists attaches to it if the request is the same,
  and nothing is paid for twice;
- the limits of the environment are checked before the launch;
- the log streams of all hosts are followed;
- a lost connection does not lose the job.
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
    """A job has ended, but SageMaker did not complete it.

    Attributes:
        state: the job as SageMaker describes it.
        log_tail: last lines of its output.
    """

    state: JobState
    log_tail: list[str]


class JobNameTaken(dg.Failure):
    """SageMaker has a job of that name from another request."""


@dataclass(frozen=True)
class EndedJob:
    """A job that has ended, with success or not.

    Attributes:
        session: the Pipes session.
        state: the job as SageMaker describes it.
        log_tail: last lines of its output.
        attached: the job existed already; this run did not launch it.
    """

    session: dg.PipesSession
    state: JobState
    log_tail: list[str]
    attached: bool


def print_log(host: str, text: str) -> None:
    """Print lines of a job's output, so that they are in the step's compute log."""
    sys.stdout.write("".join(f"{host}: {line}\n" for line in text.splitlines()))
    sys.stdout.flush()


class PipesSageMakerClient(dg.PipesClient, TreatAsResourceParam):
    """Runs SageMaker jobs with the Pipes protocol.

    The parameters of injector and reader must fit into environment values of 512 characters (256 in
    processing jobs), so context and messages have to go through S3.
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
        """Configure how jobs are watched.

        Args:
            context_injector: passes the context to the job.
            message_reader: reads the job's messages.
            client: boto3's for ``sagemaker``; default: made from the environment.
            logs_client: boto3's for ``logs``; default: made from the environment.
            forward_termination: stop the job when Dagster's run is cancelled or interrupted. A run
                whose process was stopped without a cancellation, and which Dagster's run retries
                start again, leaves the job running for the next process.
            poll_s: shortest and longest pause between two polls in seconds; the pause is 5 % of the
                job's age within these bounds.
            patience_s: seconds that SageMaker may fail to answer before the run fails; the job
                continues, and a later run attaches to it.
            hurry: returns True when the job is about to end, so that the pause ends early.
            give_up: takes the state of a running job and returns True to stop it; called at each
                poll.
            log_sink: called with host and lines of the containers' output.
            prices: USD per hour by instance type; list prices apply to types it does not name.
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
            request: parameters of CreateTrainingJob (CreateProcessingJob,
                CreateHyperParameterTuningJob), the name included. If a job of that name exists from
                the same request, the run attaches to it.
            job_kind: training, processing or tuning.
            extras: for the job's Pipes context.

        Raises:
            SageMakerJobFailed: the job failed or was stopped.
            JobNameTaken: there is a job of that name from another request.
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
        """Run a job to its end like :meth:`run`, but do not raise if it failed.

        Args:
            context: of the op or asset.
            request: see :meth:`run`; with ``attach``, only the name in it is used.
            job_kind: training, processing or tuning.
            extras: for the job's Pipes context.
            attach: whether the job is known to exist.

        Raises:
            JobNameTaken: there is a job of that name from another request.
            dg.Failure: SageMaker would refuse the environment, or the job was deleted.
            botocore.exceptions.ClientError: SageMaker refuses the job.
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
        """Launch the job; False if it exists already.

        Args:
            jobs: of its kind.
            request: the caller's.
            full: the request with this run's Pipes variables and tags.

        Raises:
            JobNameTaken: there is a job of that name from another request.
        """
        from botocore.exceptions import ClientError

        try:
            jobs.create(full)
        except ClientError as error:
            if not is_in_use(error):
                raise
        else:
            return True
        # Another run launched it, or our first call arrived and only its answer was lost.
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
                f"there is a {jobs.kind} job {name} already ({state.status}), and its request "
                f"differs: {'; '.join(others)}. SageMaker does not allow a name to be used again: "
                "give this job another name, or the same request",
                allow_retries=False,
            )
        return False

    def _watch(self, context: Context, jobs: SageMakerJobs, name: str, logs: JobLogs) -> JobState:
        """Poll the job until it has ended: one Describe call and one call for its log each time."""
        from botocore.exceptions import BotoCoreError, ClientError

        began = answered = time.monotonic()
        reported = ""
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
            if not seen and state.status != reported:
                reported = state.status
                context.log.info(f"[pipes] {name}: {reported}")
            if state.ended:
                return state
            if self._give_up and state.status != "Stopping" and self._give_up(state):
                self._stop(context, jobs, name)
            if state.secondary not in _SILENT:
                self._read_logs(context, logs)
            self._pause(time.monotonic() - began, state)

    def _stop(self, context: Context, jobs: SageMakerJobs, name: str) -> None:
        """Stop the job; if SageMaker does not answer, the next poll tries again."""
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
        """Read part of the log; a failure is only logged."""
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

    return boto3.client(service)  # type: ignore[call-overload] # a name at run time

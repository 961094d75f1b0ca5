"""Running one SageMaker job: find or launch it, wait, check how it ended, take its outputs."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster_pipes import encode_param

from object_store.errors import StoreError
from object_store.store import ObjectStore
from resources.aws.errors import error_message, is_permanent
from resources.compute.failures import Context, JobFailed, script_failure
from resources.compute.job_spec import JobSpec
from resources.compute.outputs import record_key
from resources.compute.pipes import StoreContextInjector, StoreMessageReader, is_complete
from resources.compute.sagemaker.inputs import bring_inputs
from resources.compute.sagemaker.launches import (
    SageMakerLaunch,
    attempt_name,
    has_waited,
    is_taken,
    mark_taken,
    mark_waited,
    newest_launch,
    read_launch,
    write_launch,
)
from resources.compute.sagemaker.machines import JobResources, TrainingResources
from resources.compute.sagemaker.requests import (
    JobPlaces,
    JobSettings,
    NotConfigured,
    processing_request,
    training_request,
)
from resources.compute.sagemaker_pipes.client import EndedJob, JobNameTaken, PipesSageMakerClient
from resources.compute.sagemaker_pipes.environment import check_environment
from resources.compute.sagemaker_pipes.jobs import JobState, SageMakerJobs
from resources.compute.sagemaker_pipes.reports import (
    NO_SPOT_CAPACITY,
    failure_of,
    job_facts,
    job_metadata,
)
from resources.waiting import poll

_STOPPING_S = 300.0
"""Seconds to wait for the end of a job that is being stopped: SageMaker gives it 120 s to save its
work, then uploads it."""


class SageMakerAttempt:
    """Runs one job on SageMaker for one Dagster run.

    Attributes:
        reattached: the job was running already.
        reused: another orchestrator finished the job meanwhile.
    """

    def __init__(
        self,
        context: Context,
        spec: JobSpec,
        store: ObjectStore,
        clients: tuple[Any, Any],
        settings: JobSettings,
        resources: JobResources,
        options: Mapping[str, Any],
    ) -> None:
        """Prepare; nothing is called yet.

        Args:
            context: Dagster's.
            spec: the job.
            store: a bucket.
            clients: boto3's for ``sagemaker`` and ``logs``.
            settings: what all jobs of the deployment share.
            resources: instances and time limits of this job.
            options: of :class:`PipesSageMakerClient`; and ``messages_s``, seconds between two polls
                for Pipes messages.
        """
        self._context, self._spec, self._store = context, spec, store
        self._clients, self._settings, self._resources = clients, settings, resources
        self._options = dict(options)
        self._messages_s = float(self._options.pop("messages_s"))
        self._jobs = SageMakerJobs(clients[0], spec.kind)
        self.reattached = self.reused = False

    def run(self) -> None:
        """Run the job to its end and store its outputs; ``job.json`` is written last.

        Raises:
            JobFailed: the job failed, ran too long or was stopped, or AWS refused a call.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        doing = f"{self._spec.kind} job {self._spec.name}"
        try:
            found = self._find()
            if found is None:
                self.reused = True
                return
            launch, state = found
            reader, ended = self._run(launch, state)
            while self._goes_on_demand(launch, ended.state):
                launch = self._prepare(launch.number + 1)
                reader, ended = self._run(launch, None)
        except (BotoCoreError, ClientError) as error:
            raise JobFailed(
                error_message(error, doing), allow_retries=not is_permanent(error)
            ) from error
        except (FileNotFoundError, NotConfigured) as error:
            raise JobFailed(f"{doing}: {error}", allow_retries=False) from error
        except JobNameTaken as error:  # launched just now; the next try finds out by whom
            raise JobFailed(f"{doing}: {error.description}", allow_retries=True) from error
        self._check(launch, reader, ended)
        self._take(launch, reader, ended.state)

    # --- find ------------------------------------------------------------------------------

    def _find(self) -> tuple[SageMakerLaunch, JobState | None] | None:
        """Find the attempt that runs or is complete, else prepare the next one.

        Returns:
            The attempt and SageMaker's state of it; the state is ``None`` if the attempt has to be
            launched. ``None`` if another orchestrator finished the job meanwhile.
        """
        newest = newest_launch(self._store, self._spec.name)
        number = newest.number if newest else 1
        while True:
            state = self._jobs.describe(attempt_name(self._spec.name, number))
            launch = read_launch(self._store, self._spec.name, number)
            if state is None:
                return self._prepare(number), None
            if self._is_ours(state, number):
                if state.status == "Stopping":
                    state = self._wait_until_stopped(state)
                if not state.ended:
                    self.reattached = True
                    return launch or SageMakerLaunch(number, None), state
                if self._store.exists(record_key(self._spec.name)):
                    return None
                if state.status == "Completed" and launch and self._has_done_it(launch):
                    return launch, state
                self._note_wait(number, state)
            number += 1

    def _is_ours(self, state: JobState, number: int) -> bool:
        """Whether the job writes to this store; another deployment may use the same job name."""
        return state.output_uri.rstrip("/") == self._outputs_uri(number).rstrip("/")

    def _has_done_it(self, launch: SageMakerLaunch) -> bool:
        name = self._spec.name
        return not is_taken(self._store, name, launch.number) and is_complete(
            self._store, name, launch.start_after
        )

    def _wait_until_stopped(self, state: JobState) -> JobState:
        self._context.log.info(f"{state.name} is being stopped: waiting for its end")
        ended = poll(
            lambda: self._jobs.describe(state.name) or state,
            lambda seen: seen.ended,
            deadline=time.monotonic() + _STOPPING_S,
            poll_s=self._options["poll_s"][0],
        )
        if not ended.ended:
            raise JobFailed(f"{state.name} is still stopping: run this again later")
        return ended

    def _prepare(self, number: int) -> SageMakerLaunch:
        """Delete the outputs of earlier attempts and record the new one."""
        for folder in ("output", "processing"):
            prefix = f"models/{self._spec.name}/{folder}"
            self._store.delete_all([info.key for info in self._store.list(prefix)])
        return write_launch(self._store, self._spec.name, number)

    # --- run -------------------------------------------------------------------------------

    def _run(
        self, launch: SageMakerLaunch, state: JobState | None
    ) -> tuple[StoreMessageReader, EndedJob]:
        spec, store = self._spec, self._store
        injector = StoreContextInjector(store, spec.name, write=state is None)
        reader = StoreMessageReader(store, spec.name, launch.start_after, self._messages_s)
        client = PipesSageMakerClient(
            context_injector=injector,
            message_reader=reader,
            client=self._clients[0],
            logs_client=self._clients[1],
            hurry=lambda: reader.closed,
            give_up=lambda now: self._gives_up(launch.number, now),
            **self._options,
        )
        name = attempt_name(spec.name, launch.number)
        request: Mapping[str, Any] = {self._jobs.api.name_key: name}
        if state is None:
            bootstrap = {"CONTEXT": injector.params, "MESSAGES": reader.params}
            encoded = {f"DAGSTER_PIPES_{key}": encode_param(v) for key, v in bootstrap.items()}
            check_environment(spec.kind, name, {**spec.environment, **encoded}, spare=1)
            request = self._request(name, launch.number)
        ended = client.run_to_end(
            context=self._context, request=request, job_kind=spec.kind, attach=state is not None
        )
        lost_race = state is None and ended.attached
        self.reattached = self.reattached or lost_race
        return reader, ended

    def _request(self, name: str, number: int) -> dict[str, Any]:
        places = JobPlaces(
            channels=bring_inputs(self._store, self._spec),
            outputs=self._outputs_uri(number),
            checkpoints=self._store.uri(f"checkpoints/{self._spec.name}"),
        )
        spec, resources, settings = self._spec, self._resources, self._settings
        if isinstance(resources, TrainingResources):
            if self._follows_a_wait(number):
                resources = resources.model_copy(update={"spot": False})
            return training_request(spec, name, resources, settings, places)
        return processing_request(spec, name, resources, settings, places)

    def _outputs_uri(self, number: int) -> str:
        """Return where SageMaker writes: the final place in the first attempt, another later."""
        if self._spec.kind == "training":
            key = "models" if number == 1 else f"models/{self._spec.name}/attempts"
        else:
            key = self._aside(number) if number > 1 else f"models/{self._spec.name}/processing"
        return self._store.uri(key)

    def _aside(self, number: int) -> str:
        folder = "" if self._spec.kind == "training" else "/processing"
        name = attempt_name(self._spec.name, number)
        return f"models/{self._spec.name}/attempts/{name}{folder}"

    # --- spot ------------------------------------------------------------------------------

    def _gives_up(self, number: int, state: JobState) -> bool:
        """Whether a spot job has waited too long for a machine; records it before the job is stopped.

        With the record, any orchestrator launches the next attempt on demand.
        """
        resources = self._resources
        if not (isinstance(resources, TrainingResources) and _is_spot(state)):
            return False
        longest = resources.longest_spot_wait_s
        if longest is None or state.waiting_s <= longest:
            return False
        self._context.log.warning(
            f"{state.name} has had no spot capacity for {state.waiting_s:.0f} s "
            f"(aws.training.spot_wait_s): it is stopped"
        )
        mark_waited(self._store, self._spec.name, number)
        return True

    def _note_wait(self, number: int, state: JobState) -> None:
        """Record it if SageMaker ended a spot job because no capacity came in time."""
        if state.secondary == "MaxWaitTimeExceeded":
            mark_waited(self._store, self._spec.name, number)

    def _gave_up(self, launch: SageMakerLaunch, state: JobState) -> bool:
        """Whether a spot job was stopped, by us or by SageMaker, because no capacity came."""
        stopped = state.status == "Stopped" and _is_spot(state)
        return stopped and has_waited(self._store, self._spec.name, launch.number)

    def _follows_a_wait(self, number: int) -> bool:
        """Whether attempt ``number`` is on demand because the one before found no spot capacity."""
        resources = self._resources
        fallback = isinstance(resources, TrainingResources) and resources.spot_fallback
        return fallback and has_waited(self._store, self._spec.name, number - 1)

    def _goes_on_demand(self, launch: SageMakerLaunch, state: JobState) -> bool:
        """Whether an attempt that has ended is followed by one on demand in the same run.

        The first has ended, so no work is paid for twice. If a machine came at the last moment, the
        next attempt continues from its checkpoint.
        """
        self._note_wait(launch.number, state)
        if not (self._gave_up(launch, state) and self._follows_a_wait(launch.number + 1)):
            return False
        self._context.log.warning(f"{state.name} found no spot capacity: continuing on demand")
        return True

    # --- judge -----------------------------------------------------------------------------

    def _check(self, launch: SageMakerLaunch, reader: StoreMessageReader, ended: EndedJob) -> None:
        """Check that SageMaker completed the job and the job sent its completion message.

        Raises:
            JobFailed: with the script's reason and SageMaker's.
        """
        failure = failure_of(ended.state)
        if failure and self._gave_up(launch, ended.state):
            failure = (NO_SPOT_CAPACITY, True)
        if failure is None and reader.closed and not reader.exception:
            return
        silent = (
            "Completed, but without a completion message: does "
            f"{self._spec.module} use training.container.pipes.open_pipes()?"
        )
        # SageMaker says that it completed: a retry would end the same way, at the same cost.
        theirs, retry = failure or ("Completed" if reader.exception else silent, False)
        script_error = script_failure(reader.exception, failure_file(ended.state))
        reason = f"{script_error.reason}\nSageMaker: {theirs}" if script_error else theirs
        text = f"job {self._spec.name} failed: {reason}"
        if not (script_error and script_error.permanent):
            tail = "\n".join(ended.log_tail) or "(CloudWatch has nothing of it)"
            text += f"\n\n{script_error.stack if script_error else ''}\nThe end of its log:\n{tail}"
        metadata = job_metadata(self._jobs, ended.state, self._options.get("prices"))
        raise JobFailed(text, metadata=metadata, allow_retries=retry)

    # --- take ------------------------------------------------------------------------------

    def _take(self, launch: SageMakerLaunch, reader: StoreMessageReader, state: JobState) -> None:
        """Copy a later attempt's outputs to their final place and write the job's record."""
        spec, store, prices = self._spec, self._store, self._options.get("prices")
        if not store.exists(record_key(spec.name)):
            self._copy_outputs(launch.number)
        details = job_metadata(self._jobs, state, prices)
        if not _is_spot(state) and self._follows_a_wait(launch.number):
            details["capacity"] = dg.MetadataValue.text(
                "on demand, as no spot capacity came in time"
            )
        record = {
            "name": spec.name,
            "kind": spec.kind,
            "module": spec.module,
            "hyperparameters": spec.hyperparameters,
            "started_at": _moment(state.started_at),
            "ended_at": _moment(state.ended_at),
            "seconds": round(state.seconds, 3),
            "metadata": reader.metadata,
            "messages": reader.messages,
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "details": {key: _plain(value) for key, value in details.items()},
            "aws": {"attempt": launch.number, **job_facts(state, prices)},
        }
        store.create(record_key(spec.name), json.dumps(record).encode())
        mark_taken(store, spec.name, launch.number)
        try:
            store.delete_all([info.key for info in store.list(f"checkpoints/{spec.name}")])
        except StoreError as error:  # the bucket's lifecycle does it, too
            self._context.log.warning(f"checkpoints of {spec.name} were not deleted: {error}")

    def _copy_outputs(self, number: int) -> None:
        if number == 1:
            return
        aside = self._aside(number)
        for info in self._store.list(aside):
            relative = info.key.removeprefix(f"{aside}/")
            folder = "" if self._spec.kind == "training" else "processing/"
            self._store.copy_object(info.key, f"models/{self._spec.name}/{folder}{relative}")


def _moment(time: datetime | None) -> str | None:
    return time.astimezone(UTC).isoformat() if time else None


def _is_spot(state: JobState) -> bool:
    return bool(state.description.get("EnableManagedSpotTraining"))


def failure_file(state: JobState) -> str:
    """Return the text of the script's failure file as SageMaker reports it; "" if there is none.

    A training job's is part of FailureReason, ``AlgorithmError: <text>, exit code: 1``, which may
    be cut at 1,024 characters; a processing job's is its ExitMessage.
    """
    if state.exit_message or state.kind == "processing":
        return state.exit_message
    if not state.reason.startswith("AlgorithmError"):
        return ""
    text = state.reason.partition(":")[2].strip()
    message, mark, _ = text.rpartition(", exit code")
    return (message if mark else text).strip().removesuffix(",")


def _plain(value: dg.MetadataValue) -> dict[str, Any]:
    """Convert a metadata value to Pipes' form."""
    kinds = {"UrlMetadataValue": "url", "TextMetadataValue": "text"}
    return {"raw_value": value.value, "type": kinds.get(type(value).__name__, "__infer__")}

"""Run the line's jobs in this process, on the home's Dagster instance."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from filelock import FileLock, Timeout

from assets.challenger.challenger_model import challenge_request
from assets.challenger.jobs import too_few_in
from assets.evaluation.records import newest_evaluation
from assets.line import MODEL_VERSIONS, Line
from assets.model.tuned import challenger_configured, newest_tuned
from assets.policies import TrainingPolicy
from assets.records.challenger_model import ChallengerModelRecord
from assets.records.dataset import DatasetRecord
from assets.records.evaluation_report import EvaluationReportRecord
from assets.records.hyperparameters import HyperparametersRecord
from assets.records.materializations import newest_materialization
from assets.records.trained_model import TrainedModelRecord
from assets.release.verdicts import STAGING_CHECKS, objections
from errors.base import ImgclfError
from imgclf_dagster.decisions import (
    promotion_config,
    promotion_tags,
    undeployed_approvals,
    undone_rejection,
)
from imgclf_dagster.definitions import build_definitions
from imgclf_dagster.home.home import prepare_home
from imgclf_dagster.line.outcome import RunOutcome
from imgclf_dagster.line.progress import Narrator, narrated
from imgclf_dagster.profiles.chosen import build_endpoints
from imgclf_dagster.runs.asking import under_way
from imgclf_dagster.runs.jobs import CHALLENGE, LINE, PROMOTION, RELEASE_CANDIDATE, TUNE
from imgclf_dagster.runs.orphans import process_tag, reap_orphaned_runs
from imgclf_dagster.settings.root import Settings
from object_store.store import ObjectStore
from resources.compute.local.progress import running_jobs_words
from resources.endpoints.endpoint_host import Endpoints
from resources.registry.registry import ModelRegistry

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class RunInProgress(ImgclfError, RuntimeError):
    """Another run of the line is in progress in this home."""


class LineRunner:
    """Runs the line's jobs in this process. Made by :func:`line_runner`.

    Args:
        definitions: the code location.
        instance: the home's Dagster instance.
        store: the home's object store.
        narrator: receives the events of each run.
        await_host: returns once an endpoint host is up.
        look: says what the running jobs of this machine do.
        training: how models are trained by the settings.
    """

    def __init__(
        self,
        definitions: dg.Definitions,
        instance: dg.DagsterInstance,
        store: ObjectStore,
        narrator: Narrator,
        await_host: Callable[[], object],
        look: Callable[[], str],
        training: TrainingPolicy,
    ) -> None:
        """See the class."""
        self._look = look
        self.instance = instance
        self.await_host = await_host
        self._narrator = narrator
        self._repository = definitions.get_repository_def()
        resources: Mapping[str, Any] = definitions.resources or {}
        self.store = store
        self._line: Line = resources["line"]
        self._training = training
        self.registry: ModelRegistry = resources["registry"]
        self.endpoints: Endpoints = resources["endpoints"]

    def run_line(self, start_from: str = "") -> RunOutcome:
        """Run the job from arriving images to an evaluated candidate.

        Args:
            start_from: model whose weights the training starts from; empty: pretrained ones.
        """
        return self.execute(LINE, config=_start_config("trained_model", start_from))

    def candidate(self) -> str | None:
        """Return the newest evaluated model version if it passed its gates, else ``None``."""
        made = newest_materialization(self.instance, self.store, EvaluationReportRecord)
        passed = self.instance.get_dynamic_partitions(str(MODEL_VERSIONS.name))
        return made.model_version if made and made.model_version in passed else None

    def awaits_challenger(self) -> bool:
        """Whether the newest trained model is of recipe auto and has had no such challenger yet."""
        base = newest_materialization(self.instance, self.store, TrainedModelRecord)
        if not self._training.has_challenger or base is None or base.recipe_asked != "auto":
            return False
        known = newest_materialization(self.instance, self.store, ChallengerModelRecord)
        policy = self._training
        tuned = newest_tuned(self.instance, self.store)
        job = challenger_configured(policy, tuned).hyperparameters
        asked = challenge_request(base, job, policy.budget_minutes, self._line)
        if known is None or known.base != base.model_version:
            return True
        return known.request != asked and not known.by_hand

    def challenge(self, start_from: str = "") -> RunOutcome:
        """Train a challenger and compare it; if it is better, evaluate it as the candidate.

        Its reason is in the record of ``challenger_model``.

        Args:
            start_from: model whose weights it starts from; empty: pretrained ones.
        """
        outcome = self.execute(CHALLENGE, config=_start_config("challenger_model", start_from))
        known = newest_materialization(self.instance, self.store, ChallengerModelRecord)
        if not outcome.success or known is None or not known.model_version:
            return outcome  # none was trained, so the evaluation that there is stays
        evaluated = self.execute(LINE, assets=[dg.AssetKey("evaluation_report")])
        outcome.success, outcome.failures = evaluated.success, evaluated.failures
        outcome.seconds |= evaluated.seconds
        return outcome

    def tune(self, config: Mapping[str, Any]) -> RunOutcome:
        """Search hyperparameters on the newest data; ``config`` is that of ``hyperparameters``."""
        return self.execute(TUNE, config={"ops": {"hyperparameters": {"config": dict(config)}}})

    def why_no_challenger(self) -> str:
        """Return why nothing would be fine-tuned on the newest data set; "" if something would."""
        made = newest_materialization(self.instance, self.store, DatasetRecord)
        if made is None or self._training.recipe == "finetune":
            return ""
        if not self._training.has_challenger:
            return f"[training] asks for recipe {self._training.recipe}, and for no challenger"
        return too_few_in(self.store, made.dataset_version)

    def tuned(self) -> HyperparametersRecord | None:
        """Return what the newest search chose; ``None`` if there was none."""
        return newest_tuned(self.instance, self.store)

    def challenger_outcome(self) -> str | None:
        """Return what became of the newest challenger, as a sentence; ``None`` without one."""
        known = newest_materialization(self.instance, self.store, ChallengerModelRecord)
        return known.reason if known else None

    def release(self, version: str) -> RunOutcome | None:
        """Register and stage a model version; ``None`` if it is staged and checked already."""
        return None if self.is_staged(version) else self.execute(RELEASE_CANDIDATE, version)

    def is_staged(self, version: str) -> bool:
        """Whether ``version`` is registered, deployed to staging, and has passed its checks there."""
        evaluation = newest_evaluation(self.store, version)
        current = self.endpoints.readable("staging")
        if evaluation is None or current is None or current.digest != evaluation["digest"]:
            return False
        subject, digest = f"trained_model/{version}", evaluation["digest"]
        registered = {package.model_version for package in self.registry.list()}
        return version in registered and not objections(self.store, subject, STAGING_CHECKS, digest)

    def settle_decisions(self) -> list[RunOutcome]:
        """Carry out the registry's decisions that production does not follow yet.

        Returns:
            The outcomes: first of approvals, the latest first, then of a rollback.
        """
        outcomes = []
        for package in undeployed_approvals(self.endpoints, self.registry):
            outcomes.append(
                self.execute(
                    PROMOTION,
                    package.model_version,
                    promotion_config(package),
                    tags=promotion_tags(package),
                )
            )
            if outcomes[-1].success:
                break  # the newest approval overrides older ones
        rollback = undone_rejection(self.endpoints, self.registry)
        if rollback is not None:
            version, config = rollback
            outcomes.append(
                self.execute(PROMOTION, version, config, [dg.AssetKey("prod_endpoint")])
            )
        return outcomes

    def stay_out_of_the_way(self, asset: str, job_name: str) -> None:
        """Make sure that no unfinished run materializes ``asset``, alone or within ``job_name``.

        Raises:
            RunInProgress: there is such a run.
        """
        # Runs of the daemon and the web UI do not take this home's lock.
        if run_id := under_way(self.instance, {asset}, (job_name,)):
            raise RunInProgress(
                f"run {run_id} makes {asset} already",
                "wait for it to end (or cancel it in Dagster, which `imgclf up` starts)",
            )

    def execute(
        self,
        job_name: str,
        partition: str | None = None,
        config: Mapping[str, Any] | None = None,
        assets: list[dg.AssetKey] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> RunOutcome:
        """Execute a job in this process. A job of a partition waits for an endpoint host first.

        Args:
            job_name: name of the job.
            partition: model version; ``None`` for a job without partitions.
            config: run config.
            assets: materialize only these; ``None`` for all of the job.
            tags: further tags of the run.

        Returns:
            The outcome; a failed run does not raise.

        Raises:
            KeyboardInterrupt: Ctrl-C ended the run.
        """
        if partition is not None:
            self.await_host()
        outcome = RunOutcome(run_id=str(uuid4()), success=False)
        with narrated(self.instance, outcome, self._narrator, self._look):
            result = self._repository.get_job(job_name).execute_in_process(
                instance=self.instance,
                partition_key=partition,
                run_config={**(config or {}), **QUIET},
                asset_selection=assets,
                run_id=outcome.run_id,
                tags={**process_tag(), **(tags or {})},
                raise_on_error=False,
            )
        if outcome.interrupted:  # Dagster catches Ctrl-C, and ends the run as failed
            raise KeyboardInterrupt
        outcome.success = result.success
        return outcome


def _start_config(asset: str, start_from: str) -> dict[str, Any] | None:
    """Return the run config with which an asset's training starts from a model."""
    if not start_from:
        return None
    return {"ops": {asset: {"config": {"start_from": start_from}}}}


def _instance(settings: Settings) -> dg.DagsterInstance:
    """Return the home's Dagster instance, with the output of steps left in the terminal."""
    # Dagster captures that output with two processes for each stream of a step. Ctrl-C in a
    # terminal ends these too, and each prints a traceback.
    in_terminal = {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
    home = str(settings.dagster_home)
    return dg.DagsterInstance.from_ref(
        InstanceRef.from_dir(home, overrides={"compute_logs": in_terminal})
    )


@contextmanager
def line_runner(
    settings: Settings, narrator: Narrator, *, hosted: bool = True
) -> Iterator[LineRunner]:
    """Yield a runner: home prepared, lock held, an endpoint host starting in the background.

    Args:
        settings: the user's settings.
        narrator: receives the events of each run.
        hosted: whether to start an endpoint host; False for jobs that release nothing.

    Raises:
        RunInProgress: another process holds the lock.
    """
    store = prepare_home(settings)
    with ExitStack() as stack:
        lock = FileLock(settings.run_dir / "line.lock")
        try:
            stack.enter_context(lock.acquire(timeout=0))
        except Timeout:
            raise RunInProgress(
                f"another imgclf run is in progress in {settings.home}", "wait for it to end"
            ) from None
        instance = stack.enter_context(_instance(settings))
        reap_orphaned_runs(instance)
        definitions = build_definitions(settings)
        look = partial(running_jobs_words, settings.jobs_dir)
        if not hosted:
            yield LineRunner(
                definitions, instance, store, narrator, lambda: None, look, settings.training
            )
            return
        host = build_endpoints(settings).hosting(log_file=settings.logs_dir / "endpoint-host.log")
        # A host takes seconds to start, and is needed only when something is released.
        pool = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="endpoint-host"))
        with ExitStack() as running:
            started = pool.submit(running.enter_context, host)
            try:
                yield LineRunner(
                    definitions,
                    instance,
                    store,
                    narrator,
                    started.result,
                    look,
                    settings.training,
                )
            finally:
                wait([started])

"""The asset challenger_model: a fine-tuning that may become the candidate in place of the probe."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg
from pydantic import Field, ValidationError, create_model

from assets.challenger.comparison import judge_challenger
from assets.challenger.jobs import compared, planned
from assets.dataset.versions import read_card
from assets.evaluation.champion import find_champion, unless_seen
from assets.evaluation.evaluation_job import renamed_since
from assets.line import OWNERS, Line, fingerprint
from assets.model.export_difference import ExportDifference, export_difference
from assets.model.start_point import START_FROM, StartPoint, find_start
from assets.model.trained_model import (
    TrainedJob,
    hyperparameter_fields,
    run_training,
    weights_identity,
)
from assets.model.tuned import configured, newest_tuned
from assets.policies import TrainingPolicy
from assets.records.challenger_model import ChallengerModelRecord
from assets.records.materializations import record_materialization, require_materialization
from assets.records.trained_model import TrainedModelRecord
from assets.release.verdicts import record_verdict
from assets.retries import retried
from object_store.store import ObjectStore
from resources.compute.compute import Compute
from resources.endpoints.endpoint_host import Endpoints
from resources.registry.registry import ModelRegistry
from training.config import CODE_VERSION, Hyperparameters

KEPT = "kept"
"""Data version of a challenger that does not replace its opponent: nothing that follows changes."""

EXPORT_CHECK = "export_matches_training"


def challenger_config(defaults: Hyperparameters, budget_minutes: float) -> type[dg.Config]:
    """Return the class of the launchpad's form: every hyperparameter, and the budget."""
    fields = hyperparameter_fields(defaults)
    described = TrainingPolicy.model_fields["budget_minutes"]
    fields["budget_minutes"] = (
        float,
        Field(budget_minutes, description=described.description),
    )
    fields["start_from"] = (str, Field("", description=START_FROM))
    config: type[dg.Config] = create_model("ChallengerConfig", __base__=dg.Config, **fields)
    return config


def challenge_request(
    base: TrainedModelRecord, hyperparameters: Hyperparameters, budget_minutes: float, line: Line
) -> str:
    """Identify a challenger by all that decides what becomes of it.

    Args:
        base: the trained model that it is to improve.
        hyperparameters: of the challenger.
        budget_minutes: that it may take.
        line: knows the user's folder of weights.
    """
    weights = weights_identity(hyperparameters, line.weights_dir)
    given = hyperparameters.model_dump()
    return fingerprint([base.model_version, given, weights, budget_minutes, CODE_VERSION])


def build_challenger_model(policy: TrainingPolicy) -> dg.AssetsDefinition:
    """The asset ``challenger_model``, with what ``policy`` makes of it in its launchpad."""
    shown = policy.challenger_job()
    config_type = challenger_config(shown, policy.budget_minutes)

    @dg.asset(
        group_name="training",
        kinds={"pytorch", "lightning"},
        owners=OWNERS,
        code_version=CODE_VERSION,
        deps=["trained_model", "hyperparameters"],
        # Not trained_model's: a model of newer data must not wait for a fine-tuning.
        pool="challenger",
        check_specs=[
            dg.AssetCheckSpec(
                EXPORT_CHECK,
                asset="challenger_model",
                description="On real images, the ONNX graph gives the same probabilities as the "
                "net in training.",
            )
        ],
        description="With recipe auto: a fine-tuning on the data set of trained_model, if a "
        "measured step says that the budget allows it. It is compared with trained_model on the "
        "same test images, and becomes the candidate only if it is better by the gates.",
    )
    @retried
    def challenger_model(
        context: dg.AssetExecutionContext,
        config: config_type,  # type: ignore[valid-type] # a class made at run time
        store: dg.ResourceParam[ObjectStore],
        compute: Compute,
        registry: ModelRegistry,
        endpoints: Endpoints,
        line: dg.ResourceParam[Line],
    ) -> dg.MaterializeResult:
        """Plan, train and compare a challenger of the newest trained model.

        Args:
            context: of the run.
            config: hyperparameters and the budget.
            store: with data sets and models.
            compute: runs the jobs.
            registry: logs the training.
            endpoints: knows the model in production.
            line: the settings.

        Raises:
            dagster.Failure: the hyperparameters are wrong, or a job failed.
        """
        chosen: dict[str, Any] = config.model_dump()  # type: ignore[attr-defined] # of that class
        budget, start_from = chosen.pop("budget_minutes"), chosen.pop("start_from")
        changed = {name for name, one in chosen.items() if one != getattr(shown, name)}
        start = find_start(store, compute, endpoints, start_from) if start_from else None
        try:
            job = Hyperparameters.model_validate({**shown.model_dump(), **chosen})
            given = policy.model_fields_set | changed
            if start is not None:
                job, given = start.given_to(job, given)
            found = configured(job, given, newest_tuned(context.instance, store))
        except ValidationError as error:
            raise dg.Failure(
                f"the configuration of the challenger is wrong: {error}", allow_retries=False
            ) from None
        base = require_materialization(context.instance, store, TrainedModelRecord)
        if found.note:
            context.log.info(found.note)
        request = challenge_request(base, found.hyperparameters, budget, line)
        contest = _Contest(context, store, compute, registry, endpoints, line)
        result = contest.held(base, found.hyperparameters, budget, start)
        context.log.info(result.text)
        by_hand = bool(changed or start or budget != policy.budget_minutes)
        made = result.record(base.model_version, request, by_hand=by_hand)
        record_materialization(context, store, made)
        return result.materialization(compute, found.sources)

    return challenger_model


@dataclass(frozen=True)
class _Result:
    """What became of a challenger.

    Attributes:
        won: whether it is the better candidate.
        reason: why, or why none was trained or compared.
        opponent: model version that it was compared with; empty: with none.
        trained: its job; ``None``: none was trained.
        estimate_s: planned duration of the job in seconds.
        export: the difference between graph and net, as text.
        passed: whether that difference is within its bound.
        jobs: names of the comparisons, the one with ``opponent`` first.
    """

    won: bool
    reason: str
    opponent: str = ""
    trained: TrainedJob | None = None
    estimate_s: float = 0.0
    export: str = "no challenger was trained"
    passed: bool = True
    jobs: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The outcome as a sentence."""
        if self.trained is None:
            return f"no challenger is trained: {self.reason}"
        if self.won:
            return f"challenger {self.trained.name} becomes the candidate: {self.reason}"
        kept = f"; {self.opponent} stays the candidate" if self.opponent else ""
        return f"challenger {self.trained.name} does not become the candidate: {self.reason}{kept}"

    def record(self, base: str, request: str, *, by_hand: bool) -> ChallengerModelRecord:
        """Return what later steps of the graph read.

        Args:
            base: the trained model that it was to improve.
            request: identifies what was asked for.
            by_hand: whether a person chose its configuration.
        """
        trained = self.trained
        return ChallengerModelRecord(
            base=base,
            request=request,
            by_hand=by_hand,
            reason=self.text,
            won=self.won,
            compared_with=self.opponent,
            comparison=self.jobs[0] if self.jobs else "",
            model_version=trained.name if trained else "",
            dataset_version=trained.dataset_version if trained else "",
            digest=trained.digest if trained else "",
        )

    def materialization(self, compute: Compute, sources: Mapping[str, str]) -> dg.MaterializeResult:
        """Return what Dagster keeps of it; ``sources`` says where its configuration came from."""
        trained = self.trained
        shown: dict[str, Any] = {"outcome": self.text, "won": self.won}
        if trained is not None:
            shown |= {
                "compared_with": self.opponent,
                "comparisons": dg.MetadataValue.json(list(self.jobs)),
                "configuration_sources": dg.MetadataValue.json(dict(sources)),
                "planned_seconds": round(self.estimate_s),
                **trained.described(compute),
            }
        checked = dg.AssetCheckResult(
            check_name=EXPORT_CHECK,
            passed=self.passed,
            metadata={"reason": self.export},
        )
        version = trained.digest if trained and self.won else KEPT
        return dg.MaterializeResult(
            data_version=dg.DataVersion(version), metadata=shown, check_results=[checked]
        )


@dataclass(frozen=True)
class _Contest:
    """Trains a challenger and compares it; the attributes are those of the asset's step."""

    context: dg.AssetExecutionContext
    store: ObjectStore
    compute: Compute
    registry: ModelRegistry
    endpoints: Endpoints
    line: Line

    def held(
        self,
        base: TrainedModelRecord,
        hyperparameters: Hyperparameters,
        budget: float,
        start: StartPoint | None,
    ) -> _Result:
        """Plan and train a challenger, and compare it with the newest trained model.

        Args:
            base: the trained model that it is to improve.
            hyperparameters: of the challenger.
            budget: minutes that its job may take.
            start: model whose weights it starts from; ``None``: pretrained ones.
        """
        plan = planned(
            self.context,
            self.store,
            self.compute,
            hyperparameters,
            base=base.model_version,
            dataset_version=base.dataset_version,
            budget_minutes=budget,
        )
        if not plan.epochs:
            return _Result(False, plan.reason)
        self.context.log.info(f"fine-tuning {hyperparameters.architecture}: {plan.reason}")
        trained = run_training(
            self.context,
            self.store,
            self.compute,
            self.registry,
            self.line,
            hyperparameters.model_copy(update={"epochs": plan.epochs}),
            base.dataset_version,
            start=start,
            background=True,
        )
        return self._compared(trained, plan.seconds)

    def _compared(self, trained: TrainedJob, estimate_s: float) -> _Result:
        # A newer model may have been trained meanwhile.
        other = require_materialization(self.context.instance, self.store, TrainedModelRecord)
        difference, passed = self._export(trained)
        text = difference.text(self.line.gates.max_export_difference)
        found = _Result(False, "", other.model_version, trained, estimate_s, text, passed)
        if other.digest == trained.digest:
            return replace(found, reason="it is the same model")
        if why := self._unlike(trained.dataset_version, other.dataset_version):
            return replace(found, reason=why, opponent="")
        mine = (trained.digest, self.compute.model_key(trained.name))
        theirs = (other.model_version, other.digest, self.compute.model_key(other.model_version))
        report, job = compared(
            self.context,
            self.store,
            self.compute,
            challenger=mine,
            other=theirs,
            dataset_version=other.dataset_version,
        )
        champion, job_of_champion = self._beside_champion(trained)
        won, reason = judge_challenger(report, champion, self.line.gates, difference)
        jobs = (job, *([job_of_champion] if job_of_champion else []))
        return replace(found, won=won, reason=reason, jobs=jobs)

    def _export(self, trained: TrainedJob) -> tuple[ExportDifference, bool]:
        """Compare the graph with the net, and record the verdict that a release asks for."""
        key = self.compute.model_key(trained.name)
        difference = export_difference(self.store, key, trained.outputs)
        bound = self.line.gates.max_export_difference
        verdict = record_verdict(
            self.store,
            subject=f"trained_model/{trained.name}",
            check=EXPORT_CHECK,
            passed=difference.within(bound),
            digest=trained.digest,
            reason=difference.text(bound),
            numbers={"largest_difference": difference.largest, "images": difference.images},
        )
        return difference, verdict.passed

    def _unlike(self, mine: str, newest: str) -> str:
        """Return why models of two data sets cannot be compared; "" if they can."""
        if mine == newest:
            return ""
        trained, tested = read_card(self.store, mine), read_card(self.store, newest)
        differing = [
            what
            for what in ("task", "labels", "generation")
            if trained.get(what) != tested.get(what)
        ]
        if not differing:
            return ""
        return (
            f"the data set changed meanwhile ({', '.join(differing)}), so it cannot be compared "
            "with the newest model"
        )

    def _beside_champion(self, trained: TrainedJob) -> tuple[Mapping[str, Any] | None, str]:
        """Evaluate it beside the model in production, if there is one: its gates come next."""
        version = trained.dataset_version
        found = find_champion(self.store, self.endpoints, trained.digest)
        champion = unless_seen(self.store, found, version).record
        if champion is None:
            return None, ""
        labels = read_card(self.store, version)["labels"]
        return compared(
            self.context,
            self.store,
            self.compute,
            challenger=(trained.digest, self.compute.model_key(trained.name)),
            other=(champion.model_version, champion.digest, champion.model_key),
            dataset_version=version,
            renamed=renamed_since(self.store, self.line.labels, champion, labels),
        )

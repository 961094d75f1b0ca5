"""Evaluation of the candidate and the champion on the same test split."""

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from assets.dataset.versions import read_card
from assets.evaluation.candidate import Candidate, require_candidate
from assets.evaluation.certainty import (
    certainty,
    cross_validated_numbers,
    read_cross_validation,
)
from assets.evaluation.champion import ITSELF, NONE_YET, Champion, find_champion, unless_seen
from assets.evaluation.evaluation_job import (
    champion_answers,
    evaluated_before,
    evaluation_job,
    known_features,
    renamed_since,
)
from assets.evaluation.records import newest_evaluation, record_evaluation
from assets.evaluation.report_metadata import PICTURES, champion_scores, report_metadata, scores
from assets.evaluation.scores import too_few
from assets.line import OWNERS, Line, fingerprint
from assets.records.evaluation_report import EvaluationReportRecord
from assets.records.materializations import record_materialization
from assets.retries import retried
from object_store.contents.damage import DamagedObject
from object_store.contents.reading import parse_object
from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from resources.compute.compute import Compute
from resources.compute.job_spec import JobSpec
from resources.endpoints.endpoint_host import Endpoints
from resources.registry.registry import ModelRegistry
from serving.deployments import DeploymentRecord
from training.config import CODE_VERSION
from training.evaluation.report import EvaluationReport


@dg.asset(
    group_name="evaluation",
    kinds={"onnx", "mlflow"},
    owners=OWNERS,
    code_version=CODE_VERSION,
    deps=["trained_model", "challenger_model"],
    description="Metrics of the candidate on the test split, in all and for each class, compared "
    "with the model in production, with pictures of the worst mistakes.",
)
@retried
def evaluation_report(
    context: dg.AssetExecutionContext,
    store: dg.ResourceParam[ObjectStore],
    compute: Compute,
    registry: ModelRegistry,
    endpoints: Endpoints,
    line: dg.ResourceParam[Line],
) -> dg.MaterializeResult:
    """Evaluate the candidate on the test split and record the result.

    Args:
        context: Dagster's context.
        store: the object store.
        compute: where jobs run.
        registry: the model registry.
        endpoints: where models are served.
        line: the settings of the line.

    Returns:
        The metrics, pictures and gates of the evaluation, as metadata.
    """
    model = require_candidate(context.instance, store)
    if model.challenger:
        context.log.info(model.challenger)
    card = read_card(store, model.dataset_version)
    found = unless_seen(store, find_champion(store, endpoints, model.digest), model.dataset_version)
    if found.record is None and found.why_none != NONE_YET:
        context.log.warning(found.why_none)
    spec = _job(store, compute, line, model, card, found.record)
    spec.channels.update(known_features(store, evaluated_before(context.instance, store)))
    result = compute.run(context, spec)
    outputs = compute.outputs(spec.name, spec.kind)
    key = f"models/{spec.name}/processing/report.json"
    report = parse_object(store, key, outputs["report.json"], EvaluationReport)
    known = _known(context, store, model.model_version, spec.name)
    if known is None:
        run = _log_to_registry(registry, model.model_version, spec, report, outputs)
    else:
        run = known["evaluation_run"]
        if found.why_none == ITSELF:
            # The reason recorded then: a release of the model since does not change its evaluation.
            found = Champion(None, str(known.get("no_champion", NONE_YET)))
    cross = read_cross_validation(store, compute, model.model_version)
    uncertain = certainty(report, _test_share(card), cross)
    if uncertain:
        context.log.warning(too_few(report))
    evaluation = _Evaluation(model, card, spec.name, report, found, run, cross)
    record_evaluation(store, model.model_version, evaluation.record(compute))
    record_materialization(context, store, evaluation.materialization())
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint({"job": spec.name, "digest": model.digest})),
        metadata={
            "model_version": model.model_version,
            "made_by": model.asset,
            **({"challenger": model.challenger} if model.challenger else {}),
            "digest": model.digest,
            "dataset_version": model.dataset_version,
            "job": spec.name,
            "reused": result.reused,
            "seconds": round(result.seconds, 1),
            **result.details,
            "evaluation_run": run,
            **report_metadata(report, found, outputs, spec.name),
            **uncertain,
        },
    )


@dataclass(frozen=True)
class _Evaluation:
    """One evaluation, as it is recorded.

    Attributes:
        model: the candidate.
        card: the card of its data set.
        job: name of the evaluation's job.
        report: content of the job's ``report.json``.
        champion: the champion, or why there is none.
        run: id of the registry's run with the scores.
        cross: cross-validated scores, if the training job made some.
    """

    model: Candidate
    card: Mapping[str, Any]
    job: str
    report: Mapping[str, Any]
    champion: Champion
    run: str
    cross: Mapping[str, Any] | None

    def record(self, compute: Compute) -> dict[str, Any]:
        """Return the record that is kept with the model."""
        champion = self.champion.record
        return {
            "job": self.job,
            "model_version": self.model.model_version,
            "digest": self.model.digest,
            "model_key": compute.model_key(self.model.model_version),
            "dataset_version": self.model.dataset_version,
            "code_version": CODE_VERSION,
            "task": self.card["task"],
            "labels": self.card["labels"],
            "metrics": {
                **scores(self.report),
                **(cross_validated_numbers(self.cross, self.card["task"]) if self.cross else {}),
            },
            "evaluation_run": self.run,
            "champion": champion.model_version if champion else "",
            "no_champion": self.champion.why_none,
        }

    def materialization(self) -> EvaluationReportRecord:
        """Return what later steps of the graph read."""
        champion = self.champion
        return EvaluationReportRecord(
            model_version=self.model.model_version,
            digest=self.model.digest,
            job=self.job,
            no_champion=champion.why_none if champion.record is None else None,
        )


def _job(
    store: ObjectStore,
    compute: Compute,
    line: Line,
    model: Candidate,
    card: Mapping[str, Any],
    champion: DeploymentRecord | None,
) -> JobSpec:
    """Describe the job that evaluates the candidate and, if there is one, the champion.

    Args:
        store: object store of the project.
        compute: runs the job.
        line: has the label schema.
        model: the candidate.
        card: the card of the data set that it was trained on.
        champion: the champion's deployment, or ``None``.
    """
    models = {"model": compute.model_key(model.model_version)}
    if champion is not None:
        models["champion"] = champion.model_key
    renamed = renamed_since(store, line.labels, champion, card["labels"])
    champion_digest = champion.digest if champion else ""
    spec = evaluation_job(card, model.digest, champion_digest, models, renamed=renamed)
    if champion is not None:
        spec.channels.update(champion_answers(store, champion))
    return spec


def _test_share(card: Mapping[str, Any]) -> float:
    """Return the share of labelled images that become test images; 0 if the card does not say."""
    return float(card.get("split_policy", {}).get("test", 0.0))


def _known(
    context: dg.AssetExecutionContext, store: ObjectStore, version: str, job: str
) -> dict[str, Any] | None:
    """Return the newest evaluation record of a model if it is of this job, else ``None``."""
    try:
        known = newest_evaluation(store, version)
    except DamagedObject as damage:
        context.log.warning(f"{damage.key} is damaged ({damage.flaw}): a new record is written")
        return None
    return known if known is not None and known["job"] == job else None


def _log_to_registry(
    registry: ModelRegistry,
    version: str,
    spec: JobSpec,
    report: Mapping[str, Any],
    outputs: Mapping[str, bytes],
) -> str:
    with tempfile.TemporaryDirectory(prefix="imgclf-") as scratch:
        files = {}
        for name in ("report.json", *PICTURES):
            with suppress(DamagedObject, KeyMissing):  # the report was read above
                data = outputs[name]
                files[name] = Path(scratch) / name
                files[name].write_bytes(data)
        return registry.log_evaluation(
            version,
            params={"job": spec.name, "dataset_version": str(report["dataset_version"])},
            metrics={**scores(report), **champion_scores(report)},
            artifacts=files,
        )

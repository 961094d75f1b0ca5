"""Evaluation of the candidate and the champion on the same test split."""

import json
import tempfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from assets import markdown
from assets.annotations.label_names import label_names
from assets.dataset.build import read_card
from assets.evaluation.champion import ITSELF, NONE_YET, Champion, find_champion, unless_seen
from assets.evaluation.gates import evaluate_gates
from assets.evaluation.records import newest_evaluation, record_evaluation
from assets.line import MODEL_VERSIONS, OWNERS, Line, fingerprint
from assets.model.trained_model import dataset_channel
from assets.pictures import ornament, picture
from assets.records.evaluation_report import EvaluationReportRecord
from assets.records.materializations import record_materialization, require_materialization
from assets.records.trained_model import TrainedModelRecord
from assets.retries import retried
from labelling.labels.schema import LabelSchema
from object_store.contents.damage import DamagedObject
from object_store.contents.reading import parse_object
from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from resources.compute.compute import Compute
from resources.compute.job_names import job_name
from resources.compute.job_spec import Channel, JobSpec
from resources.endpoints.endpoint_host import Endpoints
from resources.registry.registry import ModelRegistry
from serving.deployments import DeploymentRecord
from training.config import CODE_VERSION
from training.evaluation.report import EvaluationReport

PICTURES = ("confusion_matrix.png", "mistakes.png", "per_class.png", "reliability.png")
HEADLINES = ("accuracy", "macro_f1", "log_loss", "calibration_error")
SET_ASIDE_SHOWN = 50


@dg.asset(
    group_name="evaluation",
    kinds={"onnx", "mlflow"},
    owners=OWNERS,
    code_version=CODE_VERSION,
    deps=["trained_model"],
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
    """Evaluate the newest trained model and record what came out."""
    model = require_materialization(context.instance, store, TrainedModelRecord)
    version, digest, dataset_version = model.model_version, model.digest, model.dataset_version
    card = read_card(store, dataset_version)
    found = unless_seen(store, find_champion(store, endpoints, digest), dataset_version)
    champion = found.record
    if champion is None and found.why_none != NONE_YET:
        context.log.warning(found.why_none)
    models = {"model": compute.model_key(version)}
    if champion is not None:
        models["champion"] = champion.model_key
    renamed = renamed_since(store, line.labels, champion, card["labels"])
    spec = evaluation_job(
        card, digest, champion.digest if champion else "", models, renamed=renamed
    )
    result = compute.run(context, spec)
    outputs = compute.outputs(spec.name, spec.kind)
    key = f"models/{spec.name}/processing/report.json"
    report = parse_object(store, key, outputs["report.json"], EvaluationReport)
    try:
        known = newest_evaluation(store, version)
    except DamagedObject as damage:
        context.log.warning(f"{damage.key} is damaged ({damage.flaw}): a new record is written")
        known = None
    if known is not None and known["job"] == spec.name:
        run = known["evaluation_run"]
        if found.why_none == ITSELF:
            # The reason recorded then: a release of the model since does not change its evaluation.
            found = Champion(None, str(known.get("no_champion", NONE_YET)))
    else:
        run = _log_to_registry(registry, version, spec, report, outputs)
    record = {
        "job": spec.name,
        "model_version": version,
        "digest": digest,
        "model_key": compute.model_key(version),
        "dataset_version": dataset_version,
        "code_version": CODE_VERSION,
        "task": card["task"],
        "labels": card["labels"],
        "metrics": scores(report),
        "evaluation_run": run,
        "champion": champion.model_version if champion else "",
        "no_champion": found.why_none,
    }
    record_evaluation(store, version, record)
    if all(gate.passed for gate in evaluate_gates(report, line.gates)):
        context.instance.add_dynamic_partitions(str(MODEL_VERSIONS.name), [version])
    made = EvaluationReportRecord(
        model_version=version,
        digest=digest,
        job=spec.name,
        no_champion=found.why_none if found.record is None else None,
    )
    record_materialization(context, store, made)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint({"job": spec.name, "digest": digest})),
        metadata={
            "model_version": version,
            "digest": digest,
            "dataset_version": dataset_version,
            "job": spec.name,
            "reused": result.reused,
            "seconds": round(result.seconds, 1),
            **result.details,
            "test_images": report["n_test"],
            **{name: report[name] for name in HEADLINES},
            "champion": champion.model_version if champion else "none",
            **_of_champion(report, found),
            "scores_by_class": dg.MetadataValue.md(per_class_table(report)),
            "evaluation_run": run,
            **_set_aside(report),
            **_pictures(outputs, spec.name),
        },
    )


def _of_champion(report: Mapping[str, Any], found: Champion) -> dict[str, Any]:
    """Return the champion's scores on the same test images, or why there is no champion."""
    if found.record is None:
        return {"no_champion": found.why_none}
    return _champion_scores(report)


def scores(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the headline scores and the number of test images that they are based on."""
    return {
        **{name: float(report[name]) for name in HEADLINES},
        "test_images": float(report["n_test"]),
    }


def _champion_scores(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the champion's headline scores; empty if there is no champion."""
    champion = report["champion"] or {}
    return {f"champion_{name}": float(champion[name]) for name in HEADLINES if champion}


def _pictures(outputs: Mapping[str, bytes], job: str) -> dict[str, dg.MetadataValue]:
    shown: dict[str, dg.MetadataValue] = {}
    for name in PICTURES:
        if name in outputs:
            link = f"models/{job}/processing/{name}"
            draw = partial(picture, outputs[name], alt=name, link=link)
            shown |= ornament(name.removesuffix(".png"), draw)
    return shown


def _set_aside(report: Mapping[str, Any]) -> dict[str, dg.MetadataValue]:
    """Return a table of the images that could not be read; empty if all could."""
    aside = list(report.get("set_aside", {}).items())[:SET_ASIDE_SHOWN]
    if not aside:
        return {}
    rows = ([markdown.code(key), reason] for key, reason in aside)
    return {"images set aside": dg.MetadataValue.md(markdown.table(["image", "reason"], rows))}


def renamed_since(
    store: ObjectStore,
    schema: LabelSchema,
    champion: DeploymentRecord | None,
    labels: Collection[str],
) -> dict[str, str]:
    """Map the champion's classes that were renamed since its training to their present names.

    Without it a renamed class would count as wrong.

    Args:
        store: object store of the project.
        schema: label schema from the settings.
        champion: the champion's deployment, or ``None``.
        labels: the data set's labels.

    Returns:
        Former name to present name, of present names that are in ``labels``.
    """
    if champion is None:
        return {}
    aliases = label_names(store, schema).aliases
    try:
        known = newest_evaluation(store, champion.model_version) if aliases else None
    except DamagedObject:
        known = None
    theirs = known["labels"] if known else aliases
    found = {old: aliases[old] for old in theirs if old in aliases and old not in labels}
    return {old: new for old, new in sorted(found.items()) if new in labels}


def evaluation_job(
    card: Mapping[str, Any],
    digest: str,
    champion_digest: str,
    models: Mapping[str, str],
    *,
    renamed: Mapping[str, str] | None = None,
) -> JobSpec:
    """Describe the job that evaluates ``models`` on a data set.

    Args:
        card: the data set's card.
        digest: of the candidate's artefact.
        champion_digest: of the champion's artefact; empty if there is none.
        models: channel to key of model.tar.gz.
        renamed: former to present name of the champion's renamed classes.
    """
    called = {"renamed": json.dumps(dict(renamed))} if renamed else {}
    identity = {
        **called,
        "dataset": card["version"],
        "model": digest,
        "champion": champion_digest,
        "code": CODE_VERSION,
    }
    return JobSpec(
        name=job_name("eval", fingerprint(identity)),
        kind="processing",
        module="training.evaluate",
        hyperparameters={"dataset_version": card["version"], **called},
        channels={
            "dataset": dataset_channel(card),
            **{
                name: Channel(prefix=f"{key.rpartition('/')[0]}/", keys=(key,))
                for name, key in models.items()
            },
        },
    )


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
            metrics={**scores(report), **_champion_scores(report)},
            artifacts=files,
        )


def per_class_table(report: Mapping[str, Any]) -> str:
    """Precision, recall and F1 per class as a Markdown table."""
    scores = ("precision", "recall", "f1")
    return markdown.table(
        ["class", "precision", "recall", "F1", "test images"],
        (
            [label, *(f"{row[score]:.3f}" for score in scores), row["support"]]
            for label, row in report["per_class"].items()
        ),
    )

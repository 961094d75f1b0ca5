"""Evaluation: the candidate, and the champion beside it, on the same test split."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from assets.dataset_build import read_card
from assets.evaluation_records import newest_evaluation, record_evaluation
from assets.gates import evaluate_gates
from assets.line import MODEL_VERSIONS, OWNERS, Line, fingerprint, require_metadata
from assets.pictures import picture
from assets.retries import retried
from assets.training import dataset_channel
from resources.compute import Channel, Compute, JobSpec
from resources.endpoint_host import EndpointHost
from resources.job_names import job_name
from resources.model_registry import ModelRegistry
from resources.object_store import ObjectStore
from training.config import CODE_VERSION

PICTURES = ("confusion_matrix.png", "mistakes.png", "per_class.png", "reliability.png")
HEADLINES = ("accuracy", "macro_f1", "log_loss", "calibration_error")


@dg.asset(
    group_name="evaluation",
    kinds={"onnx", "mlflow"},
    owners=OWNERS,
    code_version=CODE_VERSION,
    deps=["trained_model"],
    description="How good the candidate is on the test split, class by class, and how it compares "
    "with the model in production; the worst mistakes as pictures.",
)
@retried
def evaluation_report(
    context: dg.AssetExecutionContext,
    store: ObjectStore,
    compute: Compute,
    registry: ModelRegistry,
    endpoints: EndpointHost,
    line: dg.ResourceParam[Line],
) -> dg.MaterializeResult:
    """Evaluate the newest trained model and record what came out."""
    version = require_metadata(context.instance, "trained_model", "model_version")
    digest = require_metadata(context.instance, "trained_model", "digest")
    dataset_version = require_metadata(context.instance, "trained_model", "dataset_version")
    card = read_card(store, dataset_version)
    champion = endpoints.current("prod")
    if champion is not None and champion.digest == digest:
        champion = None  # a model is not its own rival
    models = {"model": compute.model_key(version)}
    if champion is not None:
        models["champion"] = champion.model_key
    spec = evaluation_job(card, digest, champion.digest if champion else "", models)
    result = compute.run(context, spec)
    outputs = compute.outputs(spec.name, spec.kind)
    report: dict[str, Any] = json.loads(outputs["report.json"])
    known = newest_evaluation(store, version)
    if known is not None and known["job"] == spec.name:
        run = known["evaluation_run"]
    else:
        run = _log_to_registry(registry, version, spec, report, outputs)
    record_evaluation(
        store,
        version,
        {
            "job": spec.name,
            "model_version": version,
            "digest": digest,
            "model_key": compute.model_key(version),
            "dataset_version": dataset_version,
            "code_version": CODE_VERSION,
            "task": card["task"],
            "labels": card["labels"],
            "metrics": {name: report[name] for name in HEADLINES},
            "evaluation_run": run,
        },
    )
    if all(gate.passed for gate in evaluate_gates(report, line.gates)):
        context.instance.add_dynamic_partitions(str(MODEL_VERSIONS.name), [version])
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
            "scores_by_class": dg.MetadataValue.md(per_class_table(report)),
            "evaluation_run": run,
            **{
                name.removesuffix(".png"): picture(
                    outputs[name], alt=name, link=f"models/{spec.name}/processing/{name}"
                )
                for name in PICTURES
                if name in outputs
            },
        },
    )


def evaluation_job(
    card: Mapping[str, Any], digest: str, champion_digest: str, models: Mapping[str, str]
) -> JobSpec:
    """The job that evaluates ``models`` (channel to key of model.tar.gz) on the data set of ``card``."""
    identity = {
        "dataset": card["version"],
        "model": digest,
        "champion": champion_digest,
        "code": CODE_VERSION,
    }
    return JobSpec(
        name=job_name("eval", fingerprint(identity)),
        kind="processing",
        module="training.evaluate",
        hyperparameters={"dataset_version": card["version"]},
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
            if name in outputs:
                files[name] = Path(scratch) / name
                files[name].write_bytes(outputs[name])
        return registry.log_evaluation(
            version,
            params={"job": spec.name, "dataset_version": str(report["dataset_version"])},
            metrics={name: float(report[name]) for name in HEADLINES},
            artifacts=files,
        )


def per_class_table(report: Mapping[str, Any]) -> str:
    """Precision, recall and F1 per class as a Markdown table."""
    lines = ["| class | precision | recall | F1 | test images |", "|---|---|---|---|---|"]
    lines += [
        f"| {label} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} "
        f"| {row['support']} |"
        for label, row in report["per_class"].items()
    ]
    return "\n".join(lines)

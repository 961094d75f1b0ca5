"""The jobs of a challenger: the measurement that plans it, and its comparison with another model."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import dagster as dg
from pydantic import BaseModel, ConfigDict

from assets.challenger.plan import Plan, plan_epochs, too_few_images
from assets.dataset.versions import read_card, read_dataset_manifest
from assets.evaluation.evaluation_job import evaluation_job
from assets.line import fingerprint
from object_store.contents.reading import parse_object
from object_store.store import ObjectStore
from resources.compute.compute import Compute
from resources.compute.job_names import job_name
from resources.compute.job_spec import JobSpec
from resources.compute.outputs import read_job
from training.config import CODE_VERSION, Hyperparameters
from training.evaluation.report import EvaluationReport
from training.step_time import STEP_TIME, StepTime


class _Phases(BaseModel):
    """Of ``metrics.json``, what the plan needs."""

    model_config = ConfigDict(extra="allow")

    seconds_fit: float = 0.0


def too_few_in(store: ObjectStore, dataset_version: str) -> str:
    """Return why a data set has too few images for a challenger; "" if it has enough."""
    splits = _splits(store, dataset_version)
    return too_few_images(splits["train"], splits["test"])


def _splits(store: ObjectStore, dataset_version: str) -> Counter[str]:
    """Count a data set's images by split."""
    return Counter(read_dataset_manifest(store, dataset_version)["split"].to_pylist())


def planned(
    context: dg.AssetExecutionContext,
    store: ObjectStore,
    compute: Compute,
    hyperparameters: Hyperparameters,
    *,
    base: str,
    dataset_version: str,
    budget_minutes: float,
) -> Plan:
    """Plan a challenger by a measured step; runs the measuring job unless it is done.

    Args:
        context: Dagster's context, for logs and Pipes.
        store: object store of the project.
        compute: runs the job.
        hyperparameters: of the challenger.
        base: model version of the trained model, whose job tells what one costs beside its epochs.
        dataset_version: data set to train on.
        budget_minutes: that the challenger's job may take.
    """
    if not budget_minutes:
        return Plan(0, 0.0, "training.budget_minutes is 0")
    splits = _splits(store, dataset_version)
    if too_few := too_few_images(splits["train"], splits["test"]):
        return Plan(0, 0.0, too_few)
    spec = step_time_job(
        hyperparameters,
        read_card(store, dataset_version),
        val_share=round(splits["val"] / splits["train"], 3),
        machine=compute.training_machine,
    )
    context.log.info(f"measuring a step of {hyperparameters.architecture} (job {spec.name})")
    compute.run(context, spec)
    data = compute.open_output(spec.name, STEP_TIME, "training")
    key = f"models/{spec.name}/output/output.tar.gz"
    measured = StepTime.model_validate(parse_object(store, key, data, StepTime))
    epoch_s = measured.epoch_s(splits["train"])
    # A head that starts as a probe costs a forward pass of all images, less than half an epoch.
    head_s = 0.5 * epoch_s if hyperparameters.head_start else 0.0
    return plan_epochs(
        wanted=hyperparameters.epochs,
        epoch_s=epoch_s,
        beside_s=_seconds_beside(store, compute, base) + head_s,
        budget_minutes=budget_minutes,
    )


def _seconds_beside(store: ObjectStore, compute: Compute, model_version: str) -> float:
    """Return the seconds that a training job took for all but its fit."""
    record = read_job(store, model_version)
    data = compute.open_output(model_version, "metrics.json", "training")
    key = f"models/{model_version}/output/output.tar.gz"
    phases = parse_object(store, key, data, _Phases)
    total = float(record["seconds"]) if record else 0.0
    return max(0.0, total - float(phases.get("seconds_fit", 0.0)))


def step_time_job(
    hyperparameters: Hyperparameters, card: Mapping[str, Any], *, val_share: float, machine: str
) -> JobSpec:
    """Describe the job that measures an epoch.

    Args:
        hyperparameters: of the challenger.
        card: of the data set: measured for each anew, as a shared machine has more to do or less.
        val_share: images of the validation split, as a share of the training images.
        machine: what it runs on.
    """
    parameters = hyperparameters.model_copy(update={"weights": "none", "epochs": 2, "seed": 0})
    given = {
        **parameters.to_strings(),
        "task": json.dumps(card["task"]),
        "classes": json.dumps(len(card["labels"])),
        "val_share": json.dumps(val_share),
    }
    identity = {"data": card["version"], "code": CODE_VERSION, "machine": machine, **given}
    return JobSpec(
        # The stage is that of trainings: it must run on their machines, and roles allow the name.
        name=job_name("train", fingerprint({"step_time": identity})),
        kind="training",
        module="training.step_time",
        hyperparameters=given,
    )


def compared(
    context: dg.AssetExecutionContext,
    store: ObjectStore,
    compute: Compute,
    *,
    challenger: tuple[str, str],
    other: tuple[str, str, str],
    dataset_version: str,
    renamed: Mapping[str, str] | None = None,
) -> tuple[dict[str, Any], str]:
    """Evaluate a challenger beside another model on the test images of a data set.

    Args:
        context: Dagster's context, for logs and Pipes.
        store: object store of the project.
        compute: runs the job.
        challenger: its digest and the key of its artefact.
        other: model version, digest and key of the other model.
        dataset_version: whose test split both answer.
        renamed: former to present name of the other model's renamed classes.

    Returns:
        The report, and the job's name.
    """
    digest, key = challenger
    version, other_digest, other_key = other
    spec = evaluation_job(
        read_card(store, dataset_version),
        digest,
        other_digest,
        {"model": key, "champion": other_key},
        renamed=renamed,
    )
    context.log.info(f"comparing with {version} (job {spec.name})")
    compute.run(context, spec)
    data = compute.open_output(spec.name, "report.json", "processing")
    where = f"models/{spec.name}/processing/report.json"
    return parse_object(store, where, data, EvaluationReport), spec.name

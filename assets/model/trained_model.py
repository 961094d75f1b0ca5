"""Training: one job per (data set version, code version, configuration)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import BaseModel, Field, ValidationError, create_model

from assets.dataset.dataset import dataset
from assets.dataset.versions import DATASETS, dataset_prefix, read_card
from assets.line import OWNERS, Line, fingerprint
from assets.model.start_point import CHANNEL, START_FROM, StartPoint, find_start
from assets.model.tracking import TrainingTracker
from assets.model.training_features import (
    checked_bodies_channel,
    features_channel,
    keep_checked_body,
    keep_training_features,
)
from assets.model.tuned import Configured, configured, newest_tuned
from assets.pictures import optional_picture, picture
from assets.policies import TrainingPolicy
from assets.records.dataset import DatasetRecord
from assets.records.hyperparameters import HyperparametersRecord
from assets.records.materializations import record_materialization, require_materialization
from assets.records.trained_model import TrainedModelRecord
from assets.retries import retried
from object_store.contents.reading import parse_object
from object_store.store import ObjectStore
from resources.compute.compute import Compute, JobResult
from resources.compute.job_names import job_name
from resources.compute.job_spec import Channel, JobSpec, LocalChannel
from resources.endpoints.endpoint_host import Endpoints
from resources.registry.registry import ModelRegistry
from training.backbones.weights import find_all_weights, sha256_of_weights, weights_channel_of
from training.config import CODE_VERSION, Hyperparameters
from training.errors import PermanentFailure


class _Metrics(BaseModel):
    """The required fields of ``metrics.json``."""

    digest: str


HISTORY = "history.json"
PICTURES = {"learning curve": "history.png", "augmented batch": "augmented_batch.jpg"}
"""The job's pictures, by their names in the metadata; jobs of older code have only the first."""

LEAST_FALL = 0.02
"""Share by which a validation loss must fall to count as falling; less is noise."""


def training_config(defaults: Hyperparameters) -> type[dg.Config]:
    """Return the class of the launchpad's form: every hyperparameter, with ``defaults``."""
    fields = hyperparameter_fields(defaults)
    fields["dataset_version"] = (
        str,
        Field("", description="Data set version to train on; empty: the newest."),
    )
    fields["start_from"] = (str, Field("", description=START_FROM))
    config: type[dg.Config] = create_model("TrainingConfig", __base__=dg.Config, **fields)
    return config


def hyperparameter_fields(defaults: Hyperparameters) -> dict[str, Any]:
    """Return the fields of a launchpad's form, for ``pydantic.create_model``."""
    described = type(defaults).model_fields
    return {
        name: (
            described[name].annotation,
            Field(getattr(defaults, name), description=described[name].description),
        )
        for name in Hyperparameters.model_fields
        if name != "parent_digest"  # start_from sets it
    }


def build_trained_model(policy: TrainingPolicy) -> dg.AssetsDefinition:
    """The asset ``trained_model``, with ``policy`` in its launchpad."""
    config_type = training_config(policy)

    @dg.asset(
        group_name="training",
        kinds={"pytorch", "lightning"},
        owners=OWNERS,
        code_version=CODE_VERSION,
        deps=[dataset, "hyperparameters"],
        pool="training",
        description="A model artefact (ONNX, weights, manifest), trained by a job whose name is a "
        "hash of data, code and configuration: the same three are never trained twice.",
    )
    @retried
    def trained_model(
        context: dg.AssetExecutionContext,
        config: config_type,  # type: ignore[valid-type] # a class made at run time
        store: dg.ResourceParam[ObjectStore],
        compute: Compute,
        registry: ModelRegistry,
        endpoints: Endpoints,
        line: dg.ResourceParam[Line],
    ) -> dg.MaterializeResult:
        """Train a model, unless the same one exists.

        Args:
            context: of the run.
            config: hyperparameters, and optionally a data set version and a model to start from.
            store: with the data sets.
            compute: runs the training job.
            registry: logs the training.
            endpoints: know the champion.
            line: the settings.

        Raises:
            dagster.Failure: the hyperparameters are wrong, or the job failed.
        """
        chosen: dict[str, Any] = config.model_dump()  # type: ignore[attr-defined] # of that class
        named, start_from = chosen.pop("dataset_version"), chosen.pop("start_from")
        version = named or _newest_data_set(context, store)
        start = find_start(store, compute, endpoints, start_from) if start_from else None
        asked, chosen_for = _configuration(
            policy, chosen, start, newest_tuned(context.instance, store)
        )
        for note in (_auto_text(asked) if asked.recipe == "auto" else "", chosen_for.note):
            if note:
                context.log.info(note)
        hyperparameters = chosen_for.hyperparameters
        trained = run_training(
            context, store, compute, registry, line, hyperparameters, version, start=start
        )
        made = TrainedModelRecord(
            model_version=trained.name,
            dataset_version=version,
            dataset_named=bool(named),
            digest=trained.digest,
            recipe_asked=asked.recipe,
            epochs_too_few=_epochs_too_few(hyperparameters, trained.outputs),
        )
        record_materialization(context, store, made)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(trained.digest),
            metadata={
                "dataset_named": bool(named),
                "recipe_asked": asked.recipe,
                "configuration_sources": dg.MetadataValue.json(dict(chosen_for.sources)),
                **({"started_from": start.model_version} if start else {}),
                **trained.described(compute),
            },
        )

    return trained_model


def _configuration(
    policy: TrainingPolicy,
    chosen: Mapping[str, Any],
    start: StartPoint | None,
    tuned: HyperparametersRecord | None,
) -> tuple[TrainingPolicy, Configured]:
    """Combine the settings with what the launchpad, a model to start from and a search say.

    Args:
        policy: the settings.
        chosen: the launchpad's hyperparameters.
        start: the model to start from.
        tuned: what the newest search found.

    Returns:
        What is asked for, and the configuration of the first job.

    Raises:
        dagster.Failure: the hyperparameters are wrong.
    """
    # What the form shows unchanged is not set: it would not follow another recipe.
    changes = {name: one for name, one in chosen.items() if one != getattr(policy, name)}
    try:
        asked = policy.with_changes(changes)
        job, given = asked.first_job(), set(asked.model_fields_set)
        if start is not None:
            job, given = start.given_to(job, given)
        return asked, configured(job, given, tuned)
    except ValidationError as error:
        raise dg.Failure(
            f"the training configuration is wrong: {error}", allow_retries=False
        ) from None


def _auto_text(asked: TrainingPolicy) -> str:
    """Describe what recipe ``auto`` trains now and afterwards."""
    if asked.weights == "none":
        return (
            'recipe "auto" with weights = "none": a small net is trained from scratch, which suits '
            "images unlike photos; nothing is fine-tuned"
        )
    if not asked.budget_minutes:
        return 'recipe "auto" with budget_minutes = 0: a probe, and no fine-tuning after it'
    return (
        'recipe "auto": a probe now; then, as a challenger, a fine-tuning of at most '
        f"{asked.budget_minutes:g} minutes (training.budget_minutes)"
    )


def _newest_data_set(context: dg.AssetExecutionContext, store: ObjectStore) -> str:
    return require_materialization(context.instance, store, DatasetRecord).dataset_version


@dataclass(frozen=True)
class TrainedJob:
    """A training job that is done.

    Attributes:
        name: of the job, and of the model version.
        dataset_version: the data set that it was trained on.
        hyperparameters: of the job.
        digest: sha256 of the artefact (hex).
        metrics: content of ``metrics.json``.
        outputs: its files other than the model, by name.
        result: how it ran.
        tracked: metadata on its run in MLflow.
    """

    name: str
    dataset_version: str
    hyperparameters: Hyperparameters
    digest: str
    metrics: Mapping[str, Any]
    outputs: Mapping[str, bytes]
    result: JobResult
    tracked: Mapping[str, str]

    def described(self, compute: Compute) -> dict[str, Any]:
        """Return what a person wants to see of it."""
        return {
            "model_version": self.name,
            "dataset_version": self.dataset_version,
            "digest": self.digest,
            "model": compute.model_key(self.name),
            "reused": self.result.reused,
            "reattached": self.result.reattached,
            "seconds": round(self.result.seconds, 1),
            "configuration": dg.MetadataValue.json(self.hyperparameters.used()),
            **_numbers(self.metrics),
            **self.result.details,
            **self.tracked,
            **_history(self.outputs, self.name),
        }


def run_training(
    context: dg.AssetExecutionContext,
    store: ObjectStore,
    compute: Compute,
    registry: ModelRegistry,
    line: Line,
    hyperparameters: Hyperparameters,
    version: str,
    *,
    start: StartPoint | None = None,
    background: bool = False,
) -> TrainedJob:
    """Run the training job for a data set, or reuse its output if the same job ran before.

    Args:
        context: Dagster's context, for logs and Pipes.
        store: object store of the project.
        compute: runs the job.
        registry: logs the training.
        line: the settings.
        hyperparameters: of the training.
        version: data set version.
        start: model that it starts from, whose digest is in ``hyperparameters``.
        background: whether it leaves the cores of this machine to others that want them.

    Raises:
        dagster.Failure: there is no such data set version, or the job failed (``JobFailed``).
    """
    if not store.exists(f"{dataset_prefix(version)}card.json"):
        raise dg.Failure(
            f"there is no data set version {version!r} in {store.url}; leave dataset_version "
            "empty for the newest",
            allow_retries=False,
        )
    card = read_card(store, version)
    spec = training_job(hyperparameters, card, line.weights_dir)
    spec.channels.update(features_channel(context, store, hyperparameters, version))
    spec.channels.update(checked_bodies_channel(context, store, hyperparameters))
    if start is not None:
        spec.channels[CHANNEL] = start.channel
        context.log.info(f"it starts from the weights of {start.model_version}")
    if background:
        spec = spec.model_copy(update={"background": True})
    context.log.info(f"training job {spec.name}: {hyperparameters.recipe} on data set {version}")
    weights = weights_identity(hyperparameters, line.weights_dir)
    tracker = TrainingTracker(context, registry, spec, hyperparameters, card, weights)
    with tracker.failures_noted():
        result = compute.run(context, spec)
    outputs = compute.outputs(spec.name, spec.kind)
    if not result.reused:
        keep_training_features(context, store, outputs)
        keep_checked_body(context, store, outputs)
    key = f"models/{spec.name}/output/output.tar.gz"
    metrics = parse_object(store, key, outputs["metrics.json"], _Metrics)
    tracked = tracker.log(metrics, outputs, result.times)
    return TrainedJob(
        spec.name, version, hyperparameters, metrics["digest"], metrics, outputs, result, tracked
    )


def training_job(
    hyperparameters: Hyperparameters, card: Mapping[str, Any], weights_dir: Path | None
) -> JobSpec:
    """Describe the training job; its name is a hash of everything that decides its result.

    Args:
        hyperparameters: of the training.
        card: the data set's card.
        weights_dir: the user's folder of pretrained weights; ``None``: there is none.
    """
    version = card["version"]
    weights = weights_identity(hyperparameters, weights_dir)
    identity = {
        "dataset": version,
        "labels": card["labels"],
        "task": card["task"],
        "code": CODE_VERSION,
        "hyperparameters": hyperparameters.used(),
        "weights": weights,
    }
    name = job_name("train", fingerprint(identity))
    return JobSpec(
        name=name,
        kind="training",
        module="training.train",
        hyperparameters={
            **hyperparameters.to_strings(),
            "dataset_version": version,
            "model_version": name,
        },
        channels={"dataset": dataset_channel(card)},
        local_channels=weights_channels(hyperparameters, weights_dir),
    )


def dataset_channel(card: Mapping[str, Any]) -> Channel:
    """Return the data set as a job's input: its manifest, its card and its shards."""
    prefix = dataset_prefix(card["version"])
    return Channel(
        prefix=DATASETS,
        keys=(
            f"{prefix}manifest.parquet",
            f"{prefix}card.json",
            *(f"{DATASETS}{name}" for name in card["shards"]),
        ),
    )


def weights_identity(hyperparameters: Hyperparameters, weights_dir: Path | None) -> str:
    """Identify the pretrained weights of a job.

    Returns:
        SHA-256 of each net's file, joined by ``+``; ``torchvision`` for a net whose weights are
        downloaded (by torchvision or timm); empty if none are used.
    """
    files = _weights_files(hyperparameters, weights_dir)
    return "+".join("torchvision" if path is None else sha256_of_weights(path) for path in files)


def weights_channels(
    hyperparameters: Hyperparameters, weights_dir: Path | None
) -> dict[str, LocalChannel]:
    """Return the files of weights that the job needs, by channel; those that are downloaded are left out."""
    return {
        weights_channel_of(number): LocalChannel(folder=str(path.parent), files=(path.name,))
        for number, path in enumerate(_weights_files(hyperparameters, weights_dir))
        if path is not None
    }


def _weights_files(
    hyperparameters: Hyperparameters, weights_dir: Path | None
) -> tuple[Path | None, ...]:
    """Return the file of each net.

    Raises:
        dagster.Failure: an installed file is not the expected one.
    """
    if not hyperparameters.uses_weights:
        return ()
    try:
        return find_all_weights(hyperparameters.architecture, weights_dir)
    except PermanentFailure as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _epochs_too_few(hyperparameters: Hyperparameters, outputs: Mapping[str, bytes]) -> int | None:
    """Return the number of epochs if a net trained from scratch was still learning at their end."""
    if hyperparameters.recipe != "scratch" or HISTORY not in outputs:
        return None
    try:
        losses = [float(epoch["val_loss"]) for epoch in json.loads(outputs[HISTORY])]
    except (KeyError, TypeError, ValueError):  # only a hint depends on it
        return None
    return len(losses) if still_falling(losses) else None


def still_falling(losses: Sequence[float]) -> bool:
    """Whether the loss of the last quarter of epochs is below that of the quarter before.

    Args:
        losses: validation loss after each epoch.
    """
    quarter = len(losses) // 4
    if not quarter:
        return False
    last, before = losses[-quarter:], losses[-2 * quarter : -quarter]
    return sum(last) < (1 - LEAST_FALL) * sum(before)


def _history(outputs: Mapping[str, bytes], job: str) -> dict[str, dg.MetadataValue]:
    shown: dict[str, dg.MetadataValue] = {}
    for name, file in PICTURES.items():
        if file in outputs:
            link = f"models/{job}/output/output.tar.gz:{file}"
            shown |= optional_picture(name, partial(picture, outputs[file], alt=name, link=link))
    return shown

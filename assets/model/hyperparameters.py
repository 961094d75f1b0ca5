"""The asset hyperparameters: the best values of a search, for the next fine-tuning."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import dagster as dg
from pydantic import Field, ValidationError, create_model

from assets.dataset.dataset import dataset
from assets.dataset.versions import dataset_prefix, read_card
from assets.line import OWNERS, Line, fingerprint
from assets.model.search_jobs import KeptSearch, search_with_jobs
from assets.model.search_tracking import SearchTracker
from assets.model.tracking import Times
from assets.model.trained_model import dataset_channel, weights_channels, weights_identity
from assets.pictures import optional_picture, picture
from assets.policies import TrainingPolicy, TuningPolicy
from assets.records.dataset import DatasetRecord
from assets.records.hyperparameters import HyperparametersRecord
from assets.records.materializations import record_materialization, require_materialization
from assets.retries import retried
from object_store.contents.reading import parse_object
from object_store.store import ObjectStore
from resources.compute.compute import Compute, JobResult
from resources.compute.job_names import job_name
from resources.compute.job_spec import JobSpec
from resources.compute.outputs import Metadata
from resources.registry.registry import ModelRegistry
from training.config import CODE_VERSION
from training.tune import SEARCH, Method, SearchResult
from training.tuning.pictures import COORDINATES, HISTORY, IMPORTANCES, RATES
from training.tuning.space import SearchSpace

PICTURES = {
    "optimization history": HISTORY,
    "importances": IMPORTANCES,
    "parallel coordinates": COORDINATES,
    "learning rates": RATES,
}


def tuning_config(defaults: TuningPolicy) -> type[dg.Config]:
    """Return the class of the launchpad's form: the space and its limits, with ``defaults``."""
    fields: dict[str, Any] = {
        name: (
            # Dagster's forms have lists, and no tuples.
            list[_item(name)] if isinstance(getattr(defaults, name), tuple) else field.annotation,  # type: ignore[misc]
            Field(_listed(getattr(defaults, name)), description=field.description),
        )
        for name, field in TuningPolicy.model_fields.items()
    }
    fields["dataset_version"] = (
        str,
        Field("", description="Data set version to search on; empty: the newest."),
    )
    fields["method"] = (
        Method,
        Field(
            "trials",
            description="trials: search all that the space declares; learning_rate: a range test of "
            "the learning rate alone, in some minutes.",
        ),
    )
    config: type[dg.Config] = create_model("TuningConfig", __base__=dg.Config, **fields)
    return config


def _item(name: str) -> type:
    return {"image_sizes": int, "learning_rate": float, "weight_decay": float}.get(name, str)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def build_hyperparameters(tuning: TuningPolicy, training: TrainingPolicy) -> dg.AssetsDefinition:
    """The asset ``hyperparameters``.

    Args:
        tuning: the search, shown in its launchpad.
        training: what is not searched.
    """
    config_type = tuning_config(tuning)

    @dg.asset(
        group_name="training",
        kinds={"optuna", "pytorch"},
        owners=OWNERS,
        code_version=CODE_VERSION,
        deps=[dataset],
        pool="challenger",  # one that takes all cores at a time, and nothing that waits for it
        description="The best hyperparameters for a fine-tuning, found by a search (imgclf tune). "
        "The next fine-tuning uses them wherever the settings say nothing else. Optional: without "
        "a search, defaults count.",
    )
    @retried
    def hyperparameters(
        context: dg.AssetExecutionContext,
        config: config_type,  # type: ignore[valid-type] # a class made at run time
        store: dg.ResourceParam[ObjectStore],
        compute: Compute,
        registry: ModelRegistry,
        line: dg.ResourceParam[Line],
    ) -> dg.MaterializeResult:
        """Search, unless the same search is done.

        Args:
            context: of the run.
            config: the space, its limits, and optionally a data set version.
            store: with the data sets.
            compute: runs the job.
            registry: logs the search.
            line: the settings.

        Raises:
            dagster.Failure: the space is wrong, there is no such data set, or the job failed.
        """
        given: dict[str, Any] = config.model_dump()  # type: ignore[attr-defined] # of that class
        asked = _Asked.of_launchpad(context, store, given, training)
        search = asked.run(context, store, compute, line.weights_dir)
        record_materialization(context, store, search.record(asked.version))
        tracked = search.log(SearchTracker(context, registry, search.spec, asked.card))
        return dg.MaterializeResult(
            data_version=dg.DataVersion(fingerprint(search.found.chosen)),
            metadata={
                **search.described(),
                "dataset_version": asked.version,
                "space": dg.MetadataValue.json(asked.space.model_dump(mode="json")),
                **tracked,
            },
        )

    return hyperparameters


@dataclass(frozen=True)
class _Asked:
    """A search that the launchpad asks for.

    Attributes:
        limits: of the search.
        space: that is searched.
        method: how it searches.
        training: what is not searched.
        card: the card of the data set to search on.
    """

    limits: TuningPolicy
    space: SearchSpace
    method: Method
    training: TrainingPolicy
    card: Mapping[str, Any]

    @property
    def version(self) -> str:
        """Version of the data set."""
        return str(self.card["version"])

    @classmethod
    def of_launchpad(
        cls,
        context: dg.AssetExecutionContext,
        store: ObjectStore,
        given: Mapping[str, Any],
        training: TrainingPolicy,
    ) -> Self:
        """Read the launchpad's form.

        Args:
            context: of the run.
            store: with the data sets.
            given: fields of ``tuning_config``.
            training: what is not searched.

        Raises:
            dagster.Failure: the space is wrong, or there is no such data set.
        """
        fields = dict(given)
        method: Method = fields.pop("method")
        version = fields.pop("dataset_version") or _newest(context, store)
        try:
            limits = TuningPolicy.model_validate(fields)
            space = limits.space(training)
        except ValidationError as error:
            raise dg.Failure(f"the search is wrong: {error}", allow_retries=False) from None
        if not store.exists(f"{dataset_prefix(version)}card.json"):
            raise dg.Failure(f"there is no data set version {version!r} in {store.url}")
        if method == "learning_rate" and len(space.architectures) > 1:
            raise dg.Failure(
                f"a range test is of one net, and [tuning] names {', '.join(space.architectures)}: "
                "search by trials, or name one",
                allow_retries=False,
            )
        return cls(limits, space, method, training, read_card(store, version))

    def run(
        self,
        context: dg.AssetExecutionContext,
        store: ObjectStore,
        compute: Compute,
        weights_dir: Path | None,
    ) -> "_Search":
        """Search, by a job for each trial where the platform runs them, else in one job.

        Args:
            context: of the run.
            store: object store of the project.
            compute: runs the jobs.
            weights_dir: the user's folder of pretrained weights; ``None``: there is none.

        Raises:
            dagster.Failure: the job failed.
        """
        limits, space, training, card = self.limits, self.space, self.training, self.card
        one_net = len(space.architectures) == 1  # the channels of a job have the weights of one
        if self.method == "trials" and one_net and compute.runs_trials_as_jobs:
            kept = search_with_jobs(
                context, store, compute, limits, space, training, card, weights_dir
            )
            return _Search.of_jobs(kept, space)
        spec = search_job(limits, space, training, card, weights_dir, self.method)
        context.log.info(f"search {spec.name} on data set {self.version}")
        return _Search.of_one_job(store, compute, spec, compute.run(context, spec))


@dataclass(frozen=True)
class _Search:
    """A search that is done, however its trials ran.

    Attributes:
        spec: its job, or that of a trial.
        found: its result.
        files: with its pictures and the table of its trials, by name.
        seconds: wall time.
        times: when it began and ended.
        reused: whether it was done before.
        details: links, times, cost.
    """

    spec: JobSpec
    found: SearchResult
    files: Mapping[str, bytes]
    seconds: float
    times: Times
    reused: bool
    details: Metadata

    @classmethod
    def of_jobs(cls, kept: KeptSearch, space: SearchSpace) -> Self:
        """Describe a search with a job for each trial."""
        return cls(
            kept.spec,
            kept.result,
            kept.files(space),
            kept.seconds,
            (None, None),
            kept.reused,
            kept.details,
        )

    @classmethod
    def of_one_job(
        cls, store: ObjectStore, compute: Compute, spec: JobSpec, result: JobResult
    ) -> Self:
        """Describe a search in one job.

        Args:
            store: object store of the project.
            compute: reads the job's outputs.
            spec: the job.
            result: how it ran.
        """
        outputs = compute.outputs(spec.name, spec.kind)
        key = f"models/{spec.name}/output/output.tar.gz"
        found = SearchResult.model_validate(parse_object(store, key, outputs[SEARCH], SearchResult))
        return cls(
            spec, found, outputs, result.seconds, result.times, result.reused, result.details
        )

    def record(self, version: str) -> HyperparametersRecord:
        """Return what later steps of the graph read; ``version`` is that of the data set."""
        return HyperparametersRecord(
            job=self.spec.name,
            dataset_version=version,
            chosen=self.found.chosen,
            val_loss=self.found.val_loss,
            trials=self.found.trials,
        )

    def log(self, tracker: SearchTracker) -> dict[str, Any]:
        """Log the search; return metadata about that."""
        numbers = self.found.model_dump(exclude={"chosen"})
        return tracker.log(
            self.found.chosen, numbers, self.files, self.times, tuple(PICTURES.values())
        )

    def described(self) -> dict[str, Any]:
        """Return what the search found, its pictures, and what it took, as metadata."""
        found = self.found
        return {
            "job": self.spec.name,
            "chosen": dg.MetadataValue.json(found.chosen),
            **({} if found.val_loss is None else {"val_loss": found.val_loss}),
            "trials": found.trials,
            "pruned": found.pruned,
            "failed": found.failed,
            "seconds": round(self.seconds, 1),
            "reused": self.reused,
            **self.details,
            **_pictures(self.files, self.spec.name),
        }


def _newest(context: dg.AssetExecutionContext, store: ObjectStore) -> str:
    return require_materialization(context.instance, store, DatasetRecord).dataset_version


def search_job(
    asked: TuningPolicy,
    space: SearchSpace,
    training: TrainingPolicy,
    card: Mapping[str, Any],
    weights_dir: Path | None,
    method: Method = "trials",
) -> JobSpec:
    """Describe the job of a search; its name is a hash of everything that decides its result.

    Args:
        asked: limits of the search.
        space: with its nets.
        training: what is not searched.
        card: the data set's card.
        weights_dir: the user's folder of pretrained weights; ``None``: there is none.
        method: how it searches.
    """
    base = training.challenger_job().model_copy(update={"architecture": space.architectures[0]})
    nets = base.model_copy(update={"architecture": "+".join(space.architectures)})
    given = {
        **base.to_strings(),
        "method": json.dumps(method),
        "dataset_version": card["version"],
        "space": space.model_dump_json(),
        "trials": json.dumps(asked.trials),
        "seconds": json.dumps(asked.budget_minutes * 60),
    }
    identity = {
        **given,
        "labels": card["labels"],
        "task": card["task"],
        "code": CODE_VERSION,
        "weights": weights_identity(nets, weights_dir),
    }
    # The stage is that of trainings: it must run on their machines, and roles allow the name.
    name = job_name("train", fingerprint({"search": identity}))
    return JobSpec(
        name=name,
        kind="training",
        module="training.tune",
        hyperparameters={**given, "search": name},
        channels={"dataset": dataset_channel(card)},
        local_channels=weights_channels(nets, weights_dir),
        background=True,
    )


def _pictures(outputs: Mapping[str, bytes], job: str) -> dict[str, dg.MetadataValue]:
    shown: dict[str, dg.MetadataValue] = {}
    for title, name in PICTURES.items():
        if name in outputs:
            shown |= optional_picture(title, _drawn(outputs, name, title, job))
    return shown


def _drawn(outputs: Mapping[str, bytes], name: str, title: str, job: str) -> Any:
    link = f"models/{job}/output/output.tar.gz:{name}"
    return lambda: picture(outputs[name], alt=title, link=link)

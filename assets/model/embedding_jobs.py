"""Plan and run the embedding jobs, and read their output into the tables.

One job has one backbone and all models in use that share it. A new probe on the same frozen
backbone reads no image again; only its head is applied.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from assets.ingestion.image_index import RAW
from assets.line import fingerprint
from assets.model.feature_store import (
    EMBEDDINGS,
    PREDICTIONS,
    EmbeddedModel,
    append_features,
    append_probabilities,
    embedded_model,
    likely_backbone,
    record_model,
    stored_features,
    stored_probabilities,
)
from assets.model.models_in_use import ModelInUse, read_model_manifest
from assets.model.trained_model import weights_channels, weights_identity
from object_store.contents.damage import DamagedObject
from object_store.contents.reading import parse_object, parse_rows, read_record
from object_store.contents.vectors import Vectors
from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from resources.compute.compute import Compute
from resources.compute.failures import Context, JobFailed
from resources.compute.job_names import job_name
from resources.compute.job_spec import Channel, JobSpec
from training.config import Hyperparameters
from training.embedding.features import FEATURES_SCHEMA, FEATURES_VERSION, PROBABILITIES_SCHEMA

IMAGES_PER_JOB = 10_000
"""Images that have to be embedded again, at most, after a job without checkpoints died."""

PRETRAINED = f"{EMBEDDINGS}pretrained/"
_OF_THE_NET = ("recipe", "architecture", "weights", "image_size", "resize")


@dataclass(frozen=True)
class Plan:
    """The next job.

    Attributes:
        backbone: name of the backbone, if it is known.
        models: models to apply; empty: the pretrained net alone.
        images: images (sha256) to embed.
        parts: keys of stored features that the job reads: those with an image whose probabilities
            are missing.
    """

    backbone: str | None
    models: tuple[ModelInUse, ...]
    images: tuple[str, ...]
    parts: tuple[str, ...]


@dataclass
class Embedded:
    """What was done.

    Attributes:
        backbone: of the first model in use, or of the pretrained net; empty: there is none.
        jobs: names of the jobs that ran.
        images: number of images that were embedded in this run.
        rejected: images that could not be read (``file`` and ``reason``).
        note: why there are no features; empty otherwise.
        details: metadata of the jobs (links, cost).
    """

    backbone: str = ""
    jobs: list[str] = field(default_factory=list)
    images: int = 0
    rejected: list[dict[str, str]] = field(default_factory=list)
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Embedder:
    """Brings the stored features and probabilities up to date.

    Attributes:
        context: Dagster's context, for logs and Pipes.
        store: object store of the project.
        compute: runs the jobs.
        defaults: recipe and architecture from the settings, used while there is no model.
        weights_dir: folder of the pretrained weights, or ``None``.
        max_pixels: images with more pixels are rejected.
    """

    context: Context
    store: ObjectStore
    compute: Compute
    defaults: Hyperparameters
    weights_dir: Any
    max_pixels: int
    _opened: dict[str, Vectors] = field(default_factory=dict)

    def update(self, models: Sequence[ModelInUse], wanted: Mapping[str, str]) -> Embedded:
        """Run jobs until every wanted image has features, and probabilities of every model.

        Args:
            models: models in use, the first one first; empty: the pretrained net alone.
            wanted: image (sha256) to key.

        Raises:
            JobFailed: a job failed; the results of the jobs before it are kept.
        """
        done = Embedded()
        self._mend(models)
        if not models and self._no_pretrained_net():
            done.note = (
                f'recipe "{self.defaults.recipe}" has no pretrained net to look at images with, '
                "so before there is a model images are chosen at random"
            )
            return done
        tried: dict[str | None, set[str]] = {}
        while (plan := self._next(models, wanted, tried)) is not None:
            try:
                summary = self._run(plan, wanted, done)
            except JobFailed as error:
                if models or "WeightsUnavailable" not in (error.description or ""):
                    raise
                done.note = error.description or ""
                return done
            tried.setdefault(plan.backbone, set()).update(plan.images)
            tried.setdefault(summary["backbone"], set()).update(plan.images)
        done.backbone = self._backbone_of(models[0]) if models else self._pretrained_backbone()
        return done

    def _mend(self, models: Sequence[ModelInUse]) -> None:
        """Set damaged records aside, so that they are written again."""
        warn = self.context.log.warning
        for model in models:
            try:
                embedded_model(self.store, model.model_version)
            except DamagedObject as damage:
                warn(f"{damage.key} is moved to {self.store.set_aside(damage.key)}: {damage.flaw}")

    def _features(self, backbone: str) -> Vectors:
        """Return the features of a backbone, mended, so that what was damaged is computed again."""
        return self._mended(f"{EMBEDDINGS}{backbone}", stored_features(self.store, backbone))

    def _probabilities(self, model_version: str) -> Vectors:
        """Return the probabilities of a model, mended."""
        found = stored_probabilities(self.store, model_version)
        return self._mended(f"{PREDICTIONS}{model_version}", found)

    def _mended(self, prefix: str, vectors: Vectors) -> Vectors:
        if prefix not in self._opened:
            vectors.mend(self.context.log.warning)
            self._opened[prefix] = vectors
        return self._opened[prefix]

    def _no_pretrained_net(self) -> bool:
        return self.defaults.recipe == "scratch" or self.defaults.weights == "none"

    # --- planning --------------------------------------------------------------------------

    def _next(
        self,
        models: Sequence[ModelInUse],
        wanted: Mapping[str, str],
        tried: Mapping[str | None, Collection[str]],
    ) -> Plan | None:
        """Plan the first group of models (by backbone) that lacks something; ``None`` if none does."""
        if not models:
            return self._plan(self._pretrained_backbone() or None, (), wanted, tried)
        groups: dict[str, list[ModelInUse]] = {}
        for model in models:
            groups.setdefault(self._backbone_of(model) or model.model_version, []).append(model)
        for members in groups.values():
            backbone = self._backbone_of(members[0]) or None
            plan = self._plan(backbone, tuple(members), wanted, tried)
            if plan is not None:
                return plan
        return None

    def _plan(
        self,
        backbone: str | None,
        models: tuple[ModelInUse, ...],
        wanted: Mapping[str, str],
        tried: Mapping[str | None, Collection[str]],
    ) -> Plan | None:
        features = self._features(backbone) if backbone else None
        have = _known(features, wanted) if features else set()
        missing = sorted(wanted.keys() - have - set(tried.get(backbone, ())))[:IMAGES_PER_JOB]
        lacking = {model: self._lacking(model, have) for model in models}
        behind = tuple(model for model, images in lacking.items() if images is not None)
        if not missing and not behind:
            return None
        needed = set[str]().union(*(images for images in lacking.values() if images))
        parts = features.keys_of(sorted(needed)) if features else ()
        return Plan(backbone, models if missing else behind, tuple(missing), parts)

    def _lacking(self, model: ModelInUse, images: set[str]) -> set[str] | None:
        """Return those of the images, which have features, that have no probabilities of the model.

        ``None`` if all have, and the model has a record.
        """
        if embedded_model(self.store, model.model_version) is None:
            return images
        return images - _known(self._probabilities(model.model_version), images) or None

    def _backbone_of(self, model: ModelInUse) -> str:
        """Return the model's backbone; of a probe a guess, which the job verifies; empty: unknown."""
        known: EmbeddedModel | None = embedded_model(self.store, model.model_version)
        if known is not None:
            return known.backbone
        manifest = read_model_manifest(self.store, model.model_key)
        if manifest.recipe != "probe":
            return ""
        shape = manifest.architecture, manifest.input_size, manifest.resize
        return likely_backbone(self.store, *shape) or ""

    def _pretrained_backbone(self) -> str:
        """Return the backbone of the pretrained net; empty if it has embedded no image yet."""
        try:
            return read_record(self.store, self._pretrained_key(), _Pretrained).backbone
        except KeyMissing:
            return ""
        except DamagedObject as damage:
            aside = self.store.set_aside(damage.key)
            self.context.log.warning(f"{damage.key} is moved to {aside}: {damage.flaw}")
            return ""

    def _pretrained_key(self) -> str:
        net = {name: getattr(self.defaults, name) for name in _OF_THE_NET}
        if net["resize"] == "squash":  # older versions' keys have no resize
            del net["resize"]
        weights = weights_identity(self.defaults, self.weights_dir)
        return f"{PRETRAINED}{fingerprint([net, weights, *FEATURES_VERSION])}.json"

    # --- running ---------------------------------------------------------------------------

    def _run(self, plan: Plan, wanted: Mapping[str, str], done: Embedded) -> dict[str, Any]:
        spec = self._spec(plan, wanted)
        who = ", ".join(model.model_version for model in plan.models) or "the pretrained net"
        self.context.log.info(f"{who}: {len(plan.images)} images to embed (job {spec.name})")
        result = self.compute.run(self.context, spec)
        summary = self._summary(spec.name)
        self._take(spec.name, summary, is_pretrained=not plan.models)
        for item in summary["rejected"]:
            self.context.log.warning(f"raw/{item['file']} cannot be embedded: {item['reason']}")
        done.jobs.append(spec.name)
        done.images += summary["images"]
        done.rejected += summary["rejected"]
        done.details |= result.details
        return summary

    def _spec(self, plan: Plan, wanted: Mapping[str, str]) -> JobSpec:
        identity: dict[str, Any] = {
            "models": [model.model_version for model in plan.models],
            "images": plan.images,
            "features": plan.parts,
            "code": FEATURES_VERSION,
            "max_pixels": self.max_pixels,
        }
        parameters, weights = {"max_pixels": str(self.max_pixels)}, {}
        if not plan.models:
            identity["net"] = self._pretrained_key()
            net = {name: getattr(self.defaults, name) for name in _OF_THE_NET}
            parameters |= {name: json.dumps(value) for name, value in net.items()}
            weights = weights_channels(self.defaults, self.weights_dir)
        channels = {
            f"model-{number}": Channel(
                prefix=model.model_key.rpartition("/")[0], keys=(model.model_key,)
            )
            for number, model in enumerate(plan.models)
        }
        if plan.images:
            keys = tuple(wanted[image] for image in plan.images)
            channels["images"] = Channel(prefix=RAW, keys=keys)
        if plan.parts:
            channels["features"] = Channel(prefix=EMBEDDINGS, keys=plan.parts)
        return JobSpec(
            name=job_name("embed", fingerprint(identity)),
            kind="processing",
            module="training.embed",
            hyperparameters=parameters,
            channels=channels,
            local_channels=weights,
        )

    def _take(self, job: str, summary: Mapping[str, Any], *, is_pretrained: bool) -> None:
        """Append a job's output to the tables; idempotent."""
        backbone = summary["backbone"]
        features = self._rows(job, "features.parquet", FEATURES_SCHEMA)
        append_features(self._features(backbone), features)
        for version, fields in summary["models"].items():
            rows = self._rows(job, f"probabilities/{version}.parquet", PROBABILITIES_SCHEMA)
            append_probabilities(self._probabilities(version), rows)
            record_model(self.store, version, {"backbone": backbone, **fields})
        for version, fields in summary["strangers"].items():
            record_model(self.store, version, fields)
        if is_pretrained:
            text = json.dumps({"backbone": backbone, "dimension": summary["dimension"]})
            self.store.create(self._pretrained_key(), text.encode())

    def _rows(self, job: str, file: str, schema: pa.Schema) -> pa.Table:
        data = self.compute.open_output(job, file, "processing")
        return parse_rows(self.store, f"models/{job}/processing/{file}", data, schema)

    def _summary(self, job: str) -> dict[str, Any]:
        data = self.compute.open_output(job, "embedding.json", "processing")
        key = f"models/{job}/processing/embedding.json"
        return parse_object(self.store, key, data, _Summary)


def _known(vectors: Vectors, images: Collection[str]) -> set[str]:
    """Return those of the images that have a vector."""
    asked = list(images)
    return {image for image, there in zip(asked, vectors.known(asked), strict=True) if there}


class _Pretrained(BaseModel):
    """Which features the net of the settings gives."""

    model_config = ConfigDict(extra="allow")

    backbone: str


class _Summary(BaseModel):
    """The required fields of ``embedding.json``."""

    backbone: str
    dimension: int
    images: int
    rejected: list[dict[str, str]]
    models: dict[str, dict[str, Any]]
    strangers: dict[str, dict[str, Any]]


def run_details(done: Embedded) -> dict[str, Any]:
    """Return the jobs' metadata (links, cost, names) for Dagster's page."""
    return {**done.details, "jobs": dg.MetadataValue.json(done.jobs)}

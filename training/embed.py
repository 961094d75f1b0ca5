"""The embedding job: ``python -m training.embed``: features and probabilities of raw images.

A processing job. Channels: ``images`` (files of ``raw/``), ``features`` (of earlier jobs, see
``training.embedding.stored``, below a folder of the backbone's name), ``model-0``, ``model-1``
… (one ``model.tar.gz`` each) and ``weights-0`` …. Without a model, the pretrained net of the parameters
``architecture``, ``image_size`` and ``resize`` computes features, and there are no predictions.

Outputs: ``features.parquet`` of ``images``, ``probabilities/<model version>.parquet`` of both, and
``embedding.json``.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from dagster_pipes import PipesContext

from training.artefact.artefact import TORCH_MODEL, ArtefactManifest, digest, unpack
from training.backbones.weights import weights_in
from training.config import Hyperparameters
from training.container.container import JobContainer
from training.container.hardware import yield_cores
from training.container.pipes import open_pipes
from training.container.quick_imports import without_collection
from training.embedding.backbone import backbone_name
from training.embedding.features import (
    FEATURES_SCHEMA,
    PROBABILITIES_SCHEMA,
    probabilities_table,
)
from training.embedding.images import RESULT_SCHEMA, embedded_parts
from training.embedding.stored import Batch, batches, feature_files
from training.errors import ArtefactError, PermanentFailure
from training.images.images import DEFAULT_MAX_PIXELS

if TYPE_CHECKING:
    from training.fitting.architectures import Classifier

FEATURES = "features.parquet"
SUMMARY = "embedding.json"


@dataclass(frozen=True)
class Model:
    """A model: its net (backbone and head) and its manifest."""

    net: "Classifier"
    manifest: ArtefactManifest

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Compute calibrated probabilities from features: float32 [n, d] → float32 [n, labels]."""
        import torch

        with torch.inference_mode():
            logits = self.net.head(torch.from_numpy(features)) / self.manifest.temperature
            single = self.manifest.task == "single_label"
            return (logits.softmax(1) if single else logits.sigmoid()).numpy()


def probabilities_file(model_version: str) -> str:
    """Return the path of the output file with a model's probabilities."""
    return f"probabilities/{model_version}.parquet"


def main() -> None:
    """Run the job in this process's container; writes SageMaker's failure file if it fails."""
    yield_cores()
    with open_pipes() as pipes:
        container = JobContainer.from_environment()
        try:
            summary = embed(container, pipes)
        except Exception as error:
            container.write_failure(f"{type(error).__name__}: {error}")
            raise
        reported = ("backbone", "images", "images_per_second")
        pipes.report_asset_materialization(metadata={name: summary[name] for name in reported})


def embed(container: JobContainer, pipes: PipesContext) -> dict[str, Any]:
    """Embed the images of ``container`` and predict with its models.

    Returns:
        The content of ``embedding.json``: ``backbone``, ``dimension``, ``images``, ``rejected``
        (file and reason), ``images_per_second``, ``models`` (by version: digest, task, labels,
        thresholds) and ``strangers``: the same for models that were left out because their
        ``backbone`` is another.

    Raises:
        PermanentFailure: a model or the weights cannot be used.
    """
    pipes.log.info("loading PyTorch and the model")
    with tempfile.TemporaryDirectory(dir=container.scratch_dir) as scratch:
        models = _models(container, Path(scratch))
    net = models[0].net if models else _pretrained(container)
    architecture = (
        models[0].manifest.architecture if models else _parameters(container).architecture
    )
    backbone = backbone_name(net, architecture)
    strangers = {
        model.manifest.model_version: {"backbone": other, **_described(model)}
        for model in models
        if (other := _name_of(model)) != backbone
    }
    models = [model for model in models if model.manifest.model_version not in strangers]
    began, most = time.monotonic(), _max_pixels(container)
    parts = embedded_parts(net, container, max_pixels=most, pipes=pipes)
    images, rejected = _write_features(parts, container.output_dir / FEATURES)
    seconds = time.monotonic() - began
    for model in models:
        _write_probabilities(model, backbone, container, pipes)
    summary = {
        "backbone": backbone,
        "dimension": net.head.in_features,
        "images": images,
        "rejected": rejected,
        "images_per_second": round(images / seconds, 1) if images else 0.0,
        "models": {model.manifest.model_version: _described(model) for model in models},
        "strangers": strangers,
    }
    text = json.dumps(summary, indent=1, ensure_ascii=False)
    (container.output_dir / SUMMARY).write_text(text, encoding="utf-8")
    return summary


def _name_of(model: Model) -> str:
    return backbone_name(model.net, model.manifest.architecture)


def _parameters(container: JobContainer) -> Hyperparameters:
    """Read the parameters of the pretrained net, which is used while there is no model."""
    return Hyperparameters.from_strings(container.hyperparameters)


def _max_pixels(container: JobContainer) -> int:
    return int(container.hyperparameters.get("max_pixels", DEFAULT_MAX_PIXELS))


def _models(container: JobContainer, scratch: Path) -> list[Model]:
    models: list[Model] = []
    while container.has_channel(name := f"model-{len(models)}"):
        models.append(load_model(container.channel(name), scratch / name))
    return models


def load_model(folder: Path, into: Path) -> Model:
    """Load the model of a channel.

    Args:
        folder: of the channel, with one ``model.tar.gz`` below it.
        into: folder to unpack it to.

    Raises:
        PermanentFailure: there is not exactly one ``model.tar.gz``, or it cannot be loaded.
    """
    with without_collection("torch"):
        import torch

        from training.fitting.architectures import build

    found = sorted(folder.rglob("model.tar.gz"))
    if len(found) != 1:
        raise PermanentFailure(f"{folder} holds {len(found)} files model.tar.gz; give it one")
    try:
        manifest = unpack(found[0], into)
    except ArtefactError as error:
        raise PermanentFailure(str(error)) from error
    try:
        parameters = Hyperparameters.model_validate(
            {
                "recipe": manifest.recipe,
                "architecture": manifest.architecture,
                "image_size": manifest.input_size,
                "resize": manifest.resize,
            }
        )
        net = build(parameters, len(manifest.labels))
        state = torch.load(into / TORCH_MODEL, map_location="cpu", weights_only=True)
        net.load_state_dict(state)
        # Models of older versions were all trained with bilinear resizing.
        net.preprocessing = replace(net.preprocessing, interpolation=manifest.interpolation)
    except Exception as error:  # torch's readers raise anything on what is no state dict
        raise PermanentFailure(
            f"the weights of {manifest.model_version} ({TORCH_MODEL}) are not those of a "
            f"{manifest.architecture} ({type(error).__name__}: {str(error)[:200]}); train it again"
        ) from error
    return Model(net.eval(), manifest)


def _pretrained(container: JobContainer) -> "Classifier":
    with without_collection("torch"):
        from training.fitting.architectures import build, load_weights

    parameters = _parameters(container)
    if not parameters.uses_weights:
        raise PermanentFailure(
            f"there is no model yet, and recipe {parameters.recipe!r} with weights "
            f"{parameters.weights!r} has no pretrained net to look at images with"
        )
    files = weights_in(container, parameters.architecture)
    return build(parameters, 2, load_weights(parameters, files)).eval()


def _described(model: Model) -> dict[str, Any]:
    manifest = model.manifest
    return {
        "digest": digest(manifest),
        "task": manifest.task,
        "labels": list(manifest.labels),
        "thresholds": manifest.thresholds,
    }


def _write_features(parts: Iterator[Path], target: Path) -> tuple[int, list[dict[str, str]]]:
    """Join the parts; returns the number of images, and the files that cannot be read."""
    images, rejected = 0, []
    with pq.ParquetWriter(target, FEATURES_SCHEMA, compression="zstd") as writer:
        for path in parts:
            rows = pq.read_table(path, schema=RESULT_SCHEMA)
            good = rows.filter(rows["features"].is_valid())
            bad = rows.filter(rows["features"].is_null()).select(["file", "reason"])
            rejected += bad.to_pylist()
            images += good.num_rows
            writer.write_table(good.select(FEATURES_SCHEMA.names).cast(FEATURES_SCHEMA))
    return images, rejected


def _write_probabilities(
    model: Model, backbone: str, container: JobContainer, pipes: PipesContext
) -> None:
    target = container.output_dir / probabilities_file(model.manifest.model_version)
    target.parent.mkdir(exist_ok=True)
    seen: set[str] = set()
    with pq.ParquetWriter(target, PROBABILITIES_SCHEMA, compression="zstd") as writer:
        for shas, features in _known_features(container, backbone):
            fresh = [row for row, sha in enumerate(shas) if sha not in seen]
            names = [shas[row] for row in fresh]
            seen.update(names)
            if names:
                writer.write_table(probabilities_table(names, model.probabilities(features[fresh])))
    pipes.log.info(f"{model.manifest.model_version} looked at {len(seen)} images")


def _known_features(container: JobContainer, backbone: str) -> Iterator[Batch]:
    """Yield this job's and earlier jobs' features of a backbone, in batches of bounded size."""
    # Channel `features` may have features of other backbones, for which the heads are not valid.
    folder = container.optional_channel("features")
    earlier = feature_files(folder, f"{backbone}/") if folder else []
    for path in (container.output_dir / FEATURES, *earlier):
        yield from batches(path)


if __name__ == "__main__":
    main()

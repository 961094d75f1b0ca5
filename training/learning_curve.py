"""The learning-curve job: ``python -m training.learning_curve --dataset_version <version>``.

A processing job. Channels: ``dataset`` (``<version>/manifest.parquet``, card and shards), ``model``
(one ``model.tar.gz``: its backbone makes the features) and, if the queue has chosen images,
``chosen`` (one JSON list of their sha256). Leaves ``learning_curve.json``
(``labelling.curve_report``) and a picture.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from dagster_pipes import PipesContext

from labelling.curve_report import CurveReport
from training.artefact import TORCH_MODEL, ArtefactManifest, unpack
from training.config import Hyperparameters
from training.container import Container
from training.curve_study import Split, curve_report
from training.data import DataSource
from training.errors import ArtefactError, PermanentFailure
from training.hardware import uses_bf16, yield_cores
from training.manifest import CARD, ManifestError, read_card
from training.phases import Phases
from training.pipes import open_pipes

if TYPE_CHECKING:
    from training.architectures import Classifier

REPORT = "learning_curve.json"
PICTURE = "learning_curve.png"

CURVE_VERSION = "1"
"""Part of the job's name: raise it when the same data and model would give another report."""

MOST_IMAGES = 10_000
"""More training images than this are sampled: fits take longer in proportion."""

POLITENESS = 10
"""A report can wait: whatever else the machine does goes first (see nice(1))."""


def main() -> None:
    """Run the job that the environment describes; a failure is left where SageMaker looks."""
    os.nice(POLITENESS)
    yield_cores()
    with open_pipes() as pipes:
        container = Container.from_environment()
        try:
            report = measure(container, pipes)
        except Exception as error:
            container.write_failure(f"{type(error).__name__}: {error}")
            raise
        told = report.model_dump(include={"labels", "held", "score"})
        pipes.report_asset_materialization(metadata=told)


def measure(container: Container, pipes: PipesContext) -> CurveReport:
    """Measure the learning curves of ``container`` and write them down.

    Raises:
        PermanentFailure: the data set or the model cannot be used; running again would not help.
    """
    from training.curve_picture import draw_curves

    phases = Phases(pipes)
    phases.begin("features", "features of the labelled images")
    version = container.hyperparameters.get("dataset_version")
    if version is None:
        raise PermanentFailure("the job has no dataset_version; pass --dataset_version <version>")
    root = container.channel("dataset", f"{version}/{CARD}")
    with tempfile.TemporaryDirectory(dir=container.scratch_dir) as scratch:
        try:
            card = read_card(root / version / CARD)
            manifest, net = _model(container, Path(scratch) / "model")
        except (ArtefactError, ManifestError) as error:
            raise PermanentFailure(str(error)) from error
    source = DataSource(root, version, card.task, card.labels, container.scratch_dir)
    train, held = _splits(source, manifest, net, phases)
    used = _sampled(train)
    phases.begin("fits", f"refitting on subsets of {len(used.truth)} images")
    report = curve_report(
        used,
        held,
        card=card,
        dataset_version=version,
        train_images=len(train.truth),
        manifest=manifest,
        chosen=_chosen(container),
        tell=lambda done, total: phases.count("fits", done, total),
    )
    text = report.model_dump_json(indent=1)
    (container.output_dir / REPORT).write_text(text, encoding="utf-8")
    draw_curves(container.output_dir / PICTURE, report)
    phases.begin("", "")
    return report


def _model(container: Container, into: Path) -> tuple[ArtefactManifest, "Classifier"]:
    import torch

    from training.architectures import build

    found = sorted(container.channel("model").rglob("model.tar.gz"))
    if len(found) != 1:
        raise PermanentFailure(
            f"channel 'model' holds {len(found)} files model.tar.gz; give it one"
        )
    manifest = unpack(found[0], into)
    parameters = Hyperparameters.model_validate(
        {
            "recipe": manifest.recipe,
            "architecture": manifest.architecture,
            "image_size": manifest.input_size,
        }
    )
    net = build(parameters, len(manifest.labels))
    net.load_state_dict(torch.load(into / TORCH_MODEL, map_location="cpu", weights_only=True))
    return manifest, net.eval()


def _splits(
    source: DataSource, manifest: ArtefactManifest, net: "Classifier", phases: Phases
) -> tuple[Split, Split]:
    """The training images, and those of validation and test together."""
    from training.probe import extract

    size, bf16 = manifest.input_size, uses_bf16(Hyperparameters())
    found = {}
    for name in ("train", "val", "test"):
        images = source.split(name, size, lambda *n: phases.count("images read", *n))
        features = extract(net, images, lambda done: None, bf16=bf16)
        truth = images.targets > 0
        if images.targets.ndim == 1:
            truth = np.eye(len(source.labels), dtype=bool)[images.targets]
        found[name] = Split(features, truth, _names(images.rows))
    held = [found["val"], found["test"]]
    return found["train"], Split(
        np.concatenate([split.features for split in held]),
        np.concatenate([split.truth for split in held]),
        np.concatenate([split.sha256 for split in held]),
    )


def _names(rows: pa.Table) -> np.ndarray:
    return np.array(rows["sha256"].to_pylist())


def _sampled(split: Split) -> Split:
    if len(split.truth) <= MOST_IMAGES:
        return split
    few = np.sort(np.random.default_rng(0).permutation(len(split.truth))[:MOST_IMAGES])
    return Split(split.features[few], split.truth[few], split.sha256[few])


def _chosen(container: Container) -> frozenset[str]:
    folder = container.optional_channel("chosen", "*.json")
    files = sorted(folder.rglob("*.json")) if folder else []
    return frozenset(sha for path in files for sha in json.loads(path.read_text("utf-8")))


if __name__ == "__main__":
    main()

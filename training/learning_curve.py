"""The learning-curve job: ``python -m training.learning_curve --dataset_version <version>``.

A processing job. Channels: ``dataset`` (``<version>/manifest.parquet``, card and shards), ``model``
(one ``model.tar.gz``, whose backbone computes the features), and optionally ``features`` (of that
backbone, see ``training.embedding.stored``) and ``chosen`` (a JSON list: SHA-256 of the images that the
queue chose). Outputs: ``learning_curve.json`` (``labelling.report.curve_report``) and a picture.
"""

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from dagster_pipes import PipesContext

from labelling.report.curve_report import PICTURE_FILE, REPORT_FILE, CurveReport
from training.config import Hyperparameters
from training.container.container import JobContainer
from training.container.hardware import uses_bf16, yield_cores
from training.container.phases import Phases
from training.container.pipes import open_pipes
from training.curve.study import MOST_IMAGES, Split, curve_report
from training.data.data import DataSource
from training.data.manifest import CARD, ManifestError, read_card
from training.data.set_aside import optional_picture, tell
from training.embed import Model, load_model
from training.embedding.stored import feature_files, features_of_images
from training.errors import PermanentFailure
from training.evaluation.metrics import indicator

POLITENESS = 10
"""Niceness (see nice(1)): a report can wait for the machine's other work."""


def main() -> None:
    """Run the job in this process's container; writes SageMaker's failure file if it fails."""
    os.nice(POLITENESS)
    yield_cores()
    with open_pipes() as pipes:
        container = JobContainer.from_environment()
        try:
            report = measure(container, pipes)
        except Exception as error:
            container.write_failure(f"{type(error).__name__}: {error}")
            raise
        metadata = report.model_dump(include={"labels", "measured", "held", "score"})
        pipes.report_asset_materialization(metadata=metadata)


def measure(container: JobContainer, pipes: PipesContext) -> CurveReport:
    """Measure the learning curves for ``container``'s data set and write report and picture.

    Raises:
        PermanentFailure: the data set or the model cannot be used.
    """
    from training.curve.picture import draw_curves

    phases = Phases(pipes, container)
    phases.begin("features", "features of the labelled images")
    version = container.hyperparameters.get("dataset_version")
    if version is None:
        raise PermanentFailure("the job has no dataset_version; pass --dataset_version <version>")
    root = container.channel("dataset", f"{version}/{CARD}")
    with tempfile.TemporaryDirectory(dir=container.scratch_dir) as scratch:
        model = load_model(container.channel("model"), Path(scratch) / "model")
    try:
        card = read_card(root / version / CARD)
    except ManifestError as error:
        raise PermanentFailure(str(error)) from error
    source = DataSource(root, version, card.task, card.labels, container.scratch_dir)
    train, held = _splits(source, model, _known_features(container), phases)
    phases.begin("fits", f"refitting on subsets of {min(len(train.truth), MOST_IMAGES)} images")
    report = curve_report(
        train,
        held,
        card=card,
        dataset_version=version,
        manifest=model.manifest,
        chosen=_chosen_images(container),
        tell=lambda done, total: phases.count("fits", done, total),
    )
    text = report.model_dump_json(indent=1)
    (container.output_dir / REPORT_FILE).write_text(text, encoding="utf-8")
    with optional_picture(PICTURE_FILE, pipes.log.warning):
        draw_curves(container.output_dir / PICTURE_FILE, report)
    phases.begin("", "")
    return report


def _splits(
    source: DataSource, model: Model, known: list[Path], phases: Phases
) -> tuple[Split, Split]:
    """Return the training images, and those of validation and test together."""
    found = {}
    for name in ("train", "val", "test"):
        rows = source.rows(name)
        shas = rows["sha256"].to_pylist()
        features = features_of_images(known, shas)
        if features is None:
            phases.say(f"{len(shas)} images of {name} go through the backbone")
            features, rows = _extract_features(source, name, model, phases)
            shas = rows["sha256"].to_pylist()
        truth = indicator(rows["labels"].to_pylist(), source.labels)
        found[name] = Split(features, truth, np.array(shas))
    held = [found["val"], found["test"]]
    return found["train"], Split(
        np.concatenate([split.features for split in held]),
        np.concatenate([split.truth for split in held]),
        np.concatenate([split.sha256 for split in held]),
    )


def _extract_features(
    source: DataSource, name: str, model: Model, phases: Phases
) -> tuple[np.ndarray, pa.Table]:
    """Compute the features of a split's readable images, float32 [n, d]; also returns their rows."""
    from training.fitting.extractor import FeatureExtractor

    preprocessing, bf16 = model.net.preprocessing, uses_bf16(Hyperparameters())
    images = source.split(name, preprocessing, lambda *n: phases.count("images read", *n))
    tell(images.aside, phases.say)
    return FeatureExtractor(model.net, images=len(images), bf16=bf16)(images), images.rows


def _known_features(container: JobContainer) -> list[Path]:
    """Return the files with features that were computed before."""
    folder = container.optional_channel("features")
    return feature_files(folder) if folder else []


def _chosen_images(container: JobContainer) -> frozenset[str]:
    folder = container.optional_channel("chosen", "*.json")
    files = sorted(folder.rglob("*.json")) if folder else []
    return frozenset(sha for path in files for sha in json.loads(path.read_text("utf-8")))


if __name__ == "__main__":
    main()

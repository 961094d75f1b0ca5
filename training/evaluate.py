"""The evaluation job: ``python -m training.evaluate --dataset_version <version>``.

A processing job. Channels: ``dataset`` (``<version>/manifest.parquet`` and the shards),
``model`` and, if there is one, ``champion`` (each with one ``model.tar.gz`` somewhere below), and
perhaps ``champion_answers`` (``predictions.parquet`` of the champion's own evaluation) and
``known_features`` (``test_features.parquet`` of an earlier evaluation).
Outputs: ``report.json`` (``training.evaluation.report``), ``predictions.parquet``,
``test_features.parquet`` of a probe, and four pictures, five for two classes.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from dagster_pipes import PipesContext

from training.artefact.artefact import unpack
from training.artefact.predictor import OnnxPredictor
from training.container.container import JobContainer
from training.container.phases import Phases
from training.container.pipes import open_pipes
from training.data.inference import Answers, Sample, load_pixels, predict
from training.data.known_features import TEST_FEATURES, KnownFeatures
from training.data.manifest import ManifestError, ShardReader, read_manifest
from training.data.set_aside import optional_picture, require_few, tell
from training.errors import ArtefactError, PermanentFailure
from training.evaluation import metrics, plots, ranking
from training.evaluation.curves_picture import draw_curves
from training.evaluation.intervals import score_intervals
from training.evaluation.known_answers import (
    PREDICTIONS,
    description_of,
    known_answers,
)
from training.evaluation.metrics import Outcome
from training.evaluation.report import EvaluationReport, ModelScores

MANIFEST = "manifest.parquet"
REPORT = "report.json"
CONFUSION = "confusion_matrix.png"
MISTAKES = "mistakes.png"
RELIABILITY = "reliability.png"
PER_CLASS = "per_class.png"
CURVES = "roc_and_precision_recall.png"


PREDICTIONS_SCHEMA = pa.schema(
    [
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("predicted", pa.list_(pa.string()), nullable=False),
        pa.field("probabilities", pa.list_(pa.float32()), nullable=False),
        pa.field("raw_key", pa.string(), nullable=False),
    ]
)
"""One row per image of val and test. ``probabilities`` are in the order of the model's labels, which
are in the schema metadata as JSON under ``labels``."""


@dataclass(frozen=True)
class Data:
    """The data set to evaluate on; ``labels`` are all that occur in it."""

    version: str
    labels: tuple[str, ...]
    val: list[Sample]
    test: list[Sample]


@dataclass(frozen=True)
class Evaluated:
    """A model, its predictions on the test split, and their outcome in the evaluation's labels."""

    model: OnnxPredictor
    answers: Answers
    outcome: Outcome


class ProgressReporter:
    """Counts the images that are done."""

    def __init__(self, phases: Phases, total: int) -> None:
        self._phases = phases
        self._total = total
        self._done = 0

    def __call__(self, images: int) -> None:
        """Add ``images`` to the number of images done."""
        self._done += images
        self._phases.count("images evaluated", self._done, self._total)


def main() -> None:
    """Run the job in this process's container; writes SageMaker's failure file if it fails."""
    with open_pipes() as pipes:
        container = JobContainer.from_environment()
        try:
            report = evaluate(container, pipes)
        except Exception as error:
            container.write_failure(f"{type(error).__name__}: {error}")
            raise
        names = {"accuracy", "macro_f1", "log_loss", "calibration_error", "images_per_second"}
        pipes.report_asset_materialization(metadata=report.model_dump(include=names))


def evaluate(container: JobContainer, pipes: PipesContext) -> EvaluationReport:
    """Evaluate the model (and the champion) of ``container`` and write the outputs.

    Raises:
        PermanentFailure: a channel, the data set or a model cannot be used.
    """
    phases = Phases(pipes, container)
    phases.begin("evaluation", "")
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=container.scratch_dir)))
        try:
            data = _read_data(container)
            candidate = _load(container, "model", scratch)
            champion = (
                _load(container, "champion", scratch) if container.has_channel("champion") else None
            )
            reader = stack.enter_context(ShardReader(_dataset(container, data.version)))
            renamed = json.loads(container.hyperparameters.get("renamed", "{}"))
            folder = container.optional_channel("champion_answers", PREDICTIONS)
            features = KnownFeatures.of_model(
                candidate,
                scratch / "model",
                container.optional_channel("known_features", TEST_FEATURES),
                container.output_dir,
                phases.say,
                phases.warn,
            )
            return _evaluate(
                data,
                candidate,
                champion,
                reader,
                container.output_dir,
                phases,
                renamed=renamed,
                earlier=known_answers(folder, champion) if champion else {},
                features=features,
            )
        except (ArtefactError, ManifestError) as error:
            raise PermanentFailure(str(error)) from error


def _dataset(container: JobContainer, version: str) -> Path:
    """Return the folder that the data set's paths are relative to."""
    return container.channel("dataset", f"{version}/{MANIFEST}")


def _read_data(container: JobContainer) -> Data:
    version = container.hyperparameters.get("dataset_version")
    if version is None:
        raise PermanentFailure("the job has no dataset_version; pass --dataset_version <version>")
    table = read_manifest(_dataset(container, version) / version / MANIFEST)
    splits = {
        split: table.filter(pc.field("split") == split).to_pylist()
        for split in ("train", "val", "test")
    }
    if not splits["test"]:
        raise PermanentFailure(
            f"data set {version} has no image in its test split, so nothing can be evaluated; "
            "ingest more labelled images"
        )
    rows = [row for split in splits.values() for row in split]
    return Data(
        version=version,
        labels=tuple(sorted({label for row in rows for label in row["labels"]})),
        val=[Sample.from_row(row) for row in splits["val"]],
        test=[Sample.from_row(row) for row in splits["test"]],
    )


def _load(container: JobContainer, channel: str, scratch: Path) -> OnnxPredictor:
    folder = container.channel(channel)
    found = sorted(folder.rglob("model.tar.gz"))
    if len(found) != 1:
        raise PermanentFailure(
            f"channel {channel!r} holds {len(found)} files named model.tar.gz below {folder}; "
            "give it exactly one"
        )
    unpack(found[0], scratch / channel)
    return OnnxPredictor(scratch / channel)


def _evaluate(
    data: Data,
    candidate: OnnxPredictor,
    champion: OnnxPredictor | None,
    reader: ShardReader,
    output: Path,
    phases: Phases,
    *,
    renamed: Mapping[str, str],
    earlier: Mapping[str, np.ndarray],
    features: KnownFeatures | None,
) -> EvaluationReport:
    """Predict, compute the metrics, and write the outputs.

    Args:
        data: to evaluate on.
        candidate: the model.
        champion: the model that serves; ``None`` if there is none.
        reader: of the data set's shards.
        output: folder for the outputs.
        phases: for logs.
        renamed: names of classes in the data set, by the champion's names.
        earlier: the champion's answers to images that it saw before, by sha256.
        features: of test images, for a candidate that can use them.
    """
    if candidate.manifest.recipe == "probe":  # its head is fitted on the validation images, too
        data = replace(data, val=[])
    known = candidate.labels
    labels = [*known, *(label for label in data.labels if label not in known)]
    task = candidate.manifest.task

    def outcome(model: OnnxPredictor, samples: list[Sample], answers: Answers) -> Outcome:
        """Bring a model's predictions into the columns of the evaluation's labels.

        Args:
            model: that predicted.
            samples: with the true labels.
            answers: the model's predictions, in the order of ``samples``.
        """
        called = renamed if model is champion else {}
        return metrics.outcome(
            [sample.labels for sample in samples],
            [tuple(called.get(label, label) for label in given) for given in answers.decided],
            answers.probabilities,
            task=task,
            labels=labels,
            model_labels=[called.get(label, label) for label in model.labels],
        )

    models = [candidate, *([champion] if champion else [])]
    progress = ProgressReporter(phases, len(data.val) + len(data.test) * len(models))
    answered = [
        features.answer(candidate, data.test, reader, progress)
        if features and model is candidate
        else _answers(model, data.test, reader, progress, earlier if model is champion else {})
        for model in models
    ]
    val = predict(candidate, data.val, reader, progress)
    data, answered, val, aside = _readable(data, answered, val)
    tell(aside, phases.warn)
    tested = [
        Evaluated(model, answers, outcome(model, data.test, answers))
        for model, answers in zip(models, answered, strict=True)
    ]
    report = _report(data, labels, tested, outcome(candidate, data.val, val), aside)
    (output / REPORT).write_text(report.model_dump_json(indent=1), encoding="utf-8")
    _write_predictions(output / PREDICTIONS, data, candidate, tested[0].answers, val)
    _draw(output, report, data.test, tested[0], reader, phases.warn)
    phases.say(
        f"{candidate.manifest.model_version}: {report.accuracy_name} {report.accuracy:.4f}, "
        f"macro-F1 {report.macro_f1:.4f} on {report.n_test} test images"
    )
    return report


def _answers(
    model: OnnxPredictor,
    samples: list[Sample],
    reader: ShardReader,
    progress: ProgressReporter,
    known: Mapping[str, np.ndarray],
) -> Answers:
    """Predict on the images that the model has not answered before.

    Args:
        model: that predicts.
        samples: the images.
        reader: of the data set's shards.
        progress: is told of each image.
        known: the same model's answers to some of them, by sha256.
    """
    fresh = [place for place, sample in enumerate(samples) if sample.sha256 not in known]
    progress(len(samples) - len(fresh))
    new = predict(model, [samples[place] for place in fresh], reader, progress)
    if len(fresh) == len(samples):
        return new
    found = np.zeros((len(samples), len(model.labels)), np.float32)
    for place, sample in enumerate(samples):
        if sample.sha256 in known:
            found[place] = known[sample.sha256]
    found[fresh] = new.probabilities
    unreadable = {fresh[place]: why for place, why in new.unreadable.items()}
    return Answers(found, model.decide(found), new.seconds, new.computed, unreadable)


def _readable(
    data: Data, tested: list[Answers], val: Answers
) -> tuple[Data, list[Answers], Answers, dict[str, str]]:
    """Remove images that could not be read, so that all models are evaluated on the same images.

    Returns:
        Data, predictions on test and on val, and the reasons of removed images by key.

    Raises:
        PermanentFailure: too many of the test split could not be read.
    """
    lost = {place: why for answers in tested for place, why in answers.unreadable.items()}
    aside = {data.test[place].raw_key: why for place, why in lost.items()}
    require_few(aside, len(data.test), "images of the test split")
    of_val = {data.val[place].raw_key: why for place, why in val.unreadable.items()}
    if not aside and not of_val:
        return data, tested, val, {}
    kept = [place for place in range(len(data.test)) if place not in lost]
    kept_val = [place for place in range(len(data.val)) if place not in val.unreadable]
    left = replace(
        data,
        test=[data.test[place] for place in kept],
        val=[data.val[place] for place in kept_val],
    )
    return left, [answers.of(kept) for answers in tested], val.of(kept_val), {**aside, **of_val}


def _report(
    data: Data, labels: list[str], tested: list[Evaluated], val: Outcome, aside: dict[str, str]
) -> EvaluationReport:
    candidate = tested[0]
    champion = tested[1] if len(tested) > 1 else None
    task = candidate.model.manifest.task
    several = task == "multi_label"

    def model_scores(model: Evaluated) -> ModelScores:
        found = metrics.scores(model.outcome, task=task, labels=labels).model_dump()
        found["intervals"] = score_intervals(
            model.outcome, [sample.group_id for sample in data.test], of_labels=several
        )
        return ModelScores(
            model_version=model.model.manifest.model_version, digest=model.model.digest, **found
        )

    return EvaluationReport(
        **model_scores(candidate).model_dump(),
        dataset_version=data.version,
        task=task,
        labels=labels,
        n_test=len(data.test),
        n_val=len(data.val),
        majority_baseline_accuracy=metrics.majority_baseline(
            [sample.labels for sample in data.test]
        ),
        val=metrics.scores(val, task=task, labels=labels) if data.val else None,
        champion=model_scores(champion) if champion else None,
        mcnemar_p=metrics.mcnemar_p(candidate.outcome.correct, champion.outcome.correct)
        if champion
        else None,
        paired=metrics.paired_counts(candidate.outcome, champion.outcome, labels)
        if champion
        else {},
        images_per_second=candidate.answers.images_per_second,
        set_aside=aside,
        thresholds=candidate.model.manifest.thresholds,
        binary=None if several else metrics.binary_scores(candidate.outcome, labels),
    )


def _write_predictions(
    path: Path, data: Data, model: OnnxPredictor, test: Answers, val: Answers
) -> None:
    samples = [*data.test, *data.val]
    columns = {
        "sha256": [sample.sha256 for sample in samples],
        "split": ["test"] * len(data.test) + ["val"] * len(data.val),
        "labels": [sample.labels for sample in samples],
        "predicted": [*test.decided, *val.decided],
        "probabilities": [*test.probabilities, *val.probabilities],
        "raw_key": [sample.raw_key for sample in samples],
    }
    schema = PREDICTIONS_SCHEMA.with_metadata(description_of(model))
    pq.write_table(pa.table(columns, schema=schema), path, compression="zstd")


def _draw(
    output: Path,
    report: EvaluationReport,
    samples: list[Sample],
    candidate: Evaluated,
    reader: ShardReader,
    warn: Callable[[str], object],
) -> None:
    """Draw the pictures; a failure of one is only a warning."""
    bins = metrics.calibration_bins(candidate.outcome.confidence, candidate.outcome.right)
    with optional_picture(CONFUSION, warn):
        plots.draw_confusion(output / CONFUSION, report)
    with optional_picture(PER_CLASS, warn):
        plots.draw_per_class(output / PER_CLASS, report)
    if report.binary is not None:
        with optional_picture(CURVES, warn):
            positive, outcome = report.binary.positive, candidate.outcome
            column = report.labels.index(positive)
            drawn = ranking.curve(outcome.truth[:, column], outcome.probabilities[:, column])
            average = report.per_class[positive].average_precision or 0.0
            draw_curves(output / CURVES, report.binary, average, drawn)
    with optional_picture(RELIABILITY, warn):
        plots.draw_reliability(output / RELIABILITY, bins, report.calibration_error)
    with optional_picture(MISTAKES, warn):
        worst = metrics.worst_mistakes(candidate.outcome, report.labels, plots.MOST_MISTAKES)
        photos = [load_pixels(samples[item.index], reader, plots.TILE_PIXELS) for item in worst]
        names = [Path(samples[item.index].raw_key).name for item in worst]
        wrong = int((~candidate.outcome.correct).sum())
        plots.draw_mistakes(
            output / MISTAKES, worst, photos, names, wrong=wrong, total=report.n_test
        )


if __name__ == "__main__":
    main()

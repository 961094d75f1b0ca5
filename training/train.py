"""The training job: ``python -m training.train``.

Channels: ``dataset`` (``<version>/manifest.parquet`` and its shards) and, for each net of the
architecture whose weights are not downloaded, ``weights-0``, ``weights-1`` … (one file); for a probe
``features`` and ``checked-bodies``, of earlier jobs (``training.embedding.reuse``,
``training.artefact.export_check``); ``parent`` (``model.tar.gz``) for a job
that starts from a model. Outputs: the artefact's members in the model folder; ``metrics.json``,
``cross_validation.json`` of a probe with few validation images, ``history.json`` with
``epoch_times.json``, ``history.png``, ``augmented_batch.jpg``,
``export_check.json`` and ``export_check.npz`` (some of its images), ``served_precision.json`` if
another precision than fp32 was asked for, and TensorBoard's files (``tensorboard/``) in the output folder.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from dagster_pipes import PipesContext
from pydantic import ValidationError

from training.artefact.artefact import Task, digest
from training.backbones.weights import weights_in
from training.config import CODE_VERSION, Hyperparameters
from training.container.container import JobContainer
from training.container.distributed import ALONE, Team, ends_at_its_failure, joined, note_failure
from training.container.hardware import yield_cores
from training.container.leaving import leave
from training.container.phases import Phases
from training.container.pipes import open_pipes
from training.container.quick_imports import without_collection
from training.data.manifest import CARD, ManifestError, read_card
from training.data.set_aside import optional_picture, tell
from training.embedding.reuse import ReusedFeatures
from training.errors import PermanentFailure
from training.evaluation.event_files import EventFiles
from training.exporting import export_model, lower_served_precision

if TYPE_CHECKING:
    from training.data.data import DataSource, LabelledImages
    from training.fitting.architectures import Classifier
    from training.fitting.held_out import HeldOut
    from training.fitting.warm_start import Parent

METRICS = "metrics.json"
HISTORY = "history.json"
CROSS_VALIDATION = "cross_validation.json"
LICENCES = "licences.json"
"""Of the pretrained weights and their nets; see ``training.backbones.licences``."""

HISTORY_PICTURE = "history.png"
EPOCH_TIMES = "epoch_times.json"
"""When each entry of the history was complete, in seconds since 1970; null where it is unknown."""

PREVIEW = "augmented_batch.jpg"
EVENTS = "tensorboard"


@dataclass(frozen=True)
class Job:
    """A training job.

    Attributes:
        parameters: the hyperparameters.
        task: single_label or multi_label.
        labels: names of the classes.
        dataset_version: of the data set.
        model_version: name of the model to be trained.
        dataset: folder of the data set channel.
        weights: file of pretrained weights of each net of the architecture; ``None``: it is
            downloaded.
    """

    parameters: Hyperparameters
    task: Task
    labels: tuple[str, ...]
    dataset_version: str
    model_version: str
    dataset: Path
    weights: tuple[Path | None, ...]

    @classmethod
    def from_container(cls, container: JobContainer) -> Self:
        """Read the job from its container.

        Raises:
            PermanentFailure: a hyperparameter is missing or wrong, or there is no data set.
        """
        given = container.hyperparameters
        try:
            dataset = container.channel("dataset", f"{given['dataset_version']}/{CARD}")
            # Not hyperparameters: SageMaker allows these 2,500 characters, some 200 labels.
            card = read_card(dataset / given["dataset_version"] / CARD)
            parameters = Hyperparameters.from_strings(given)
            return cls(
                parameters=parameters,
                task=card.task,
                labels=card.labels,
                dataset_version=given["dataset_version"],
                model_version=given["model_version"],
                dataset=dataset,
                weights=weights_in(container, parameters.architecture),
            )
        except KeyError as error:
            raise PermanentFailure(f"the job lacks the hyperparameter {error}; add it") from None
        except ManifestError as error:
            raise PermanentFailure(str(error)) from error
        except (ValidationError, json.JSONDecodeError) as error:
            raise PermanentFailure(f"a hyperparameter of the job is wrong: {error}") from error


def main() -> None:
    """Run the job in this process's container; writes SageMaker's failure file if it fails.

    Of several processes (``training.launcher``) only the first runs to the end and talks to Dagster;
    the launcher reports the first of their failures.
    """
    yield_cores()
    with ends_at_its_failure(), open_pipes(silent=not Team.from_environment().leads) as pipes:
        container = JobContainer.from_environment()
        try:
            with joined() as team:
                metrics = train(container, pipes, team)
        except Exception as error:
            if not note_failure(error):
                container.write_failure(f"{type(error).__name__}: {error}")
            raise
        pipes.report_asset_materialization(metadata=metrics)


def train(
    container: JobContainer, pipes: PipesContext, team: Team = ALONE
) -> dict[str, str | float]:
    """Train a model and write its artefact, metrics and pictures.

    All processes of a team take part in the fit; after it, all but the first end.

    Args:
        container: gives the job's parameters, inputs and output folders.
        pipes: for logs and progress messages.
        team: the processes that train together.

    Returns:
        The metrics, as in ``metrics.json``.

    Raises:
        PermanentFailure: the data or the configuration is invalid.
    """
    events = EventFiles(container.checkpoint_dir / EVENTS, pipes.log.warning)
    phases = Phases(pipes, *((container, events.add) if team.leads else ()))
    phases.begin("imports", "loading PyTorch")
    with without_collection("torch"):
        import torch

        from training.data.data import DataSource, require_learnable
        from training.evaluation.history_picture import draw_history
        from training.fitting.preview import draw_preview

    def read() -> "tuple[DataSource, LabelledImages, LabelledImages]":
        version, preprocessing = job.dataset_version, net.preprocessing
        source = DataSource(job.dataset, version, job.task, job.labels, container.scratch_dir)
        phases.begin("data", f"reading data set {version}")

        def split(name: str) -> "LabelledImages":
            known = reused.known if reused else None
            return source.split(
                name, preprocessing, lambda *n: phases.count(f"{name} images read", *n), known
            )

        train, val = split("train"), split("val")
        require_learnable(train.targets, job.labels)
        return source, train, val

    job = Job.from_container(container)
    torch.manual_seed(job.parameters.seed)
    parent, net = _built(job, container, phases, team)
    reused = ReusedFeatures.of_job(container, net, job.parameters)
    source, train_split, val_split = team.once_per_machine(read)
    phases.say(f"{len(train_split)} images to train on, {len(val_split)} to validate on")

    tell({**train_split.aside, **val_split.aside}, pipes.log.warning)
    if team.leads:
        with optional_picture(PREVIEW, pipes.log.warning):
            draw_preview(container.output_dir / PREVIEW, train_split, job.labels, job.parameters)
    torch.manual_seed(job.parameters.seed)
    fitted = _fitted(net, parent, job, train_split, val_split, container, phases, team, reused)
    phases.begin("calibration", "")
    numbers, temperature, thresholds = _calibrated(fitted.held_out, job)
    numbers |= _write_cross_validation(container.output_dir, fitted.held_out, job)
    _write_licences(container.output_dir, job, parent)
    phases.begin("export", "exporting to ONNX and checking it against PyTorch")
    manifest, check = export_model(
        net, job.task, _description(job, net), source, val_split, temperature, thresholds, container
    )
    asked = job.parameters.export_precision
    manifest, precision = lower_served_precision(manifest, asked, source, container, phases)
    phases.begin("", "")
    metrics: dict[str, str | float] = {
        "digest": digest(manifest),
        **numbers,
        "temperature": temperature,
        "export_difference": check.difference,
        "export_images": check.images_checked,
        **precision,
        "train_images": len(train_split),
        "val_images": len(val_split),
        "cross_validation_folds": fitted.held_out.folds,
        "features_reused": sum(len(x) - len(x.unknown()) for x in (train_split, val_split)),
        **fitted.facts,
        "images_set_aside": len(train_split.aside) + len(val_split.aside),
        **phases.seconds,
    }
    times = phases.epoch_times(len(fitted.history))
    _write_outputs(container.output_dir, metrics, fitted.history, times)
    with optional_picture(HISTORY_PICTURE, pipes.log.warning):
        draw_history(container.output_dir / HISTORY_PICTURE, fitted.history, job.parameters.recipe)
    events.add_picture("augmented_batch", container.output_dir / PREVIEW)
    events.copy_to(container.output_dir / EVENTS)
    return metrics


def _built(
    job: Job, container: JobContainer, phases: Phases, team: Team
) -> "tuple[Parent | None, Classifier]":
    """Build the net with the weights that it starts from, before the images are read: they may lack."""
    from training.fitting.architectures import architecture_name, build, load_weights
    from training.fitting.warm_start import Parent

    parameters = job.parameters
    phases.begin("net", f"{parameters.recipe}: {architecture_name(parameters)}")

    def built() -> "tuple[Parent | None, Classifier]":
        parent = Parent.of_job(container, parameters)
        net = build(parameters, len(job.labels), load_weights(parameters, job.weights))
        if parent is not None:
            parent.give_backbone(net)
            phases.say(f"it starts from the weights of {parent.manifest.model_version}")
        return parent, net

    return team.once_per_machine(built)  # which may download the weights


@dataclass(frozen=True)
class _Fitted:
    """What a fit leaves.

    Attributes:
        history: numbers of each epoch.
        held_out: logits of images that the net was not fitted on.
        facts: further numbers for the metadata.
    """

    history: list[dict[str, float]]
    held_out: "HeldOut"
    facts: dict[str, float]


def _fitted(
    net: "Classifier",
    parent: "Parent | None",
    job: Job,
    train_split: "LabelledImages",
    val_split: "LabelledImages",
    container: JobContainer,
    phases: Phases,
    team: Team,
    reused: ReusedFeatures | None,
) -> _Fitted:
    """Fit the net in place.

    Returns only in the team's first process; the others end.
    """
    from training.container.hardware import uses_bf16
    from training.fitting.architectures import architecture_name

    parameters = job.parameters
    together = f", {team.size} processes together" if team.size > 1 else ""
    phases.begin("fit", f"{parameters.recipe}: {architecture_name(parameters)}{together}")
    if parameters.recipe != "probe":
        return _fine_tuned(net, parent, job, train_split, val_split, container, phases, team)
    with without_collection("training.fitting.probe"):
        from training.fitting.probe import fit_probe

    history, held_out = fit_probe(
        net,
        task=job.task,
        train=train_split,
        val=val_split,
        progress=lambda done, total: phases.count("images through the backbone", done, total),
        report=phases.epoch,
        bf16=uses_bf16(parameters),
        team=team,
        keep=reused.keep if reused else None,
    )
    net.eval()
    return _Fitted(history, held_out, {})


def _fine_tuned(
    net: "Classifier",
    parent: "Parent | None",
    job: Job,
    train_split: "LabelledImages",
    val_split: "LabelledImages",
    container: JobContainer,
    phases: Phases,
    team: Team,
) -> _Fitted:
    """Train the layers of the net in place; see :func:`_fitted`."""
    with without_collection("lightning.pytorch"):
        from training.container.hardware import uses_bf16
        from training.fitting.calibration import predict_logits
        from training.fitting.fit import fit
        from training.fitting.head_start import start_head
        from training.fitting.held_out import HeldOut

    classes = len(job.labels)

    def start() -> None:
        if job.parameters.head_start:
            phases.say("the head starts as a probe")
            start_head(
                net,
                train_split,
                task=job.task,
                bf16=uses_bf16(job.parameters),
                progress=lambda done, total: phases.count("images through the net", done, total),
                team=team,
            )
        if parent is not None:
            parent.give_head(net, job.labels, job.task)

    trained = fit(
        net,
        job.parameters,
        task=job.task,
        classes=classes,
        train=train_split,
        val=val_split,
        checkpoints=container.checkpoint_dir,
        scratch=container.scratch_dir,
        report=phases.epoch,
        progress=lambda done, total: phases.count("steps", done, total),
        start=start,
        warn=phases.say,
        team=team,
    )
    if trained.kept_text:
        phases.say(trained.kept_text)
    logits = predict_logits(net, val_split, classes, team)
    team.dismiss()
    net.eval()
    return _Fitted(trained.epochs, HeldOut(logits.numpy(), val_split.targets), trained.facts)


def _calibrated(held_out: "HeldOut", job: Job) -> tuple[dict[str, float], float, dict[str, float]]:
    """Calibrate; returns validation metrics, temperature and thresholds (multi_label only)."""
    import torch

    from training.fitting.calibration import fit_temperature, fit_thresholds
    from training.fitting.scores import scores_of

    logits, targets = torch.from_numpy(held_out.logits), torch.from_numpy(held_out.targets)
    temperature = fit_temperature(logits, targets, job.task)
    calibrated = logits / temperature
    thresholds = {}
    if job.task == "multi_label":
        probabilities = calibrated.sigmoid().numpy()
        thresholds = fit_thresholds(probabilities, held_out.targets, job.labels)
    scores = scores_of(calibrated, targets, job.task)
    return {f"val_{name}": value for name, value in scores.items()}, temperature, thresholds


def _write_cross_validation(folder: Path, held_out: "HeldOut", job: Job) -> dict[str, float]:
    """Write the cross-validated scores, if the fit was one: of a probe with few validation images.

    Returns:
        The scores that replace validation metrics of the same answers, whose temperature and
        thresholds were fitted on them.
    """
    from training.fitting.cross_validation import cross_validated

    found = cross_validated(held_out, job.task, job.labels)
    if found is None:
        return {}
    (folder / CROSS_VALIDATION).write_text(found.model_dump_json(indent=1), encoding="utf-8")
    return {
        "val_loss": found.log_loss,
        "val_accuracy": found.accuracy,
        "val_macro_f1": found.macro_f1,
    }


def _write_licences(folder: Path, job: Job, parent: "Parent | None") -> None:
    """Write the licences of the pretrained weights; an empty list for random ones.

    Args:
        folder: for the file.
        job: the training job.
        parent: the model that it started from.
    """
    from training.backbones.licences import net_licence
    from training.backbones.sources import net_source
    from training.backbones.weights import nets_of

    sources = []
    if job.parameters.recipe != "scratch":
        sources = [net_source(net) for net in nets_of(job.parameters.architecture)]
    found = []
    if parent is not None:
        version = parent.manifest.model_version
        found = [net_licence(source, None, version).model_dump() for source in sources]
    elif job.parameters.uses_weights:
        found = [
            net_licence(source, file).model_dump()
            for source, file in zip(sources, job.weights, strict=True)
        ]
    (folder / LICENCES).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _description(job: Job, net: "Classifier") -> dict[str, object]:
    """Return the manifest's fields that come from the job's configuration and its net."""
    from training.fitting.architectures import architecture_name

    return {
        "labels": job.labels,
        "input_size": net.preprocessing.size,
        "interpolation": net.preprocessing.interpolation,
        "resize": net.preprocessing.resize,
        "dataset_version": job.dataset_version,
        "code_version": CODE_VERSION,
        "model_version": job.model_version,
        "recipe": job.parameters.recipe,
        "architecture": architecture_name(job.parameters),
        "created_by": "imgclf-dagster",
    }


def _write_outputs(
    folder: Path,
    metrics: dict[str, str | float],
    history: list[dict[str, float]],
    times: list[float | None],
) -> None:
    (folder / METRICS).write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    (folder / HISTORY).write_text(json.dumps(history, indent=2) + "\n", encoding="utf-8")
    (folder / EPOCH_TIMES).write_text(json.dumps(times) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
    leave()

"""The last step of a training job: the net becomes an artefact, compared with the net."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from training.artefact.artefact import ONNX_MODEL, TORCH_MODEL, ArtefactManifest, Task
from training.artefact.artefact import write_manifest as write_artefact_manifest
from training.artefact.checked_export import CHECKED_BODIES, EXPORT_CHECK, ExportCheck
from training.artefact.evidence import write_evidence
from training.config import ExportPrecision
from training.container.container import JobContainer
from training.container.phases import Phases

if TYPE_CHECKING:
    from training.data.data import DataSource, LabelledImages
    from training.fitting.architectures import Classifier

EVIDENCE = "export_check.npz"
"""Images of the comparison and the net's answers; see ``training.artefact.evidence``."""


def export_model(
    net: "Classifier",
    task: Task,
    described: Mapping[str, object],
    source: "DataSource",
    val_split: "LabelledImages",
    temperature: float,
    thresholds: dict[str, float],
    container: JobContainer,
) -> tuple[ArtefactManifest, ExportCheck]:
    """Write the artefact's members, and compare the graph with the net on real images.

    Args:
        net: the trained net.
        task: single_label or multi_label.
        described: fields of the manifest that come from the job.
        source: the data set.
        val_split: the validation images.
        temperature: divides the logits.
        thresholds: probability by label (multi_label only).
        container: gives the folders.

    Returns:
        The manifest, and the result of the comparison.
    """
    import numpy as np
    import torch

    from training.artefact import export
    from training.artefact.export_check import check_export

    serving = export.ServingNet(
        net, preprocessing=net.preprocessing, temperature=temperature, task=task
    )
    folder = container.model_dir
    export.export_onnx(serving, folder / ONNX_MODEL)
    torch.save(net.state_dict(), folder / TORCH_MODEL)
    manifest = write_artefact_manifest(
        folder,
        **described,
        task=task,
        temperature=temperature,
        thresholds=thresholds,
        opset=export.OPSET,
    )
    known = np.setdiff1d(np.arange(len(val_split)), val_split.unknown())
    check, evidence = check_export(
        serving,
        folder,
        source.originals("val", net.preprocessing.size),
        of=len(val_split),
        features=np.empty((0, 0)) if val_split.features is None else val_split.features[known],
        earlier=container.optional_channel(CHECKED_BODIES),
    )
    write_evidence(container.output_dir / EVIDENCE, evidence.images, evidence.probabilities)
    path = container.output_dir / EXPORT_CHECK
    path.write_text(check.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return manifest, check


def lower_served_precision(
    manifest: ArtefactManifest,
    asked: ExportPrecision,
    source: "DataSource",
    container: JobContainer,
    phases: Phases,
) -> tuple[ArtefactManifest, dict[str, str | float]]:
    """Try the precision that a job asks for on the exported model.

    Args:
        manifest: of the exported model.
        asked: the precision.
        source: the data set.
        container: gives the folders.
        phases: is told the result.

    Returns:
        The manifest of the model as it is served, and numbers for the metadata.
    """
    if asked == "fp32":
        return manifest, {}
    from training.artefact.precision import SERVED_PRECISION, lower_precision

    phases.begin("precision", f"trying {asked}")
    manifest, trial = lower_precision(
        container.model_dir,
        manifest,
        asked,
        calibration=source.originals("train", manifest.input_size),
        validation=source.labelled_originals("val", manifest.input_size),
        scratch=container.scratch_dir,
    )
    phases.say(f"served in {manifest.precision} ({asked} was asked for): {trial.reason}")
    path = container.output_dir / SERVED_PRECISION
    path.write_text(trial.model_dump_json(indent=1) + "\n", encoding="utf-8")
    numbers = trial.model_dump(exclude={"asked", "kept", "reason", "images"})
    return manifest, {
        "served_precision": manifest.precision,
        "served_precision_reason": trial.reason,
        **{f"precision_{name}": value for name, value in numbers.items()},
    }

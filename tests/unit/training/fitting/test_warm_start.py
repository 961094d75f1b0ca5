"""A training that starts from the weights of a model."""

import json
from pathlib import Path

import pytest
import torch

from tests.unit.training.fitting.tiny import tiny_net
from training.artefact.artefact import (
    ONNX_MODEL,
    TORCH_MODEL,
    ArtefactManifest,
    digest,
    pack,
    write_manifest,
)
from training.config import Hyperparameters
from training.container.container import JobContainer
from training.errors import PermanentFailure
from training.fitting.architectures import SMALL_NET, build
from training.fitting.warm_start import Parent

pytestmark = pytest.mark.unit

LABELS = ("cat", "dog", "owl")


def parent_of(folder: Path, **changes: object) -> tuple[JobContainer, ArtefactManifest]:
    """A job's container with a small trained model in its channel."""
    torch.manual_seed(1)
    net = build(Hyperparameters(recipe="scratch", image_size=8), len(LABELS))
    model = folder / "model"
    model.mkdir()
    (model / ONNX_MODEL).write_bytes(b"graph")
    torch.save(net.state_dict(), model / TORCH_MODEL)
    said = {"task": "single_label", "labels": LABELS, "input_size": 8, "dataset_version": "d",
            "code_version": "3", "model_version": "train-1", "recipe": "scratch",
            "architecture": SMALL_NET, "opset": 18, "created_by": "x"} | changes  # fmt: skip
    manifest = write_manifest(model, **said)
    pack(model, folder / "ml" / "input" / "data" / "parent" / "train-1" / "model.tar.gz")
    return JobContainer(folder / "ml", "training", {}), manifest


def job(manifest: ArtefactManifest, **changes: object) -> Hyperparameters:
    asked = {"recipe": "scratch", "image_size": 8, "parent_digest": digest(manifest)} | changes
    return Hyperparameters.model_validate(asked)


def test_it_has_the_parents_backbone_and_the_rows_of_labels_that_it_knew(tmp_path: Path) -> None:
    container, manifest = parent_of(tmp_path)
    parent = Parent.of_job(container, job(manifest))
    assert parent is not None
    labels = ("owl", "bat", "cat")
    torch.manual_seed(2)
    net = build(job(manifest), 3)
    fitted = net.head.weight.detach().clone(), net.head.bias.detach().clone()
    parent.give_backbone(net)
    parent.give_head(net, labels, "single_label")
    for name, value in net.backbone.state_dict().items():
        assert torch.equal(value, parent.weights[f"backbone.{name}"])
    for row, there in ((0, 2), (2, 0)):
        assert torch.equal(net.head.weight[row], parent.weights["head.weight"][there])
        assert torch.equal(net.head.bias[row], parent.weights["head.bias"][there])
    # The new label has its fitted row, as far from the mean of the common labels as before.
    for now, before in zip((net.head.weight, net.head.bias), fitted, strict=True):
        distance = now[1] - now[[0, 2]].mean(0)
        assert distance.tolist() == pytest.approx(
            (before[1] - before[[0, 2]].mean(0)).tolist(), abs=1e-6
        )


def test_another_task_or_other_labels_keep_the_fitted_head(tmp_path: Path) -> None:
    container, manifest = parent_of(tmp_path)
    parent = Parent.of_job(container, job(manifest))
    assert parent is not None
    for labels, task in ((("cat", "dog"), "multi_label"), (("a", "b"), "single_label")):
        net = build(job(manifest), 2)
        before = net.head.weight.detach().clone()
        parent.give_head(net, labels, task)
        assert torch.equal(net.head.weight, before)


def test_a_job_without_a_parent_needs_no_channel(tmp_path: Path) -> None:
    assert Parent.of_job(JobContainer(tmp_path, "training", {}), Hyperparameters()) is None
    assert Hyperparameters(recipe="finetune").uses_weights
    assert not Hyperparameters(recipe="finetune", parent_digest="1").uses_weights


@pytest.mark.parametrize(
    ("changes", "asked", "reason"),
    [
        ({}, {"recipe": "probe"}, 'set recipe = "finetune"'),
        ({}, {"parent_digest": "0" * 64}, "has the digest"),
        ({"architecture": "resnet18"}, {}, "set architecture = 'resnet18'"),
    ],
)
def test_a_model_that_cannot_be_the_parent_is_named(
    changes: dict[str, object], asked: dict[str, object], reason: str, tmp_path: Path
) -> None:
    container, manifest = parent_of(tmp_path, **changes)
    with pytest.raises(PermanentFailure) as failed:
        Parent.of_job(container, job(manifest, **asked))
    assert reason in str(failed.value)


def test_a_damaged_or_missing_parent_and_other_shapes_are_told(tmp_path: Path) -> None:
    container, manifest = parent_of(tmp_path)
    parent = Parent.of_job(container, job(manifest))
    assert parent is not None
    with pytest.raises(PermanentFailure, match="set image_size = 8 as it had"):
        parent.give_backbone(tiny_net())
    archive = next((tmp_path / "ml").rglob("model.tar.gz"))
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(PermanentFailure, match="cannot be read"):
        Parent.of_job(container, job(manifest))
    archive.unlink()
    with pytest.raises(PermanentFailure, match="0 files model.tar.gz"):
        Parent.of_job(container, job(manifest))


def test_a_job_asks_for_its_parent_by_digest() -> None:
    strings = Hyperparameters(recipe="finetune", parent_digest="ab").to_strings()
    assert json.loads(strings["parent_digest"]) == "ab"
    assert Hyperparameters.from_strings(strings).parent_digest == "ab"

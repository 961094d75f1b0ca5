"""Nets, weights, the probe's arithmetic, calibration, export."""

import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from training.artefact.artefact import Task
from training.artefact.evidence import read_evidence, write_evidence
from training.artefact.export import ServingNet, export_onnx, probabilities_of
from training.config import Hyperparameters, Resize
from training.data.augmentation import augment
from training.exporting import export_model
from training.fitting.architectures import Classifier, build
from training.fitting.calibration import fit_temperature, fit_thresholds
from training.fitting.held_out import HeldOut
from training.fitting.losses import loss_of
from training.fitting.watched import MeanOverImages
from training.images.preprocessing import Preprocessing, resize_to_squares
from training.train import _calibrated

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_the_temperature_undoes_overconfidence(task: Task) -> None:
    draw = torch.Generator().manual_seed(0)
    honest = torch.randn(4000, 5, generator=draw) * 2
    if task == "multi_label":
        targets = torch.bernoulli(honest.sigmoid(), generator=draw)
    else:
        targets = torch.multinomial(honest.softmax(1), 1, generator=draw)[:, 0]
    assert fit_temperature(honest * 3, targets, task) == pytest.approx(3, rel=0.1)


def test_a_faultless_split_does_not_make_every_answer_certain() -> None:
    logits = torch.eye(3) * 5
    assert fit_temperature(logits, torch.arange(3), "single_label") >= 0.05


def test_thresholds_separate_and_default_to_half() -> None:
    probabilities = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.1], [0.35, 0.3]], np.float32)
    targets = np.array([[0, 0], [0, 0], [1, 0], [1, 0]], np.float32)
    found = fit_thresholds(probabilities, targets, ("seldom", "never"))
    assert found["seldom"] == pytest.approx(0.25)
    assert found["never"] == 0.5


@pytest.fixture(scope="module")
def serving() -> ServingNet:
    torch.manual_seed(0)
    net = build(Hyperparameters(recipe="scratch", image_size=16), 4).eval()
    return ServingNet(
        net, preprocessing=Preprocessing(size=16), temperature=0.7, task="single_label"
    )


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    draw = np.random.default_rng(0).integers
    sizes = [(16, 16), (8, 8), (150, 150), (61, 200), (1, 5)]
    return [draw(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


@pytest.fixture(scope="module")
def exported(serving: ServingNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    export_onnx(serving, path)
    return path


def test_the_graph_answers_what_the_net_answers(
    serving: ServingNet, exported: Path, photos: list[np.ndarray]
) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(exported)
    expected = probabilities_of(serving, photos)
    for photo, row in zip(photos, expected, strict=True):
        (answer,) = session.run(["probabilities"], {"image": np.stack([photo, photo])})
        assert answer == pytest.approx(np.stack([row, row]), abs=1e-5)
    graph = exported.read_bytes()
    assert b"site-packages" not in graph
    assert b"training/" not in graph


@pytest.mark.parametrize(
    "how",
    [
        Preprocessing(size=16, interpolation="bicubic", resize="pad"),
        Preprocessing(size=16, resize="crop"),
    ],
    ids=["bicubic-pad", "bilinear-crop"],
)
def test_resizing_is_in_the_graph(
    photos: list[np.ndarray], how: Preprocessing, tmp_path: Path
) -> None:
    import onnxruntime

    torch.manual_seed(0)
    net = Classifier(nn.Flatten(), 3 * 16 * 16, 3).eval()
    served = ServingNet(net, preprocessing=how, temperature=1.0, task="single_label")
    squashing = replace(how, interpolation="bilinear", resize="squash")
    other = ServingNet(net, preprocessing=squashing, temperature=1.0, task="single_label")
    strip = np.tile(photos[0][:1], (200, 1, 1))[:, :3]  # 3 × 200 pixels
    images = [*photos, strip, strip.transpose(1, 0, 2)]
    expected = probabilities_of(served, images)
    assert np.abs(probabilities_of(other, images) - expected).max() > 0.01
    export_onnx(served, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for image, row in zip(images, expected, strict=True):
        (answer,) = session.run(["probabilities"], {"image": image[None]})
        assert answer[0] == pytest.approx(row, abs=1e-5)


@pytest.mark.parametrize(
    ("resize", "columns"), [("squash", (10, 250)), ("crop", (90, 170)), ("pad", (10, 250))]
)
def test_a_picture_twice_as_wide_as_high_becomes_a_square(
    resize: Resize, columns: tuple[int, int]
) -> None:
    """A ramp from left to right: a square shows its ends, or those of its middle."""
    ramp = torch.linspace(0, 255, 64).to(torch.uint8).view(1, 1, 64, 1).expand(1, 32, 64, 3)
    square = resize_to_squares(ramp, 16, resize=resize)
    assert square.shape == (1, 3, 16, 16)
    middle = square[0, 0, 8]
    assert middle[[0, -1]].tolist() == pytest.approx(columns, abs=30)
    assert middle.diff().min() > 0
    edges = square[0, :, [0, 1, 2, 3, 12, 13, 14, 15]]
    assert bool((edges == 127).all()) == (resize == "pad")


def test_a_net_that_several_gpus_trained_is_exported_as_any_other(
    serving: ServingNet, exported: Path, photos: list[np.ndarray], tmp_path: Path
) -> None:
    from lightning.pytorch.plugins import TorchSyncBatchNorm

    net, sync = copy.deepcopy(serving), TorchSyncBatchNorm()
    sync.revert(sync.apply(net))  # as Lightning does before and after; leaves layers of its own
    net.eval()
    assert list(net.state_dict()) == list(serving.state_dict())
    assert np.array_equal(probabilities_of(net, photos), probabilities_of(serving, photos))
    export_onnx(net, tmp_path / "several.onnx")
    assert exported.read_bytes() == (tmp_path / "several.onnx").read_bytes()


def test_evidence_comes_back(photos: list[np.ndarray], tmp_path: Path) -> None:
    probabilities = np.random.default_rng(0).random((len(photos), 4), dtype=np.float32)
    write_evidence(tmp_path / "evidence.npz", photos, probabilities)
    images, stored = read_evidence(tmp_path / "evidence.npz")
    assert all(np.array_equal(a, b) for a, b in zip(images, photos, strict=True))
    assert np.array_equal(stored, probabilities)


@pytest.mark.parametrize("level", ["light", "photo"])
def test_augmentation_changes_images_but_not_their_range(level: str) -> None:
    images = torch.rand(16, 3, 24, 24) * 255
    torch.manual_seed(0)
    changed = augment(images, level)
    torch.manual_seed(0)
    assert torch.equal(augment(images, level), changed)
    assert changed.shape == images.shape
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 255.01
    assert (changed - images).abs().mean() > 5


def test_no_augmentation_is_none() -> None:
    images = torch.rand(2, 3, 8, 8)
    assert augment(images, "none") is images


def test_of_equally_good_thresholds_the_one_nearest_to_half_counts() -> None:
    """0.125 and 0.575 give the same F1, too."""
    probabilities = np.array([0.95, 0.9, 0.85, 0.3, 0.25, 0.2, 0.05], np.float32)[:, None]
    targets = np.array([1, 0, 1, 0, 0, 1, 0], np.float32)[:, None]
    assert fit_thresholds(probabilities, targets, ("label",)) == {"label": 0.5}


def test_a_label_that_no_image_has_gets_the_threshold_half() -> None:
    for values in ([0.1, 0.2, 0.3], [0.6, 0.9, 0.7], [0.2, 0.2, 0.2]):
        column = np.array(values, np.float32)[:, None]
        assert fit_thresholds(column, np.zeros((3, 1), np.float32), ("never",)) == {"never": 0.5}


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_what_is_served_divides_by_the_temperature(task: Task) -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # three logits: mean intensities
    image = torch.tensor([[[[9, 3, 1]]]], dtype=torch.uint8)
    logits = torch.tensor([[9.0, 3.0, 1.0]]) / 4
    expected = logits.sigmoid() if task == "multi_label" else logits.softmax(1)
    served = ServingNet(net, preprocessing=Preprocessing(size=1), temperature=4.0, task=task)
    assert torch.allclose(served(image), expected, atol=1e-6)


def test_what_is_trained_is_exported_with_its_temperature(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Exported(Exception):
        pass

    def exported(served: ServingNet, path: Path) -> None:
        raise Exported(served.temperature, served.preprocessing, served.task)

    monkeypatch.setattr("training.artefact.export.export_onnx", exported)
    how = Preprocessing(size=32, interpolation="bicubic", resize="pad")
    net = Classifier(nn.Flatten(), 3, 2, how)
    container: Any = SimpleNamespace(model_dir=tmp_path)
    nothing: Any = None
    with pytest.raises(Exported) as reported:
        export_model(net, "multi_label", {}, nothing, nothing, 2.5, {}, container)
    assert reported.value.args == (2.5, how, "multi_label")


def test_scores_of_the_validation_split_are_those_of_calibrated_answers() -> None:
    draw = torch.Generator().manual_seed(0)
    honest = torch.randn(2000, 3, generator=draw)
    targets = torch.multinomial(honest.softmax(1), 1, generator=draw)[:, 0]
    job: Any = SimpleNamespace(task="single_label", labels=("a", "b", "c"))
    scores, temperature, _ = _calibrated(HeldOut((honest * 5).numpy(), targets.numpy()), job)
    assert temperature == pytest.approx(5, rel=0.1)
    expected = float(loss_of(honest * 5 / temperature, targets, "single_label"))
    assert scores["val_loss"] == pytest.approx(expected)


def test_a_point_between_the_samples_of_a_smaller_picture_is_not_lost() -> None:
    """Resizing looks at all pixels (antialiasing), not at the nearest four."""
    image = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    image[:, ::4, ::4] = 255
    small = resize_to_squares(image, 16)
    assert small.min() > 0
    assert float(small.mean()) == pytest.approx(255 / 16, rel=0.05)


def test_the_mean_loss_is_over_images_and_not_over_batches() -> None:
    mean = MeanOverImages()
    mean.update(torch.tensor(1.0), 1)
    mean.update(torch.tensor(5.0), 3)
    assert float(mean.compute()) == pytest.approx(4.0)

"""Nets, weights, the probe's arithmetic, calibration, export."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import nn

from training.artefact.artefact import Task
from training.artefact.evidence import read_evidence, write_evidence
from training.artefact.export import ServingNet, export_onnx, probabilities_of
from training.config import Hyperparameters
from training.data.augmentation import augment
from training.data.data import LabelledImages
from training.errors import PermanentFailure, WeightsUnavailable
from training.fitting.architectures import Classifier, build, load_weights
from training.fitting.calibration import fit_temperature, fit_thresholds
from training.fitting.losses import loss_of
from training.fitting.probe import _fitted, _regress, fit_probe
from training.fitting.watched import MeanOverImages
from training.images.preprocessing import squash
from training.train import _calibrated, _export

pytestmark = pytest.mark.unit


def _job(architecture: str, size: int = 64) -> Hyperparameters:
    return Hyperparameters(
        recipe="probe", architecture=architecture, weights="none", image_size=size
    )


@pytest.mark.parametrize(
    ("architecture", "features"),
    [("mobilenet_v2", 1280), ("squeezenet1_0", 512), ("resnet18", 512), ("efficientnet_b0", 1280)],
)
def test_a_beheaded_net_gives_features(architecture: str, features: int) -> None:
    with torch.device("meta"):  # shapes alone
        net = build(_job(architecture), 4).eval()
        images = torch.zeros(2, 3, 64, 64)
    assert net.embed(images).shape == (2, features)
    assert net(images).shape == (2, 4)


def test_pretrained_weights_reach_the_backbone(tmp_path: Path) -> None:
    from torchvision import models

    torch.manual_seed(1)
    whole = models.squeezenet1_0(weights=None)
    torch.save(whole.state_dict(), tmp_path / "squeezenet1_0.pth")
    job = _job("squeezenet1_0").model_copy(update={"weights": "imagenet"})
    net = build(job, 3, load_weights(job, tmp_path))
    expected = whole.features[0].weight
    assert torch.equal(net.get_parameter("backbone.features.0.weight"), expected)


def test_an_unknown_architecture_is_told_the_known_ones() -> None:
    with pytest.raises(PermanentFailure, match=r"'mobilenet_v9'.*mobilenet_v2"):
        build(_job("mobilenet_v9"), 2)


def test_a_net_of_fixed_size_says_so() -> None:
    refused = pytest.raises(PermanentFailure, match=r"160 × 160 pixels.*image_size = 224")
    with refused, torch.device("meta"):
        build(_job("vit_b_16", 160), 2)


def test_weights_of_another_net_are_refused() -> None:
    with pytest.raises(PermanentFailure, match="another net"):
        build(_job("squeezenet1_0"), 2, {"conv.weight": torch.zeros(1)})


def test_a_file_that_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    (tmp_path / "resnet18.pth").write_bytes(b"<html>not found</html>")
    job = _job("resnet18").model_copy(update={"weights": "imagenet"})
    with pytest.raises(PermanentFailure, match=r"resnet18\.pth"):
        load_weights(job, tmp_path)


def test_missing_weights_name_every_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    monkeypatch.setattr("torch.hub.urlopen", offline)
    job = _job("resnet18").model_copy(update={"weights": "imagenet"})
    with pytest.raises(WeightsUnavailable) as caught:
        load_weights(job, tmp_path)
    for word in ("resnet18.pth", "IMGCLF_WEIGHTS_DIR", 'weights = "none"', 'recipe = "scratch"'):
        assert word in str(caught.value)


def _split(task: Task, classes: int, count: int, seed: int) -> LabelledImages:
    """1 × 1 pictures whose three intensities decide their labels."""
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (count, 1, 1, 3), dtype=np.uint8)
    values = images[:, 0, 0, :classes].astype(np.float32) + draw.normal(0, 30, (count, classes))
    targets = (values > 128).astype(np.float32) if task == "multi_label" else values.argmax(1)
    return LabelledImages(images, targets, rows=None)


@pytest.mark.parametrize(
    ("task", "classes"), [("single_label", 2), ("single_label", 3), ("multi_label", 3)]
)
def test_the_probe_folds_into_the_net(task: Task, classes: int) -> None:
    net = Classifier(nn.Flatten(), 3, classes)
    train, val = _split(task, classes, 300, 1), _split(task, classes, 300, 2)
    history, logits = fit_probe(
        net,
        task=task,
        train=train,
        val=val,
        progress=lambda done, total: None,
        report=lambda tried: None,
        bf16=False,
    )
    images = torch.from_numpy(val.images).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        assert torch.allclose(net(images), logits, atol=1e-3)
    assert min(tried["val_loss"] for tried in history) == pytest.approx(
        float(loss_of(logits, torch.from_numpy(val.targets), task)), abs=1e-6
    )
    assert max(tried["val_accuracy"] for tried in history) > 0.5


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
    return ServingNet(net, size=16, temperature=0.7, task="single_label")


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


def test_two_classes_get_the_probabilities_of_the_regression() -> None:
    draw = np.random.default_rng(5)
    features = draw.normal(size=(200, 4)).astype(np.float32)
    targets = (features[:, 0] + draw.normal(size=200) > 0).astype(np.int64)
    linear = _regress(features, targets, 1.0, "single_label")
    expected = _fitted(features, targets, 1.0).predict_proba(features)
    answered = torch.from_numpy(linear.logits(features)).softmax(1).numpy()
    np.testing.assert_allclose(answered, expected, atol=1e-5)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_what_is_served_divides_by_the_temperature(task: Task) -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # three logits: mean intensities
    image = torch.tensor([[[[9, 3, 1]]]], dtype=torch.uint8)
    logits = torch.tensor([[9.0, 3.0, 1.0]]) / 4
    expected = logits.sigmoid() if task == "multi_label" else logits.softmax(1)
    served = ServingNet(net, size=1, temperature=4.0, task=task)
    assert torch.allclose(served(image), expected, atol=1e-6)


def test_what_is_trained_is_exported_with_its_temperature(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Exported(Exception):
        pass

    def exported(served: ServingNet, path: Path) -> None:
        raise Exported(served.temperature, served.size, served.task)

    monkeypatch.setattr("training.artefact.export.export_onnx", exported)
    job: Any = SimpleNamespace(parameters=SimpleNamespace(image_size=32), task="multi_label")
    container: Any = SimpleNamespace(model_dir=tmp_path)
    nothing: Any = None
    with pytest.raises(Exported) as reported:
        _export(nothing, job, nothing, 2.5, {}, container)
    assert reported.value.args == (2.5, 32, "multi_label")


def test_scores_of_the_validation_split_are_those_of_calibrated_answers() -> None:
    draw = torch.Generator().manual_seed(0)
    honest = torch.randn(2000, 3, generator=draw)
    targets = torch.multinomial(honest.softmax(1), 1, generator=draw)[:, 0]
    split: Any = SimpleNamespace(targets=targets.numpy())
    job: Any = SimpleNamespace(task="single_label", labels=("a", "b", "c"))
    scores, temperature, _ = _calibrated(honest * 5, split, job)
    assert temperature == pytest.approx(5, rel=0.1)
    expected = float(loss_of(honest * 5 / temperature, targets, "single_label"))
    assert scores["val_loss"] == pytest.approx(expected)


def test_a_point_between_the_samples_of_a_smaller_picture_is_not_lost() -> None:
    """Resizing looks at all pixels (antialiasing), not at the nearest four."""
    image = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    image[:, ::4, ::4] = 255
    small = squash(image, 16)
    assert small.min() > 0
    assert float(small.mean()) == pytest.approx(255 / 16, rel=0.05)


def test_the_mean_loss_is_over_images_and_not_over_batches() -> None:
    mean = MeanOverImages()
    mean.update(torch.tensor(1.0), 1)
    mean.update(torch.tensor(5.0), 3)
    assert float(mean.compute()) == pytest.approx(4.0)

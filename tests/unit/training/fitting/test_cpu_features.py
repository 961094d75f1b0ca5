"""Features computed by OpenVINO are those that PyTorch computes."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from training.config import Hyperparameters
from training.data.data import LabelledImages
from training.fitting.architectures import Classifier, build
from training.fitting.cpu_features import WORTH_IMAGES, openvino_features
from training.fitting.extractor import FeatureExtractor
from training.images.preprocessing import Preprocessing

pytestmark = pytest.mark.unit

SIZE = 32


@pytest.fixture(scope="module")
def net() -> Classifier:
    torch.manual_seed(0)
    job = Hyperparameters(architecture="tf_efficientnet_lite0", weights="none", image_size=SIZE)
    return build(job, 2).eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(12, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 255


@pytest.fixture(scope="module")
def features(net: Classifier) -> Callable[[torch.Tensor], torch.Tensor]:
    """The net, converted: 3 CPU seconds."""
    converted = openvino_features(net, size=SIZE, bf16=False)
    assert converted is not None
    return converted


def test_float32_agrees_to_rounding_whatever_the_batch(
    net: Classifier, images: torch.Tensor, features: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    with torch.inference_mode():
        expected = net.embed(images)
    assert torch.allclose(features(images), expected, atol=1e-4)
    channels_last = images.contiguous(memory_format=torch.channels_last)
    assert torch.allclose(features(channels_last[:5]), expected[:5], atol=1e-4)


def test_threads_share_a_converted_net(
    images: torch.Tensor, features: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    expected = features(images)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(features, [images[[n]] for n in range(12)] * 4))
    for number, answer in enumerate(answers):
        assert torch.allclose(answer[0], expected[number % 12], atol=1e-5)


def test_nothing_is_sent_to_intel(monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino_telemetry

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("statistics of use are sent")

    for name in ("__init__", "send_event", "start_session", "force_shutdown"):
        monkeypatch.setattr(openvino_telemetry.Telemetry, name, refuse)
    assert openvino_features(_tiny(_Mean()), size=SIZE, bf16=False) is not None


def _split(count: int) -> LabelledImages:
    pixels = np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)
    return LabelledImages(pixels, np.zeros(count, np.int64), pa.table({}))


class _Mean(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


class _Inverse(nn.Module):
    """An operation that OpenVINO lacks."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.linalg.matrix_exp(images.contiguous() / 1e4).mean((2, 3))


def _tiny(backbone: nn.Module) -> Classifier:
    return Classifier(backbone, 3, 2, Preprocessing(size=SIZE))


def test_many_images_are_computed_by_openvino_and_few_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, used = _tiny(_Mean()), []
    monkeypatch.setattr(
        "training.fitting.extractor.openvino_features",
        lambda net, *, size, bf16: used.append(bf16) or (lambda images: images.mean((2, 3))),
    )
    few = FeatureExtractor(net, images=WORTH_IMAGES - 1, bf16=False)(_split(WORTH_IMAGES - 1))
    assert used == []
    extract = FeatureExtractor(net, images=WORTH_IMAGES, bf16=True)
    many, rest = extract(_split(WORTH_IMAGES - 6)), extract(_split(6))
    assert used == [True]  # converted once, also for a small lot
    assert [len(found) for found in (few, many, rest)] == [WORTH_IMAGES - 1, WORTH_IMAGES - 6, 6]


@pytest.mark.parametrize("missing", [True, False])
def test_without_openvino_pytorch_computes(
    missing: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "training")
    if missing:
        monkeypatch.setitem(sys.modules, "openvino", None)
    net = _tiny(_Mean() if missing else _Inverse())
    found = FeatureExtractor(net, images=WORTH_IMAGES, bf16=False)(_split(WORTH_IMAGES))
    assert found.shape == (WORTH_IMAGES, 3)
    assert np.isfinite(found).all()
    assert ("is not installed" if missing else "cannot convert") in caplog.text

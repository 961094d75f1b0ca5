"""A model is served in a lower precision only if it loses almost nothing."""

import itertools
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from training.artefact import openvino_session, precision
from training.artefact.artefact import (
    MANIFEST,
    ONNX_MODEL,
    TORCH_MODEL,
    ArtefactManifest,
    digest,
    read_artefact_manifest,
    verify,
    write_manifest,
)
from training.artefact.export import OPSET, ServingNet, export_onnx
from training.artefact.precision import Labelled, lower_precision, quantize
from training.artefact.predictor import OnnxPredictor
from training.config import ExportPrecision, Hyperparameters
from training.data.known_features import KnownFeatures
from training.errors import ArtefactError
from training.fitting.architectures import Classifier
from training.images.preprocessing import Preprocessing

pytestmark = pytest.mark.unit

SIZE = 16
LABELS = ("dark", "light")
FIELDS = {
    "task": "single_label",
    "labels": LABELS,
    "input_size": SIZE,
    "dataset_version": "d",
    "code_version": "c",
    "model_version": "train-1",
    "recipe": "probe",
    "architecture": "tiny",
    "opset": OPSET,
    "created_by": "a test",
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A net that tells dark images from light ones."""
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    net = Classifier(body, 8, 2, Preprocessing(size=SIZE)).eval()
    with torch.no_grad():
        grey = torch.stack([torch.full((3, SIZE, SIZE), float(value)) for value in (60, 190)])
        dark, light = net.embed(grey)
        net.head.weight.copy_(torch.stack([dark - light, light - dark]) * 4)
        net.head.bias.copy_(-net.head.weight @ (dark + light) / 2)
    folder = tmp_path_factory.mktemp("exported")
    serving = ServingNet(net, preprocessing=net.preprocessing, temperature=1.0, task="single_label")
    export_onnx(serving, folder / ONNX_MODEL)
    torch.save(net.state_dict(), folder / TORCH_MODEL)
    write_manifest(folder, **FIELDS)
    return folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    copied = tmp_path / "model"
    copied.mkdir()
    for path in exported.iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    return copied


def photos(count: int = 120) -> Iterator[Labelled]:
    draw = np.random.default_rng(0)
    for number in range(count):
        shape = (20 + number % 3, 24, 3)
        low = 130 * (number % 2)
        yield (LABELS[number % 2],), draw.integers(low, low + 120, shape, dtype=np.uint8)


def _tried(
    folder: Path, asked: ExportPrecision, tmp_path: Path, count: int = 120
) -> tuple[ArtefactManifest, precision.PrecisionTrial]:
    return lower_precision(
        folder,
        read_artefact_manifest(folder),
        asked,
        calibration=(pixels for _, pixels in photos(40)),
        validation=photos(count),
        scratch=tmp_path,
    )


@pytest.fixture
def faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lower precision takes half of the time."""
    _clock(monkeypatch, (0.0, 2.0, 0.0, 1.0))


def _clock(monkeypatch: pytest.MonkeyPatch, times: tuple[float, ...]) -> None:
    ticks = itertools.cycle(times)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: next(ticks))


@pytest.fixture
def _bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine computes in bfloat16, or is taken for one that does."""
    monkeypatch.setattr(precision, "computes_bf16", lambda: True)


@pytest.mark.usefixtures("faster", "_bf16")
@pytest.mark.parametrize("asked", ["bf16", "int8"])
def test_a_precision_that_loses_nothing_is_kept(
    folder: Path, exported: Path, asked: ExportPrecision, tmp_path: Path
) -> None:
    manifest, trial = _tried(folder, asked, tmp_path)
    assert trial.kept, trial.reason
    assert (trial.images, trial.fp32_right, trial.right) == (120, 1.0, 1.0)
    assert (trial.fp32_ms, trial.ms) == (2000.0, 1000.0)
    assert verify(folder) == manifest
    assert manifest.precision == asked
    assert digest(folder) != digest(exported)
    images = [pixels for _, pixels in photos(6)]
    served = OnnxPredictor(folder).predict_images(images)
    expected = OnnxPredictor(exported).predict_images(images)
    assert np.abs(served - expected).max() <= trial.difference + 1e-6
    graph = (folder / ONNX_MODEL).read_bytes()
    assert (b"QuantizeLinear" in graph) == (asked == "int8")


@pytest.mark.usefixtures("faster")
def test_a_precision_that_changes_answers_is_not_kept(
    folder: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(source: Path, target: Path, *_: object) -> None:
        model = onnx.load(source)
        (head,) = [one for one in model.graph.initializer if tuple(one.dims) == (2, 8)]
        head.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(head), head.name))
        onnx.save(model, target)

    monkeypatch.setattr(precision, "quantize", wrong)
    manifest, trial = _tried(folder, "int8", tmp_path)
    assert not trial.kept
    assert "it loses" in trial.reason
    _unchanged(folder, exported, manifest)


def _unchanged(folder: Path, exported: Path, manifest: ArtefactManifest) -> None:
    assert manifest == read_artefact_manifest(exported)
    assert manifest.precision == "fp32"
    for name in (MANIFEST, ONNX_MODEL, TORCH_MODEL):
        assert (folder / name).read_bytes() == (exported / name).read_bytes()


@pytest.mark.usefixtures("_bf16")
def test_a_precision_that_is_slower_is_not_kept(
    folder: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _clock(monkeypatch, (0.0, 1.0, 0.0, 2.0))
    manifest, trial = _tried(folder, "bf16", tmp_path)
    assert not trial.kept
    assert "nothing is gained" in trial.reason
    _unchanged(folder, exported, manifest)


@pytest.mark.usefixtures("faster", "_bf16")
def test_probabilities_that_move_too_far_are_not_kept(
    folder: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(precision.MOST_DIFFERENCE, "bf16", -1.0)
    manifest, trial = _tried(folder, "bf16", tmp_path)
    assert not trial.kept
    _unchanged(folder, exported, manifest)


@pytest.mark.usefixtures("faster", "_bf16")
def test_few_images_cannot_judge_it(folder: Path, exported: Path, tmp_path: Path) -> None:
    manifest, trial = _tried(folder, "bf16", tmp_path, count=99)
    assert (trial.kept, trial.images) == (False, 99)
    assert "too few" in trial.reason
    _unchanged(folder, exported, manifest)


def test_without_bfloat16_nothing_is_measured(
    folder: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "computes_bf16", lambda: False)
    manifest, trial = _tried(folder, "bf16", tmp_path)
    assert (trial.kept, trial.images) == (False, 0)
    assert "no bfloat16" in trial.reason
    _unchanged(folder, exported, manifest)


def test_a_graph_that_cannot_be_quantized_stays(
    folder: Path, exported: Path, tmp_path: Path
) -> None:
    with pytest.raises(ArtefactError, match="cannot quantize"):
        quantize(
            folder / ONNX_MODEL, tmp_path / "x.onnx", iter([np.zeros((3, 3), np.uint8)]), tmp_path
        )
    manifest, trial = lower_precision(
        folder,
        read_artefact_manifest(folder),
        "int8",
        calibration=iter([np.zeros((3, 3), np.uint8)]),
        validation=photos(),
        scratch=tmp_path,
    )
    assert not trial.kept
    assert "cannot quantize" in trial.reason
    _unchanged(folder, exported, manifest)


@pytest.fixture
def served_in_bf16(folder: Path) -> Path:
    write_manifest(folder, **FIELDS, precision="bf16")
    return folder


def test_several_threads_share_a_model_in_bfloat16(served_in_bf16: Path, exported: Path) -> None:
    images = [pixels for _, pixels in photos(24)]
    model = OnnxPredictor(served_in_bf16, threads=1)
    with ThreadPoolExecutor(4) as pool:
        found = np.concatenate(list(pool.map(lambda image: model.predict_images([image]), images)))
    assert found == pytest.approx(OnnxPredictor(exported).predict_images(images), abs=0.1)


def test_without_openvino_it_is_served_in_float32(
    served_in_bf16: Path,
    exported: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert not openvino_session.computes_bf16()
    images = [pixels for _, pixels in photos(4)]
    found = OnnxPredictor(served_in_bf16).predict_images(images)
    assert np.array_equal(found, OnnxPredictor(exported).predict_images(images))
    assert "pip install openvino" in caplog.text


def test_a_graph_with_other_outputs_is_refused_in_bfloat16_too(served_in_bf16: Path) -> None:
    write_manifest(served_in_bf16, **{**FIELDS, "labels": ("a", "b", "c")}, precision="bf16")
    with pytest.raises(ArtefactError, match="it must take image uint8"):
        OnnxPredictor(served_in_bf16)
    (served_in_bf16 / ONNX_MODEL).write_bytes(b"no graph")
    with pytest.raises(ArtefactError, match="OpenVINO cannot execute"):
        OnnxPredictor(served_in_bf16)


def test_an_evaluation_does_not_answer_with_the_fp32_head(served_in_bf16: Path) -> None:
    model = OnnxPredictor(served_in_bf16)
    found = KnownFeatures.of_model(model, served_in_bf16, None, Path(), print, print)
    assert found is None


def test_jobs_and_models_in_float32_are_those_of_older_code(exported: Path) -> None:
    assert "export_precision" not in Hyperparameters().used()
    lower = Hyperparameters(export_precision="bf16")
    assert lower.used()["export_precision"] == "bf16"
    assert Hyperparameters.from_strings(lower.to_strings()) == lower
    assert b"precision" not in (exported / MANIFEST).read_bytes()

"""An exported graph is compared with its net: all of it once, and then the head that is new."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from training.artefact import export_check
from training.artefact.artefact import ONNX_MODEL, TORCH_MODEL, write_manifest
from training.artefact.checked_export import CheckedBody, ExportCheck, comparison_file
from training.artefact.export import OPSET, ServingNet, export_onnx
from training.artefact.export_check import Evidence, check_export
from training.fitting.architectures import Classifier
from training.images.preprocessing import Preprocessing

pytestmark = pytest.mark.unit

SIZE = 8
MANY, SOME = 12, 4


@pytest.fixture(autouse=True)
def _few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_check, "CHECKED_IMAGES", MANY)
    monkeypatch.setattr(export_check, "SOME_IMAGES", SOME)
    monkeypatch.setattr(export_check, "_CHUNK", 5)


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (9 + n % 2, 11, 3), dtype=np.uint8) for n in range(20)]


@pytest.fixture(scope="module")
def net() -> Classifier:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Classifier(body, 6, 2, Preprocessing(size=SIZE)).eval()


@pytest.fixture(scope="module")
def exported(net: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _exported(net, tmp_path_factory.mktemp("model"))


def _serving(net: Classifier) -> ServingNet:
    return ServingNet(
        net, preprocessing=net.preprocessing, temperature=0.5, task="single_label"
    ).eval()


def _exported(net: Classifier, folder: Path, recipe: str = "probe") -> Path:
    export_onnx(_serving(net), folder / ONNX_MODEL)
    torch.save(net.state_dict(), folder / TORCH_MODEL)
    return _described(folder, recipe)


def _described(folder: Path, recipe: str = "probe") -> Path:
    write_manifest(
        folder,
        task="single_label",
        labels=("a", "b"),
        input_size=SIZE,
        dataset_version="d",
        code_version="c",
        model_version=folder.name,
        recipe=recipe,
        architecture="tiny",
        opset=OPSET,
        created_by="a test",
    )
    return folder


def _changed(folder: Path, into: Path, weights: tuple[int, ...]) -> Path:
    """The artefact with one number of the tensor of this shape changed in its graph."""
    into.mkdir()
    model = onnx.load(folder / ONNX_MODEL)
    (tensor,) = [one for one in model.graph.initializer if tuple(one.dims) == weights]
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] += 20
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, into / ONNX_MODEL)
    (into / TORCH_MODEL).write_bytes((folder / TORCH_MODEL).read_bytes())
    return _described(into)


@torch.inference_mode()
def _features(net: Classifier, count: int = MANY) -> np.ndarray:
    squares = torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 255
    return net.embed(squares).numpy().astype(np.float16)


def _noted(check: ExportCheck, folder: Path) -> Path:
    assert check.body is not None
    (folder / "deeper").mkdir(parents=True, exist_ok=True)
    path = folder / "deeper" / comparison_file(check.body)
    path.write_text(check.body.model_dump_json(), encoding="utf-8")
    return path


def _checked(
    net: Classifier,
    folder: Path,
    photos: list[np.ndarray],
    *,
    features: np.ndarray | None = None,
    earlier: Path | None = None,
    of: int | None = None,
) -> tuple[ExportCheck, Evidence]:
    none = np.empty((0, 0), np.float16)
    return check_export(
        _serving(net),
        folder,
        iter(photos),
        of=len(photos) if of is None else of,
        features=none if features is None else features,
        earlier=earlier,
    )


def test_the_first_graph_of_a_body_is_compared_on_many_images(
    net: Classifier, exported: Path, photos: list[np.ndarray]
) -> None:
    check, evidence = _checked(net, exported, photos, features=_features(net))
    assert (check.images, check.features, check.images_checked) == (MANY, 0, MANY)
    assert check.difference < 1e-6
    assert check.body is not None
    assert check.body.model_version == exported.name
    assert [image.tobytes() for image in evidence.images] == [
        image.tobytes() for image in photos[:SOME]
    ]
    with torch.inference_mode():
        expected = [_serving(net)(torch.from_numpy(image)[None])[0].numpy() for image in photos]
    assert evidence.probabilities == pytest.approx(np.stack(expected[:SOME]), abs=1e-6)


def test_a_known_body_is_compared_on_few_images_and_the_head_on_many_features(
    net: Classifier, exported: Path, photos: list[np.ndarray], tmp_path: Path
) -> None:
    first, _ = _checked(net, exported, photos)
    _noted(first, tmp_path / "earlier")
    other = copy.deepcopy(net)
    with torch.no_grad():
        other.head.weight += 1
    (tmp_path / "later").mkdir()
    later = _exported(other, tmp_path / "later")
    given: dict[str, Any] = {"features": _features(net, 20), "earlier": tmp_path / "earlier"}
    check, evidence = _checked(other, later, photos, **given)
    assert (check.images, check.features, check.images_checked) == (SOME, MANY, MANY)
    assert check.body == first.body
    assert len(evidence.images) == SOME
    assert check.difference < 1e-5

    check, _ = _checked(other, later, photos, earlier=tmp_path / "earlier")
    assert (check.images, check.features) == (MANY, 0), "no features to compare the heads with"


def test_another_head_in_the_graph_is_found_by_features_alone(
    net: Classifier, exported: Path, photos: list[np.ndarray], tmp_path: Path
) -> None:
    first, _ = _checked(net, exported, photos)
    _noted(first, tmp_path)
    wrong = _changed(exported, tmp_path / "model", weights=(2, 6))
    check, _ = _checked(net, wrong, [], features=_features(net), earlier=tmp_path, of=20)
    assert (check.images, check.features) == (0, MANY)
    assert check.difference > 0.01


def test_another_body_in_the_graph_is_compared_on_many_images(
    net: Classifier, exported: Path, photos: list[np.ndarray], tmp_path: Path
) -> None:
    first, _ = _checked(net, exported, photos)
    _noted(first, tmp_path)
    wrong = _changed(exported, tmp_path / "model", weights=(6, 3, 3, 3))
    check, _ = _checked(net, wrong, photos, features=_features(net), earlier=tmp_path)
    assert (check.images, check.features) == (MANY, 0)
    assert check.difference > 0.001


@pytest.mark.parametrize(
    ("compared", "of", "again"),
    [(MANY, 20, False), (MANY - 1, 20, True), (5, 10, False), (5, 11, True), (5, 5, False)],
)
def test_a_comparison_counts_until_there_are_twice_as_many_images(
    net: Classifier,
    exported: Path,
    photos: list[np.ndarray],
    tmp_path: Path,
    *,
    compared: int,
    of: int,
    again: bool,
) -> None:
    first, _ = _checked(net, exported, photos[:compared])
    _noted(first, tmp_path)
    given: dict[str, Any] = {"features": _features(net), "earlier": tmp_path, "of": of}
    check, _ = _checked(net, exported, photos, **given)
    assert (check.features == 0) == again


def test_a_damaged_or_foreign_comparison_does_not_count(
    net: Classifier,
    exported: Path,
    photos: list[np.ndarray],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, _ = _checked(net, exported, photos)
    path = _noted(first, tmp_path)
    given: dict[str, Any] = {"features": _features(net), "earlier": tmp_path}
    path.write_text("{", encoding="utf-8")
    check, _ = _checked(net, exported, photos, **given)
    assert (check.images, check.features) == (MANY, 0)
    assert f"{path.name} is damaged" in caplog.text

    assert first.body is not None
    foreign = CheckedBody(**{**first.body.model_dump(), "body": "another"})
    path.write_text(foreign.model_dump_json(), encoding="utf-8")
    check, _ = _checked(net, exported, photos, **given)
    assert (check.images, check.features) == (MANY, 0)


def test_a_comparison_by_another_pytorch_does_not_count(
    net: Classifier,
    exported: Path,
    photos: list[np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, _ = _checked(net, exported, photos)
    _noted(first, tmp_path)
    monkeypatch.setattr(torch, "__version__", "0.0")
    check, _ = _checked(net, exported, photos, features=_features(net), earlier=tmp_path)
    assert (check.images, check.features) == (MANY, 0)


def test_a_net_that_was_fine_tuned_is_compared_on_many_images(
    net: Classifier, photos: list[np.ndarray], tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    tuned = _exported(net, tmp_path / "model", recipe="finetune")
    check, _ = _checked(net, tuned, photos, features=_features(net), earlier=tmp_path)
    assert (check.images, check.features, check.body) == (MANY, 0, None)
    assert check.images_checked == MANY


def test_a_net_that_answers_nan_differs_by_nan(
    net: Classifier, exported: Path, photos: list[np.ndarray]
) -> None:
    broken = copy.deepcopy(net)
    with torch.no_grad():
        broken.head.bias[0] = torch.nan
    check, _ = _checked(broken, exported, photos)
    assert np.isnan(check.difference)
    assert np.isnan(ExportCheck.model_validate_json(check.model_dump_json()).difference)

"""The predictor: order, batches, decisions and broken models."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.artefact import predictor as module
from training.artefact.predictor import OnnxPredictor, decide
from training.errors import ArtefactError

pytestmark = pytest.mark.unit


def plain(colour: tuple[int, int, int], height: int = 8, width: int = 8) -> np.ndarray:
    return np.full((height, width, 3), colour, dtype=np.uint8)


def test_answers_in_the_order_of_the_images_whatever_their_sizes(
    colour_artefact: Callable[..., Path], tmp_path: Path
) -> None:
    predictor = OnnxPredictor(colour_artefact(tmp_path))
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    images = [plain(colours[i % 3], 5 + i % 4, 6 + i % 5) for i in range(150)]

    probabilities = predictor.predict_images(images)

    assert probabilities.dtype == np.float32
    assert probabilities.argmax(axis=1).tolist() == [i % 3 for i in range(150)]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert predictor.decide(probabilities)[:3] == [("red",), ("green",), ("blue",)]


def test_batches_hold_one_shape_and_stay_within_both_bounds() -> None:
    wide, small = plain((0, 0, 0), 1000, 1500), plain((0, 0, 0))
    huge = np.broadcast_to(np.uint8(0), (9000, 9000, 3))
    images = [small, wide, huge] * 70

    batches = list(module.batches(images))

    assert sorted(sum(batches, [])) == list(range(210))
    for batch in batches:
        assert len({images[i].shape for i in batch}) == 1
        pixels = sum(images[i].shape[0] * images[i].shape[1] for i in batch)
        assert len(batch) <= module.MAX_BATCH_IMAGES
        assert pixels <= module.MAX_BATCH_PIXELS or len(batch) == 1
    assert len(batches) == 9 + 35 + 70


def test_no_images_is_no_rows(colour_artefact: Callable[..., Path], tmp_path: Path) -> None:
    predictor = OnnxPredictor(colour_artefact(tmp_path))
    assert predictor.predict_images([]).shape == (0, 3)
    assert predictor.decide(predictor.predict_images([])) == []


def test_names_the_image_that_is_no_image(
    colour_artefact: Callable[..., Path], tmp_path: Path
) -> None:
    predictor = OnnxPredictor(colour_artefact(tmp_path))
    with pytest.raises(ValueError, match="image 1 is float32"):
        predictor.predict_images([plain((0, 0, 0)), np.zeros((4, 4, 3), np.float32)])
    with pytest.raises(ValueError, match="image 0 is uint8 \\(4, 4\\)"):
        predictor.predict_images([np.zeros((4, 4), np.uint8)])


def test_multi_label_gives_every_label_that_reaches_its_threshold() -> None:
    thresholds = {"a": 0.5, "b": 0.9, "c": 0.1}
    probabilities = np.array(
        [[0.5, 0.89, 0.0], [0.6, 0.95, 0.1], [0.4, 0.8, 0.05]], dtype=np.float32
    )
    assert decide(probabilities, "abc", thresholds) == [("a",), ("b", "a", "c"), ()]


def test_refuses_a_model_whose_classes_are_not_its_labels(
    colour_artefact: Callable[..., Path], tmp_path: Path
) -> None:
    two = colour_artefact(tmp_path / "two", labels=("red", "green"))
    three = colour_artefact(tmp_path / "three")
    (two / "model.onnx").write_bytes((three / "model.onnx").read_bytes())
    with pytest.raises(ArtefactError, match=r"float32 \[batch, 2\]"):
        OnnxPredictor(two)


def test_refuses_what_is_no_model(colour_artefact: Callable[..., Path], tmp_path: Path) -> None:
    folder = colour_artefact(tmp_path)
    (folder / "model.onnx").write_bytes(b"not ONNX")
    with pytest.raises(ArtefactError, match="cannot be loaded"):
        OnnxPredictor(folder)


def test_never_passes_on_a_probability_that_is_none(
    colour_artefact: Callable[..., Path], tmp_path: Path
) -> None:
    predictor = OnnxPredictor(colour_artefact(tmp_path, sharpness=float("nan")))
    with pytest.raises(ArtefactError, match="train it again"):
        predictor.predict_images([plain((1, 2, 3))])

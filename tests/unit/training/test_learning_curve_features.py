"""The learning-curve job prepares images as the model's training did."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from torch import nn

from training.data.data import LabelledImages
from training.fitting.architectures import Classifier
from training.images.preprocessing import Preprocessing
from training.learning_curve import _extract_features

pytestmark = pytest.mark.unit


def test_images_are_resized_as_the_model_takes_them() -> None:
    asked: list[tuple[Any, ...]] = []

    def split(name: str, how: Preprocessing, _: object) -> LabelledImages:
        asked.append((name, how))
        pixels = np.zeros((3, how.size, how.size, 3), np.uint8)
        return LabelledImages(pixels, np.zeros(3, np.int64), pa.table({"sha256": ["a", "b", "c"]}))

    how = Preprocessing(size=8, interpolation="bicubic", resize="crop")
    net = Classifier(nn.Flatten(), 3 * 8 * 8, 2, how)
    source: Any = SimpleNamespace(split=split)
    model: Any = SimpleNamespace(net=net, manifest=SimpleNamespace(input_size=8))
    phases: Any = SimpleNamespace(count=lambda *_: None, say=lambda *_: None)
    features, rows = _extract_features(source, "train", model, phases)
    assert asked == [("train", how)]
    assert (features.shape, rows["sha256"].to_pylist()) == ((3, 192), ["a", "b", "c"])

"""A probe takes the features of images that an earlier job saw, and becomes the same model."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from training import train
from training.container.container import JobContainer
from training.container.pipes import open_pipes
from training.data import data
from training.embedding.features import FEATURES_SCHEMA
from training.embedding.reuse import TRAINING_FEATURES
from training.evaluation import history_picture

pytestmark = pytest.mark.unit

NET = {
    "recipe": "probe",
    "architecture": "squeezenet1_1",
    "weights": "none",
    "image_size": 32,
}


def _images() -> list[tuple[np.ndarray, list[str], str]]:
    draw = np.random.default_rng(0)
    found = []
    for number in range(36):
        split = "val" if number % 3 == 0 else "train"
        image = draw.integers(0, 99, (20, 24, 3), dtype=np.uint8)
        image[..., number % 2] += 100
        found.append((image, ["ab"[number % 2]], split))
    return found


def _trained(root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict, list[int]]:
    """Metrics, and the numbers of decoded images."""
    decoded: list[int] = []
    real = data.resized_to_square

    def counted(*given: object) -> np.ndarray:
        decoded.append(1)
        return real(*given)

    monkeypatch.setattr(data, "resized_to_square", counted)
    for folder in ("model", "output", "scratch"):
        shutil.rmtree(root / folder, ignore_errors=True)
    monkeypatch.setenv("IMGCLF_ML_ROOT", str(root))
    with open_pipes(silent=True) as pipes:
        metrics = train.train(JobContainer.from_environment(), pipes)
    monkeypatch.setattr(data, "resized_to_square", real)
    return metrics, decoded


def test_stored_features_make_the_same_model(
    tmp_path: Path,
    training_job: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(data, "ALWAYS_DECODED", 2)
    monkeypatch.setattr(history_picture, "draw_history", lambda *_: None)
    root = training_job(tmp_path / "ml", _images(), **NET)
    cold, decoded = _trained(root, monkeypatch)
    assert (cold["features_reused"], len(decoded)) == (0, 36)

    left = pq.read_table(root / "output/data" / TRAINING_FEATURES)
    assert left.cast(FEATURES_SCHEMA).num_rows == 36
    backbone = left.schema.metadata[b"backbone"].decode()
    folder = root / "input/data/features" / backbone
    folder.mkdir(parents=True)
    pq.write_table(left.slice(0, 33), folder / "0000000000-0000000000.parquet")

    warm, decoded = _trained(root, monkeypatch)
    assert (warm["features_reused"], warm["digest"]) == (33, cold["digest"])
    assert len(decoded) <= 3 + 2 * 2, "those without features, and the first of each split"
    assert pq.read_table(root / "output/data" / TRAINING_FEATURES).num_rows == 3

    (folder / "0000000000-0000000000.parquet").write_bytes(b"PAR1")
    again, _ = _trained(root, monkeypatch)
    assert (again["features_reused"], again["digest"]) == (0, cold["digest"])
    assert "computes all features" in caplog.text

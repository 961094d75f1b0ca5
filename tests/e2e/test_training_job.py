"""The training job as a process: whole, killed and resumed, and on data it must refuse."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.patience import WAIT_S, wait_for
from training.artefact.artefact import digest
from training.artefact.evidence import read_evidence
from training.artefact.predictor import OnnxPredictor

pytestmark = pytest.mark.e2e

Layout = Callable[..., Path]
Image = tuple[np.ndarray, list[str], str]

EPOCHS = 8


def _digits(per_class: int = 25) -> list[Image]:
    from sklearn.datasets import load_digits

    data = load_digits()
    chosen = [i for digit in range(4) for i in np.flatnonzero(data.target == digit)[:per_class]]
    grey = (data.images * 255 / 16).round().astype(np.uint8)
    rgb = [np.repeat(grey[index][..., None], 3, axis=2) for index in chosen]
    splits = ["train", "train", "train", "val", "test"]
    return [
        (image, [str(data.target[index])], splits[position % 5])
        for position, (image, index) in enumerate(zip(rgb, chosen, strict=True))
    ]


def _environment(root: Path) -> dict[str, str]:
    return {**os.environ, "IMGCLF_ML_ROOT": str(root), "OMP_NUM_THREADS": "1"}


def _run(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "training.train"],
        env=_environment(root),
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


def _interrupted(root: Path, after_epoch: int, with_signal: signal.Signals) -> int:
    """Start the job, send it a signal once it has said that an epoch is over; its exit status."""
    log = root / "log"
    with log.open("w") as stream:
        job = subprocess.Popen(
            [sys.executable, "-m", "training.train"], env=_environment(root), stderr=stream
        )

    def far_enough() -> bool:
        assert job.poll() is None, log.read_text()
        return f"epoch {after_epoch}," in log.read_text()

    wait_for(far_enough, log.read_text, every_s=0.01)
    job.send_signal(with_signal)
    return job.wait(WAIT_S)


@pytest.fixture(scope="module")
def job(training_job: Layout) -> Callable[[Path], Path]:
    def layout(root: Path) -> Path:
        return training_job(
            root, _digits(), recipe="scratch", image_size=16, learning_rate=4e-3, epochs=EPOCHS,
            batch_size=8,
        )  # fmt: skip

    return layout


@pytest.fixture(scope="module")
def undisturbed(job: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = job(tmp_path_factory.mktemp("undisturbed"))
    finished = _run(root)
    assert finished.returncode == 0, finished.stderr
    assert "leaked" not in finished.stderr  # what nanobind says of libraries at the very end
    return root


def test_a_whole_job_leaves_a_model_that_knows_the_digits(undisturbed: Path) -> None:
    predictor = OnnxPredictor(undisturbed / "model")
    tests = [image for image in _digits() if image[2] == "test"]
    decided = predictor.decide(predictor.predict_images([image for image, _, _ in tests]))
    right = [list(found) == labels for found, (_, labels, _) in zip(decided, tests, strict=True)]
    assert np.mean(right) >= 0.9

    outputs = undisturbed / "output" / "data"
    metrics = json.loads((outputs / "metrics.json").read_text())
    assert metrics["digest"] == digest(undisturbed / "model")
    assert metrics["export_difference"] < 1e-4
    images, expected = read_evidence(outputs / "export_check.npz")
    assert predictor.predict_images(images) == pytest.approx(expected, abs=1e-4)
    assert len(json.loads((outputs / "history.json").read_text())) == EPOCHS
    assert (outputs / "history.png").read_bytes().startswith(b"\x89PNG")
    assert (outputs / "augmented_batch.jpg").read_bytes().startswith(b"\xff\xd8")
    times = json.loads((outputs / "epoch_times.json").read_text())
    assert times == sorted(times)
    assert len(times) == EPOCHS
    assert len(list((outputs / "tensorboard").iterdir())) == 1


@pytest.mark.parametrize(
    ("with_signal", "status"), [(signal.SIGKILL, -9), (signal.SIGTERM, 128 + 15)]
)
def test_an_interrupted_job_resumes_and_ends_as_if_undisturbed(
    with_signal: signal.Signals,
    status: int,
    undisturbed: Path,
    job: Callable[[Path], Path],
    tmp_path: Path,
) -> None:
    root = job(tmp_path)
    assert _interrupted(root, 3, with_signal) == status
    assert not (root / "model" / "manifest.json").exists()
    finished = _run(root)
    assert finished.returncode == 0, finished.stderr
    assert "INFO: epoch 1," not in finished.stderr
    assert digest(root / "model") == digest(undisturbed / "model")
    history = Path("output", "data", "history.json")
    assert (root / history).read_text() == (undisturbed / history).read_text()
    assert len(json.loads((root / history.with_name("epoch_times.json")).read_text())) == EPOCHS
    assert len(list((root / history.with_name("tensorboard")).iterdir())) == 2


def test_one_class_fails_for_good_and_says_what_to_do(training_job: Layout, tmp_path: Path) -> None:
    images = [image for image in _digits(5) if image[1] == ["0"]]
    root = training_job(tmp_path, images, recipe="scratch", image_size=16)
    finished = _run(root)
    assert finished.returncode == 1
    failure = (root / "output" / "failure").read_text()
    assert failure.startswith("PermanentFailure: only one class")
    assert "Ingest images of at least two classes" in failure
    assert not list((root / "model").glob("*") if (root / "model").exists() else [])


def test_multi_label_probe_finds_each_label(training_job: Layout, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    images: list[Image] = []
    for index in range(120):
        present = draw.random(2) < 0.5
        pixels = draw.integers(0, 60, (24, 24, 3), dtype=np.uint8)
        pixels[:12, :, 0] += np.uint8(180 * present[0])
        pixels[12:, :, 2] += np.uint8(180 * present[1])
        labels = [name for name, there in zip(("red", "blue"), present, strict=True) if there]
        split = "train" if index < 70 else "val" if index < 95 else "test"
        images.append((pixels, labels, split))
    root = training_job(
        tmp_path, images, task="multi_label", recipe="probe", architecture="squeezenet1_0",
        weights="none", image_size=32,
    )  # fmt: skip
    finished = _run(root)
    assert finished.returncode == 0, finished.stderr
    predictor = OnnxPredictor(root / "model")
    assert set(predictor.manifest.thresholds) == {"red", "blue"}
    tests = [image for image in images if image[2] == "test"]
    decided = predictor.decide(predictor.predict_images([image for image, _, _ in tests]))
    right = [set(found) == set(names) for found, (_, names, _) in zip(decided, tests, strict=True)]
    assert np.mean(right) >= 0.9

"""The head of a probe, chosen and fitted on the features of 100,000 images."""

import resource
import time
from pathlib import Path

import numpy as np

from benchmarks.result import Measurement, Result

IMAGES, FEATURES, CLASSES = 100_000, 1_280, 10
_HELD = 18_000
_FACTORS = 64


def measure(_scratch: Path) -> Result:
    """Choose a strength and fit the head, as a training job does; scikit-learn fits one strength."""
    from training.fitting.probe import STRENGTHS, _chosen_strength, _Fit  # takes PyTorch with it

    features, targets = _images()
    before = _peak_mb()
    began, cpu = time.perf_counter(), time.process_time()
    fit_on, held = np.arange(IMAGES - _HELD), np.arange(IMAGES - _HELD, IMAGES)
    strength, tried, _, start = _chosen_strength(
        features, targets, CLASSES, [(fit_on, held)], "single_label", lambda numbers: None
    )
    _Fit(features, targets, "single_label", CLASSES, start).at(strength)
    seconds, spent = time.perf_counter() - began, time.process_time() - cpu
    peak = _peak_mb()
    peer = _scikit_learn(features[fit_on], targets[fit_on], strength)
    return Result(
        measurements=[
            Measurement(what="the refit", value=seconds, unit="s", limit=20),
            Measurement(
                what="the same by CPU time of all cores (load of others does not count)",
                value=spent,
                unit="CPU s",
                limit=40,
            ),
            Measurement(what="memory of the process (peak)", value=peak, unit="MB", limit=3000),
            Measurement(
                what="CPU time of a fit (strengths tried, and the final one)",
                value=spent / (len(tried) + 1),
                unit="CPU s",
                peer=peer,
            ),
        ],
        peer="scikit-learn's LogisticRegression (lbfgs, tol 1e-4) of the same standardised features at "
        "one strength, from zero",
        notes=[
            f"{IMAGES:,} images, {FEATURES:,} features of {_FACTORS} hidden factors with noise, "
            f"{CLASSES} classes, {_HELD:,} of the images to choose the strength on. {len(tried)} of "
            f"{len(STRENGTHS)} strengths were tried, until the loss rose: chosen C = {strength:.4g}.",
            f"The process had {before:.0f} MB with the features (float32).",
        ],
    )


def _images() -> tuple[np.ndarray, np.ndarray]:
    """Return features, float32 [n, d], and targets."""
    draw = np.random.default_rng(0)
    targets = draw.integers(0, CLASSES, IMAGES)
    mixing = draw.normal(size=(_FACTORS, FEATURES)).astype(np.float32)
    factors = draw.normal(size=(IMAGES, _FACTORS)).astype(np.float32)
    factors[np.arange(IMAGES), targets] += 1.2
    features = np.empty((IMAGES, FEATURES), np.float32)
    for start in range(0, IMAGES, 5_000):
        part = features[start : start + 5_000]
        noise = draw.normal(0, 2, part.shape).astype(np.float32)
        np.maximum(factors[start : start + 5_000] @ mixing + noise, 0, out=part)
    return features, targets


def _scikit_learn(features: np.ndarray, targets: np.ndarray, strength: float) -> float:
    """Return the CPU seconds of a fit."""
    from sklearn.linear_model import LogisticRegression

    scaled = (features - features.mean(0)) / features.std(0)
    began = time.process_time()
    LogisticRegression(C=strength, tol=1e-4, max_iter=1000).fit(scaled, targets)
    return time.process_time() - began


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

"""Choosing 1,000 of 100,000 images by features, probabilities and what is labelled."""

import time
from pathlib import Path

import numpy as np

from benchmarks.processes import cpu_seconds, peak_mb, reset_peak
from benchmarks.result import Measurement, Result
from labelling.selection.choose import choose
from labelling.selection.pool import Pool

IMAGES, WIDTH, CLASSES, LABELLED = 100_000, 1280, 10, 5_000
CHOSEN = 1_000
PEER_PICKS = 20
LIMIT_S, LIMIT_MB = 10.0, 2_000.0
_CHUNK = 5_000


def measure(scratch: Path) -> Result:
    """Select once with all reasons, once without a model; then time the peer."""
    from sklearn.cluster import KMeans  # noqa: F401 - its import is not timed

    pool = made_pool()
    wall, cpu, memory = _choosing(pool)
    cold, _, cold_memory = _choosing(_without_model(pool))
    peer = k_centre(pool.features, pool.labelled_features, PEER_PICKS) * CHOSEN / PEER_PICKS
    return Result(
        measurements=[
            Measurement(what="choosing", value=wall, unit="s", limit=LIMIT_S, peer=peer),
            Measurement(what="CPU time of it", value=cpu, unit="CPU s"),
            Measurement(
                what="before there is a label or a model", value=cold, unit="s", limit=LIMIT_S
            ),
            Measurement(
                what="memory of the process, features included (peak)",
                value=max(memory, cold_memory),
                unit="MB",
                limit=LIMIT_MB,
            ),
        ],
        peer="k-centre greedy (Sener and Savarese, ICLR 2018) in numpy, in all dimensions: the "
        f"farthest image, again and again; {PEER_PICKS} picks measured, each costs the same",
        notes=[
            f"{CHOSEN:,} of {IMAGES:,} images, {WIDTH} float32 features each "
            f"({pool.features.nbytes / 1e6:.0f} MB), made: {CLASSES} classes in 40 directions, and "
            f"noise; {LABELLED:,} labelled images, two models, near-duplicates in pairs.",
            "choose() with its default weights and an exploration share of 0.2.",
        ],
    )


def made_pool() -> Pool:
    """Make a pool of the benchmark's size, the same each time."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLASSES, 40)).astype(np.float32)
    directions = rng.normal(size=(40, WIDTH)).astype(np.float32)

    def features(count: int) -> np.ndarray:
        found = np.empty((count, WIDTH), np.float32)
        for start in range(0, count, _CHUNK):
            part = found[start : start + _CHUNK]
            kind = centres[rng.integers(CLASSES, size=len(part))]
            place = kind + rng.normal(size=kind.shape).astype(np.float32)
            part[:] = place @ directions + rng.standard_normal(part.shape, np.float32)
        return found

    def probabilities() -> np.ndarray:
        return rng.dirichlet(np.full(CLASSES, 0.3), IMAGES).astype(np.float32)

    labels = tuple(f"label {number}" for number in range(CLASSES))
    return Pool(
        sha256=np.array([f"{number:064x}" for number in range(IMAGES)]),
        split=rng.choice(["train", "val", "test"], IMAGES, p=[0.7, 0.15, 0.15]),
        group=np.array([f"{number // 2:064x}" for number in range(IMAGES)]),
        features=features(IMAGES),
        probabilities=probabilities(),
        staging_probabilities=probabilities(),
        labels=labels,
        task="single_label",
        labelled_features=features(LABELLED),
        labelled_counts={label: 100 * (n + 1) for n, label in enumerate(labels)},
    )


def k_centre(features: np.ndarray, labelled: np.ndarray, picks: int) -> float:
    """Time k-centre-greedy selection.

    Args:
        features: float32 [n, d], the images.
        labelled: float32 [m, d]; only the first is used: distances to the labelled images are taken
            as known.
        picks: images to select.

    Returns:
        Seconds.
    """
    squares = np.square(features).sum(1)
    apart = np.full(len(features), np.inf, np.float32)
    apart = np.minimum(apart, squares - 2 * features @ labelled[0])
    began = time.perf_counter()
    for _ in range(picks):
        far = int(apart.argmax())
        apart = np.minimum(apart, squares + squares[far] - 2 * features @ features[far])
    return time.perf_counter() - began


def _without_model(pool: Pool) -> Pool:
    return Pool(
        sha256=pool.sha256,
        split=pool.split,
        group=pool.group,
        features=pool.features,
        probabilities=None,
        staging_probabilities=None,
        labels=pool.labels,
        task=pool.task,
        labelled_features=pool.labelled_features[:0],
        labelled_counts={},
    )


def _choosing(pool: Pool) -> tuple[float, float, float]:
    """Wall and CPU seconds of a selection, and the process's peak memory, in MB."""
    reset_peak()
    began, spent = time.perf_counter(), cpu_seconds()
    chosen = choose(pool, CHOSEN, exploration_share=0.2, weights={}, seed=0)
    assert len(chosen) == CHOSEN
    return time.perf_counter() - began, cpu_seconds() - spent, peak_mb()

"""Pools for tests of selection: small, made, the same each time."""

from typing import Any

import numpy as np

from labelling.selection.pool import Pool

LABELS = ("cat", "dog", "owl")


def sha(number: int) -> str:
    """The name of image ``number``."""
    return f"{number:064x}"


def pool_of(
    n: int = 60,
    *,
    width: int = 8,
    labelled: int = 6,
    labels: tuple[str, ...] = LABELS,
    seed: int = 0,
    **changes: Any,
) -> Pool:
    """``n`` images of the training split around one centre a label, each a group of its own, with
    probabilities of one model; ``changes`` replace fields."""
    rng = np.random.default_rng(seed)
    centres = 3 * rng.normal(size=(len(labels), width))
    kind = rng.integers(len(labels), size=n + labelled)
    features = (centres[kind] + rng.normal(size=(n + labelled, width))).astype(np.float32)
    fields: dict[str, Any] = {
        "sha256": np.array([sha(number) for number in range(n)], dtype=str),
        "split": np.full(n, "train"),
        "group": np.array([sha(number) for number in range(n)], dtype=str),
        "features": features[:n],
        "probabilities": rng.dirichlet(np.ones(len(labels)), n).astype(np.float32),
        "staging_probabilities": None,
        "labels": labels,
        "task": "single_label",
        "labelled_features": features[n:],
        "labelled_counts": dict.fromkeys(labels, labelled // len(labels)),
    }
    return Pool(**(fields | changes))

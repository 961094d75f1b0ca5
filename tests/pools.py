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
    labels: tuple[str, ...] = LABELS,
    seed: int = 0,
    **changes: Any,
) -> Pool:
    """``n`` images of the training split, each a group of its own, with probabilities of a model;
    ``changes`` replace fields."""
    rng = np.random.default_rng(seed)
    fields: dict[str, Any] = {
        "sha256": np.array([sha(number) for number in range(n)], dtype=str),
        "split": np.full(n, "train"),
        "group": np.array([sha(number) for number in range(n)], dtype=str),
        "probabilities": rng.dirichlet(np.ones(len(labels)), n).astype(np.float32),
        "labels": labels,
        "task": "single_label",
    }
    return Pool(**(fields | changes))

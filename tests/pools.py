"""Pools and labelled sets for tests of selection: small, made, the same each time."""

from typing import Any

import numpy as np

from benchmarks.annotator_probe import on_axes
from benchmarks.labelled_sets import LabelledSet, rotated
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


def labelled_set(n: int, most: int) -> LabelledSet:
    """``n`` images of three classes as features, in a simulation that ends at ``most`` labels."""
    rng = np.random.default_rng(1)
    targets = rng.integers(3, size=n)
    centres = np.random.default_rng(0).normal(size=(3, 20))
    features = (3 + centres[targets] + 0.9 * rng.normal(size=(n, 20))).astype(np.float32)
    return LabelledSet(
        name="made",
        features=rotated(features),
        x=on_axes(features),
        targets=targets,
        labels=("a", "b", "c"),
        validation=30,
        batch=10,
        most=most,
    )

"""The labelling queue of a simulated annotator."""

import numpy as np

from benchmarks.scenes import Scenes
from labelling.selection.choose import choose
from labelling.selection.pool import Pool

EXPLORATION = 0.2
"""Share of a batch that is drawn at random, as in the default policy."""


def queued(
    scenes: Scenes,
    free: np.ndarray,
    labelled: np.ndarray,
    probabilities: np.ndarray,
    labelled_probabilities: np.ndarray,
    size: int,
    *,
    exploration: float,
    seed: int,
) -> np.ndarray:
    """The rows that ``labelling.selection.choose.choose`` selects with its default weights: int64
    [size].

    Args:
        scenes: the photos; rows are positions in them.
        free: int64 [n], rows to choose from; all of the training split.
        labelled: int64 [m], rows that are labelled.
        probabilities: float32 [n, classes], of the ``free`` rows.
        labelled_probabilities: float32 [m, classes], of the ``labelled`` rows.
        size: rows to select.
        exploration: share of them that is drawn at random, 0 to 1.
        seed: of the random draw.
    """
    counts = np.bincount(scenes.targets[labelled], minlength=len(scenes.labels)).tolist()
    pool = Pool(
        sha256=scenes.sha256[free],
        split=np.full(len(free), "train"),
        group=scenes.sha256[free],
        features=scenes.features[free],
        probabilities=probabilities,
        staging_probabilities=None,
        labels=scenes.labels,
        task="single_label",
        labelled_features=scenes.features[labelled],
        labelled_counts=dict(zip(scenes.labels, counts, strict=True)),
        labelled_probabilities=labelled_probabilities,
    )
    row = dict(zip(pool.sha256.tolist(), free.tolist(), strict=True))
    chosen = choose(pool, size, exploration_share=exploration, weights={}, seed=seed)
    return np.array([row[choice.sha256] for choice in chosen])

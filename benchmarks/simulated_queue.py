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
    probabilities: np.ndarray,
    size: int,
    *,
    exploration: float,
    seed: int,
) -> np.ndarray:
    """The rows that ``labelling.selection.choose.choose`` selects: int64 [size].

    Args:
        scenes: the photos; rows are positions in them.
        free: int64 [n], rows to choose from; all of the training split.
        probabilities: float32 [n, classes], of the ``free`` rows.
        size: rows to select.
        exploration: share of them that is drawn at random, 0 to 1.
        seed: of the random draw.
    """
    pool = Pool(
        sha256=scenes.sha256[free],
        split=np.full(len(free), "train"),
        group=scenes.sha256[free],
        probabilities=probabilities,
        labels=scenes.labels,
        task="single_label",
    )
    row = dict(zip(pool.sha256.tolist(), free.tolist(), strict=True))
    chosen = choose(pool, size, exploration_share=exploration, seed=seed)
    return np.array([row[choice.sha256] for choice in chosen])

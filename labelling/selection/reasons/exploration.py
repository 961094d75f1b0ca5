"""Chance."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from labelling.selection.pool import Pool


class Exploration:
    """Every image has the same chance, whatever the models think of it.

    The only reason for images of the validation and test splits: were they chosen because a model
    finds them hard, its scores there would be those of a harder world. And it finds in the
    training split what every other reason is blind to.
    """

    name = "exploration"

    def scores(self, pool: "Pool") -> np.ndarray:
        return np.ones(len(pool), np.float32)

    def why(self, pool: "Pool", index: int) -> str:
        return f"drawn at random, for the {pool.split[index]} split"

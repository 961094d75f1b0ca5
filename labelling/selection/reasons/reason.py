"""What a reason to label an image is."""

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from labelling.selection.pool import Pool


class Reason(Protocol):
    """Why images are worth a person's time: a score for each, and a sentence for one.

    A new reason is a class like this in a file of its own, and a line in ``labelling.selection.pool``.
    """

    name: str

    def scores(self, pool: "Pool") -> np.ndarray:
        """How much this reason speaks for each image: float32 [n] in 0…1, 0 for not at all.

        An image whose probabilities or features are not known scores 0 where they are needed.
        """
        ...

    def why(self, pool: "Pool", index: int) -> str:
        """The reason for image ``index``, for the annotator: a few words, with the numbers."""
        ...

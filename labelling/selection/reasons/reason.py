"""The interface of a reason to label an image."""

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from labelling.selection.pool import Pool


class Reason(Protocol):
    """A reason to label images: a score for each image, and a sentence for one.

    A new reason is a class like this in its own module, and a line in ``labelling.selection.mix``.
    """

    name: str

    def scores(self, pool: "Pool") -> np.ndarray:
        """Score each image: float32 [n] in 0…1, 0 if the reason does not apply.

        An image whose probabilities or features are not known scores 0 if they are needed.
        """
        ...

    def why(self, pool: "Pool", index: int) -> str:
        """The reason for image ``index`` in a few words for the annotator, with the numbers."""
        ...

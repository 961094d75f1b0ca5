"""The moving average of a net's weights over the steps of its training (EMA)."""

from typing import Any

import torch
from lightning.pytorch.callbacks import WeightAveraging

_HALF_WAY = 10
"""Steps after which the average forgets at half its speed at first; so that in a short training the
weights of its beginning do not weigh too much (as tf.train.ExponentialMovingAverage does)."""


class MovingAverage(WeightAveraging):
    """Averages weights and running statistics; validation and the end take the average.

    Lightning keeps both the weights and their average in the checkpoint.
    """

    def __init__(self, decay: float) -> None:
        """Average with a decay per step."""

        def _update(averages: Any, values: Any, steps: torch.Tensor) -> None:
            if not averages[0].is_floating_point():  # such as the number of batches seen
                torch._foreach_copy_(averages, values)
                return
            done = float(steps)
            kept = min(decay, (1 + done) / (_HALF_WAY + done))
            torch._foreach_lerp_(averages, values, 1 - kept)

        super().__init__(multi_avg_fn=_update)

    def net_state(self) -> dict[str, torch.Tensor]:
        """Return the averaged weights of the module's ``net``, by name; not a copy."""
        assert self._average_model is not None
        state: dict[str, torch.Tensor] = self._average_model.module.net.state_dict()
        return state

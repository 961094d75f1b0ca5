"""Computing a net's outputs for every image of a split on all cores, GPUs and machines of a job."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from training.container.distributed import ALONE, Team
from training.container.hardware import batch_workers, device
from training.data.data import Batches, LabelledImages

if TYPE_CHECKING:
    import torch

_CPU_BATCH, _GPU_BATCH = 16, 256
"""Images per batch. On a CPU larger batches do not fit into the cache: 64 took twice the time per
image."""


def sweep(
    compute: "Callable[[torch.Tensor], torch.Tensor]",
    split: LabelledImages,
    width: int,
    *,
    team: Team = ALONE,
    report: Callable[[int], None] = lambda done: None,
    channels_last: bool = True,
) -> np.ndarray:
    """Call ``compute`` for every image of a split, in batches.

    The result does not depend on the number of processes.

    Args:
        compute: images float32 [batch, 3, size, size] on ``hardware.device()`` → [batch, width].
            Called from several threads.
        split: n images.
        width: length of an image's output.
        team: the processes that share the batches.
        report: called with the number of images done, about.
        channels_last: whether ``compute`` wants that memory layout.

    Returns:
        float32 [n, width]; complete only on the team's first process, the others have the rows that
        they computed.
    """
    # On a CPU every core computes batches of its own. PyTorch's default, to share the cores within
    # each operation, makes them wait for each other thousands of times a second, which takes ten
    # times as long when anything else runs on the machine.
    import torch

    place = device()
    batches = Batches(split, _CPU_BATCH if place.type == "cpu" else _GPU_BATCH)
    starts = [batches.start_of(team.share(len(batches), rank).start) for rank in range(team.size)]
    found = np.empty((len(split), width), np.float32)

    @torch.inference_mode()
    def answers(number: int) -> np.ndarray:
        images, _ = batches.batch(number)
        moved = images.to(place)
        if channels_last:
            moved = moved.contiguous(memory_format=torch.channels_last)
        return compute(moved).float().cpu().numpy()

    first = done = starts[team.rank]
    with batch_workers(place) as pool:
        for part in pool.map(answers, team.share(len(batches))):
            found[done : done + len(part)] = part
            done += len(part)
            report(min(len(split), (done - first) * team.size))
    team.collect(found, [*starts, len(split)])
    return found

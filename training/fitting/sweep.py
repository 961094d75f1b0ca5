"""Every image of a split through a net once, on all that the job has: cores, GPUs, machines."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from training.container.distributed import ALONE, Team
from training.container.hardware import batch_workers, device
from training.data.data import Batches, LabelledImages

if TYPE_CHECKING:
    import torch

_CPU_BATCH, _GPU_BATCH = 16, 256
"""Images in one pass. On a CPU bigger batches leave the cache: 64 took twice as long an image."""


def sweep(
    compute: "Callable[[torch.Tensor], torch.Tensor]",
    split: LabelledImages,
    width: int,
    *,
    team: Team = ALONE,
    report: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """``compute``'s answers for every image: float32 [n, width].

    On a CPU every core works on batches of its own. Sharing the cores within each operation, as
    PyTorch does by itself, makes them wait for each other thousands of times a second, which
    takes ten times as long as soon as anything else runs on the machine. Processes of a team
    take a share of the batches each; what they find does not depend on how many they are.

    Args:
        compute: images float32 [batch, 3, size, size] on ``hardware.device()``, channels last →
            [batch, width]. Called from several threads.
        team: only its first process gets all rows; the others those they computed.
        report: told how many images are done, about.
    """
    import torch

    place = device()
    batches = Batches(split, _CPU_BATCH if place.type == "cpu" else _GPU_BATCH)
    starts = [batches.start_of(team.share(len(batches), rank).start) for rank in range(team.size)]
    found = np.empty((len(split), width), np.float32)

    @torch.inference_mode()
    def answers(number: int) -> np.ndarray:
        images, _ = batches.batch(number)
        moved = images.to(place).contiguous(memory_format=torch.channels_last)
        return compute(moved).float().cpu().numpy()

    first = done = starts[team.rank]
    with batch_workers(place) as pool:
        for part in pool.map(answers, team.share(len(batches))):
            found[done : done + len(part)] = part
            done += len(part)
            report(min(len(split), (done - first) * team.size))
    team.collect(found, [*starts, len(split)])
    return found

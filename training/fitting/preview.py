"""A picture of some training images as the net gets them: resized and augmented."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from training.config import Hyperparameters
from training.data.augmentation import augment
from training.data.data import ALWAYS_DECODED, LabelledImages
from training.evaluation.batch_picture import draw_batch

IMAGES = 24


def draw_preview(
    path: Path, split: LabelledImages, labels: Sequence[str], parameters: Hyperparameters
) -> None:
    """Draw images of a split, chosen at random, as the recipe would train on them.

    Changes no state of torch's random generator.

    Args:
        path: of the JPEG file to write.
        split: the training images.
        labels: names of the classes.
        parameters: of the job.
    """
    draw = np.random.default_rng(parameters.seed)
    # The others have no pixels where features are known.
    among = len(split) if split.features is None else min(len(split), ALWAYS_DECODED)
    chosen = np.sort(draw.permutation(among)[:IMAGES])
    level = "none" if parameters.recipe == "probe" else parameters.augmentation
    pixels = torch.from_numpy(split.images[chosen]).permute(0, 3, 1, 2).to(torch.float32)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(parameters.seed)
        seen = augment(pixels, level).round().clamp(0, 255).to(torch.uint8)
    images = seen.permute(0, 2, 3, 1).numpy()
    size = images.shape[1]
    title = f"training images as the net gets them: {size} × {size} px, augmentation {level}"
    draw_batch(path, images, [_label(split.targets[one], labels) for one in chosen], title)


def _label(target: np.ndarray, labels: Sequence[str]) -> str:
    """Return an image's label, or its labels joined; "–" for none."""
    if target.ndim == 0:
        return labels[int(target)]
    return ", ".join(label for label, has in zip(labels, target, strict=True) if has) or "–"

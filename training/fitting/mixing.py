"""Mixing of pairs of training images: mixup (https://arxiv.org/abs/1710.09412) and CutMix
(https://arxiv.org/abs/1905.04899)."""

import torch


def mixed(
    images: torch.Tensor, targets: torch.Tensor, *, mixup: float, cutmix: float, classes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix each image of a batch with another one, by torch's global random generator.

    Args:
        images: float32 [batch, 3, size, size].
        targets: int64 [batch], or float32 [batch, classes] of 0 and 1.
        mixup: alpha of mixup; 0: none.
        cutmix: alpha of CutMix; 0: none. With both, chance decides for each batch.
        classes: number of labels.

    Returns:
        Images, and targets float32 [batch, classes] of shares; the same as given if both are 0.
    """
    from torchvision.transforms import v2

    ways = [v2.MixUp(alpha=mixup, num_classes=classes)] if mixup else []
    ways += [v2.CutMix(alpha=cutmix, num_classes=classes)] if cutmix else []
    if not ways:
        return images, targets
    chosen = ways[int(torch.randint(len(ways), ()))]
    found: tuple[torch.Tensor, torch.Tensor] = chosen(images, targets)
    return found

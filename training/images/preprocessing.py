"""From a decoded image to what the net sees: the one definition, used by training's image cache
and inside the exported ONNX graph."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Per channel, of intensities in 0…1: ImageNet's, which every torchvision net was trained with
(https://docs.pytorch.org/vision/stable/models.html)."""


def squash(images: "torch.Tensor", size: int) -> "torch.Tensor":
    """Images of any size as ``size`` × ``size`` squares, antialiased.

    The whole image is squashed into the square: a centre crop would hide what lies at the edge
    (the label may be about it), padding would spend a third of the pixels of a 3:2 photo on
    nothing. Nets tolerate the mild distortion, since they are trained and served with it.

    Not rounded to whole intensities: a value near a half would fall as the last bits of a
    runtime's sum happen to be (measured: one value in 2,000 then differs by 1 between PyTorch and
    ONNX Runtime, unrounded ones by 0.004 at most). Only training's cache of bytes rounds.

    Args:
        images: uint8, [batch, height, width, 3].
        size: side of the square, in pixels.

    Returns:
        float32, [batch, 3, size, size], 0…255.
    """
    import torch
    from torch.nn import functional

    channels_first = images.permute(0, 3, 1, 2).to(torch.float32)
    resized = functional.interpolate(
        channels_first, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )
    return resized.clamp(0.0, 255.0)

"""Preprocessing of decoded images for the net, in training's image cache and in the ONNX graph."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Interpolation = Literal["bilinear", "bicubic"]

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Per channel, of intensities in 0…1: those of ImageNet, with which torchvision's nets were trained
(https://docs.pytorch.org/vision/stable/models.html)."""


@dataclass(frozen=True)
class Preprocessing:
    """How the images of a net are prepared, as in its pretraining.

    Attributes:
        mean: per channel, of intensities in 0…1; it is subtracted.
        std: per channel; the rest is divided by it.
        size: width and height of the images in pixels.
        interpolation: of the resizing.
    """

    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    size: int = 224
    interpolation: Interpolation = "bilinear"


def squash(
    images: "torch.Tensor", size: int, interpolation: Interpolation = "bilinear"
) -> "torch.Tensor":
    """Resize images to squares with antialiasing; the aspect ratio is not kept.

    Args:
        images: uint8 [batch, height, width, 3].
        size: width and height of the squares in pixels.
        interpolation: bilinear or bicubic.

    Returns:
        float32 [batch, 3, size, size] in 0…255, not rounded.
    """
    # A centre crop would hide objects at the edge, which the label may be about; padding would waste
    # a third of the pixels of a 3:2 photo. Nets tolerate the mild distortion, since they are trained
    # and served with it.
    # Rounding would depend on the last bits of a runtime's sum: measured, one value in 2,000 then
    # differs by 1 between PyTorch and ONNX Runtime, unrounded ones by 0.004 at most. Only training's
    # cache of bytes rounds.
    import torch
    from torch.nn import functional

    channels_first = images.permute(0, 3, 1, 2).to(torch.float32)
    resized = functional.interpolate(
        channels_first, size=(size, size), mode=interpolation, align_corners=False, antialias=True
    )
    return resized.clamp(0.0, 255.0)

"""Preprocessing of decoded images for the net, in training's image cache and in the ONNX graph."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from training.config import Resize

if TYPE_CHECKING:
    import torch

Interpolation = Literal["bilinear", "bicubic"]

PADDING = 127.0
"""Grey of ``pad``: about the mean that nets subtract, so that they see zeros there."""

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
        resize: how images become squares.
    """

    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    size: int = 224
    interpolation: Interpolation = "bilinear"
    # Not in repr(), which is a part of the names of stored features of older versions.
    resize: Resize = field(default="squash", repr=False)


def resize_to_squares(
    images: "torch.Tensor",
    size: int,
    interpolation: Interpolation = "bilinear",
    resize: Resize = "squash",
) -> "torch.Tensor":
    """Resize images to squares with antialiasing.

    Args:
        images: uint8 [batch, height, width, 3].
        size: width and height of the squares in pixels.
        interpolation: bilinear or bicubic.
        resize: squash, crop or pad.

    Returns:
        float32 [batch, 3, size, size] in 0…255, not rounded.
    """
    # Rounding would depend on the last bits of a runtime's sum: measured, one value in 2,000 then
    # differs by 1 between PyTorch and ONNX Runtime, unrounded ones by 0.004 at most. Only training's
    # cache of bytes rounds.
    import torch
    from torch.nn import functional

    height, width = images.shape[1], images.shape[2]
    channels_first = images.permute(0, 3, 1, 2)
    across = down = size
    if resize == "crop":  # before it is resized: a strip of 60,000 × 8 pixels would need gigabytes
        side = torch.sym_min(height, width)
        (left, right), (top, bottom) = _margins(side, width), _margins(side, height)
        # Not by slices, whose lengths an export does not know.
        channels_first = functional.pad(channels_first, (-left, -right, -top, -bottom))
    elif resize == "pad":
        side = torch.sym_max(height, width)
        across = torch.sym_max(1, (width * size + side // 2) // side)
        down = torch.sym_max(1, (height * size + side // 2) // side)
    resized = functional.interpolate(
        channels_first.to(torch.float32),
        size=(down, across),
        mode=interpolation,
        align_corners=False,
        antialias=True,
    ).clamp(0.0, 255.0)
    if resize == "pad":
        margins = (*_margins(across, size), *_margins(down, size))
        return functional.pad(resized, margins, value=PADDING)
    return resized


def _margins(length: int, of: int) -> tuple[int, int]:
    """Return the pixels before and after a centred part of ``length`` pixels of a line of ``of``."""
    # Of a negative number, the halves would differ: PyTorch rounds down, ONNX towards zero.
    before = (of - length) // 2
    return before, of - length - before

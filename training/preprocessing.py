"""From a decoded image to what the net sees: the one definition, used by training's image cache
and inside the exported ONNX graph."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Per channel, of intensities in 0…1: ImageNet's, which every torchvision net was trained with
(https://docs.pytorch.org/vision/stable/models.html)."""

_ROUNDING = 0.499
"""Added before rounding down. With 0.5, every exact tie (there are many: the weights of a resize
by 16/15 are sixteenths) would fall as the last bit of a runtime's sum happens to be: measured,
one value in 1,500 then differed between PyTorch and ONNX Runtime."""


def squash(images: "torch.Tensor", size: int) -> "torch.Tensor":
    """Images of any size as ``size`` × ``size`` squares, antialiased.

    The whole image is squashed into the square: a centre crop would hide what lies at the edge
    (the label may be about it), padding would spend a third of the pixels of a 3:2 photo on
    nothing. Nets tolerate the mild distortion, since they are trained and served with it.

    Rounded to whole intensities, so that an image cached as bytes is exactly what the graph
    computes.

    Args:
        images: uint8, [batch, height, width, 3].
        size: side of the square, in pixels.

    Returns:
        float32, [batch, 3, size, size], whole numbers from 0 to 255.
    """
    import torch
    from torch.nn import functional

    channels_first = images.permute(0, 3, 1, 2).to(torch.float32)
    resized = functional.interpolate(
        channels_first, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )
    return torch.floor(resized.clamp(0.0, 255.0) + _ROUNDING)

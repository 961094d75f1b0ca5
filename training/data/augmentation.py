"""Random augmentation of whole batches of training images, on the net's device."""

import torch
from torch.nn import functional

from training.config import Augmentation

_LIGHT_SHIFT, _LIGHT_SCALE, _LIGHT_ANGLE = 0.08, 0.12, 0.2
"""Shift as a share of half the side, relative scale, angle in radians (about 11°)."""

_PHOTO_SMALLEST_SIDE, _PHOTO_COLOUR = 0.6, 0.3
"""Smallest crop (share of each side), and relative range of brightness, contrast and saturation.
Weaker than torchvision's reference recipes
(https://github.com/pytorch/vision/tree/main/references): data sets here are small and training is
short."""


def augment(images: torch.Tensor, level: Augmentation) -> torch.Tensor:
    """Augment images with torch's global random generator.

    Args:
        images: float32 [batch, 3, size, size] in 0…255.
        level: none, light or photo.

    Returns:
        Images of the same shape.
    """
    if level == "none":
        return images
    if level == "light":
        return _warped(images, _light(len(images)))
    return _coloured(_warped(images, _crop_and_flip(len(images))))


def _uniform(count: int, low: float, high: float) -> torch.Tensor:
    """Draw ``count`` numbers on the CPU, so that every device trains on the same images."""
    return torch.rand(count) * (high - low) + low


def _light(count: int) -> torch.Tensor:
    """Draw affine maps [count, 2, 3]: small rotations, scales and shifts."""
    scale = _uniform(count, 1 - _LIGHT_SCALE, 1 + _LIGHT_SCALE)
    angle = _uniform(count, -_LIGHT_ANGLE, _LIGHT_ANGLE)
    shift = _uniform(2 * count, -2 * _LIGHT_SHIFT, 2 * _LIGHT_SHIFT).view(count, 2)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    rows = torch.stack([cosine, -sine, shift[:, 0], sine, cosine, shift[:, 1]], dim=1)
    return rows.view(count, 2, 3)


def _crop_and_flip(count: int) -> torch.Tensor:
    """Draw affine maps [count, 2, 3]: a random rectangle, mirrored with probability one half."""
    sides = _uniform(2 * count, _PHOTO_SMALLEST_SIDE, 1.0).view(count, 2)
    shift = _uniform(2 * count, -1.0, 1.0).view(count, 2) * (1 - sides)
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    maps = torch.zeros(count, 2, 3)
    maps[:, 0, 0], maps[:, 1, 1] = sides[:, 0] * mirror, sides[:, 1]
    maps[:, :, 2] = shift
    return maps


def _warped(images: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    grid = functional.affine_grid(maps.to(images.device), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _coloured(images: torch.Tensor) -> torch.Tensor:
    """Scale brightness, contrast and saturation, each by 1 ± ``_PHOTO_COLOUR``."""
    factors = _uniform(3 * len(images), 1 - _PHOTO_COLOUR, 1 + _PHOTO_COLOUR)
    brightness, contrast, saturation = factors.to(images.device).view(3, -1, 1, 1, 1)
    images = images * brightness
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * contrast + mean
    grey = images.mean(dim=1, keepdim=True)
    return ((images - grey) * saturation + grey).clamp(0.0, 255.0)

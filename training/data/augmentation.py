"""Random augmentation of batches of training images, on the net's device."""

import torch
from torch.nn import functional

from training.config import Augmentation

_LIGHT_SHIFT, _LIGHT_SCALE, _LIGHT_ANGLE = 0.08, 0.12, 0.2
"""Shift as a share of half the side, relative scale, angle in radians (about 11°)."""

_PHOTO_SMALLEST_AREA = 0.35
"""Smallest random crop, as a share of the image's area. Larger than torchvision's default of 0.08:
training here starts from pretrained weights and is short."""


def augment(images: torch.Tensor, level: Augmentation, size: int | None = None) -> torch.Tensor:
    """Augment images with torch's global random generator.

    Args:
        images: float32 [batch, 3, side, side], whole numbers in 0…255.
        level: none, light or photo.
        size: width and height of the result in pixels; default: those of ``images``.

    Returns:
        float32 [batch, 3, size, size] in 0…255.
    """
    size = size or images.shape[-1]
    if level == "photo":
        return _photo(images, size)
    warped = _warped(images, _light(len(images))) if level == "light" else images
    return resized(warped, size)


def resized(images: torch.Tensor, size: int) -> torch.Tensor:
    """Resize images, float32 [batch, 3, side, side], to squares of ``size`` pixels."""
    if images.shape[-1] == size:
        return images
    return functional.interpolate(images, (size, size), mode="bilinear", antialias=True)


def _photo(images: torch.Tensor, size: int) -> torch.Tensor:
    """Crop, flip and change colours or shape (TrivialAugment, https://arxiv.org/abs/2103.10158).

    On a CPU 1.3 ms an image of 192 × 192 pixels: torchvision's operations are fastest on uint8, image
    by image.
    """
    from torchvision.transforms import v2

    steps = v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(_PHOTO_SMALLEST_AREA, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR),
        ]
    )
    return torch.stack([steps(image) for image in images.to(torch.uint8)]).float()


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


def _warped(images: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    grid = functional.affine_grid(maps.to(images.device), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)

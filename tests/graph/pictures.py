"""Pictures to feed the asset graph with."""

import hashlib
import io

import numpy as np
from PIL import Image, PngImagePlugin

COLOURS = {"red": (200, 60, 60), "green": (60, 200, 60), "blue": (60, 60, 200)}


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pattern(seed: int) -> np.ndarray:
    """A coarse random picture, float in -1…1, 32 x 32: perceptually unlike any other seed's."""
    coarse = np.random.default_rng(seed).uniform(-1, 1, (6, 6)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC))


def png(shape: np.ndarray, colour: str = "red", note: str = "") -> bytes:
    """A PNG of ``shape`` tinted in ``colour``; ``note`` changes its bytes and no pixel."""
    pixels = np.array(COLOURS[colour])[None, None] + 45 * shape[..., None]
    info = PngImagePlugin.PngInfo()
    info.add_text("note", note)
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def photo(seed: int, colour: str = "red") -> bytes:
    """Picture number ``seed``, of class ``colour``."""
    return png(pattern(seed), colour)

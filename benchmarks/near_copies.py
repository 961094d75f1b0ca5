"""Which changed copies of a photo count as the same picture, and which different pictures do."""

import io
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from assets.policies import SplitPolicy
from benchmarks.photos import MISSING, NAME, copy_photos
from benchmarks.result import Measurement, Result
from training.groups.fingerprint import Prints, fingerprint
from training.images.images import decode, inspect

PHOTOS = 300
SCENES = 6
FRAMES = 12
SWATCHES = 100
NEAR = SplitPolicy().near_duplicate_distance
DIFFERENT = 1.0
"""Limit: percent of different images recognised as the same, of pairs with similar hashes."""
LEAST = {"re-saved as JPEG, quality 50": 95.0, "half the size": 90.0}
"""Limits: percent of copies that must be found."""


def measure(scratch: Path) -> Result:
    """Compare copies of real photos, pairs of different ones, frames of fixed cameras, and
    swatches."""
    if not copy_photos(scratch / "photos"):
        return Result(skipped=MISSING)
    files = sorted((scratch / "photos").rglob("*.jpg"))
    photos = [Image.open(file).convert("RGB") for file in files[:: max(1, len(files) // PHOTOS)]]
    rows = [_copies(name, change, photos) for name, change in COPIES.items()]
    rows.append(_different("pairs of different photos", [_jpeg(photo) for photo in photos]))
    frames = [[_jpeg(frame) for frame in _frames(seed)] for seed in range(SCENES)]
    rows.append(_different("frames of one camera, somebody elsewhere in each", *frames))
    rows.append(_different("swatches of different colours", _swatches()))
    return Result(
        measurements=rows,
        peer=f"the 64-bit perceptual hash alone, at most {NEAR} bits apart",
        notes=[
            f"{len(photos)} photos of {NAME}, each saved at quality 90; each copy is compared with "
            "its original. Confirmed: near by the hash, and by the fingerprint "
            "(training/groups/fingerprint.py). Of different pictures the share is of all pairs.",
            f"{SCENES} cameras with {FRAMES} frames each, 640 × 480, with noise and light that "
            "changes by ± 10 %; a person of 16 × 54 pixels stands somewhere else in each, as in "
            "the case that the fingerprint was made for.",
        ],
    )


def _turned(degrees: float) -> Callable[[Image.Image], Image.Image]:
    return lambda photo: photo.rotate(degrees, Image.Resampling.BICUBIC)


def _cropped(photo: Image.Image, each_side: float) -> Image.Image:
    """Crop ``each_side`` (share of width and height) from every side."""
    width, height = photo.size
    left, top = width * each_side, height * each_side
    edge = (left, top, width - left, height - top)
    return photo.crop(tuple(round(side) for side in edge))  # type: ignore[arg-type] # four of them


def _brighter(photo: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(photo).enhance(1.15)


def _text_over(photo: Image.Image) -> Image.Image:
    photo = photo.copy()
    font = ImageFont.load_default(size=max(10, photo.height // 10))
    place = (photo.width * 0.1, photo.height * 0.8)
    ImageDraw.Draw(photo).text(place, "SAMPLE 2026", fill=(255, 255, 255), font=font)
    return photo


COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "re-saved as JPEG, quality 50": lambda photo: _jpeg(photo, 50),
    "half the size": lambda photo: _jpeg(photo.reduce(2)),
    "cropped by 2 % (1 % each side)": lambda photo: _jpeg(_cropped(photo, 0.01)),
    "cropped by 4 % (2 % each side), quality 55": lambda photo: _jpeg(_cropped(photo, 0.02), 55),
    "cropped by 5 % (2.5 % each side)": lambda photo: _jpeg(_cropped(photo, 0.025)),
    "a line of text over it": lambda photo: _jpeg(_text_over(photo)),
    "turned by 1°": lambda photo: _jpeg(_turned(1)(photo)),
    "turned by 3°": lambda photo: _jpeg(_turned(3)(photo)),
    "mirrored": lambda photo: _jpeg(ImageOps.mirror(photo)),
    "brighter by 15 %": lambda photo: _jpeg(_brighter(photo)),
    "brighter by 15 %, quality 22": lambda photo: _jpeg(_brighter(photo), 22),
    "grey": lambda photo: _jpeg(photo.convert("L").convert("RGB")),
}


def _copies(
    name: str, change: Callable[[Image.Image], bytes], photos: list[Image.Image]
) -> Measurement:
    found = [_verdict(_jpeg(photo), change(photo)) for photo in photos]
    by_hash, confirmed = (100 * float(np.mean(column)) for column in zip(*found, strict=True))
    return Measurement(
        what=f"copies, {name}: confirmed",
        value=confirmed,
        unit="%",
        bound="at least",
        limit=LEAST.get(name),
        peer=by_hash,
    )


def _verdict(one: bytes, other: bytes) -> tuple[bool, bool]:
    """Whether two files are near by the hash, and whether the fingerprint confirms it."""
    near = (inspect(one).phash ^ inspect(other).phash).bit_count() <= NEAR
    prints = Prints([fingerprint(decode(data, fit=32)) for data in (one, other)])
    return near, near and bool(prints.same(0, np.array([1]))[0])


def _different(name: str, *sets: list[bytes]) -> Measurement:
    """Compare the pairs of files within each set; return the share that counts as the same."""
    pairs = near = confirmed = 0
    for files in sets:
        hashes = [inspect(data).phash for data in files]
        prints = Prints([fingerprint(decode(data, fit=32)) for data in files])
        for one, other in combinations(range(len(files)), 2):
            pairs += 1
            if (hashes[one] ^ hashes[other]).bit_count() <= NEAR:
                near += 1
                confirmed += bool(prints.same(one, np.array([other]))[0])
    return Measurement(
        what=f"{name}: confirmed, falsely",
        value=100 * confirmed / pairs,
        unit="%",
        limit=DIFFERENT,
        peer=100 * near / pairs,
    )


def _frames(seed: int) -> Iterator[Image.Image]:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(60, 200, (12, 16, 3), dtype=np.uint8))
    scene = coarse.resize((640, 480), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(scene)
    for x in range(0, 640, 80):
        colour = tuple(int(level) for level in rng.integers(50, 190, 3))
        draw.rectangle((x + 6, 40 + (x * 7) % 60, x + 70, 260), fill=colour)
    for _ in range(FRAMES):
        frame = scene.copy()
        x, y = int(rng.integers(60, 560)), int(rng.integers(280, 440))
        draw = ImageDraw.Draw(frame)
        draw.rectangle((x, y - 40, x + 16, y), fill=(180, 40, 40))
        draw.ellipse((x + 2, y - 54, x + 14, y - 42), fill=(220, 180, 150))
        cells = np.asarray(frame) * rng.uniform(0.9, 1.1) + rng.normal(0, 3, (480, 640, 3))
        yield Image.fromarray(cells.clip(0, 255).astype(np.uint8))


def _swatches() -> list[bytes]:
    """Images of one colour; any two differ by 16 levels of a channel or more."""
    rng = np.random.default_rng(0)
    places = rng.choice(15**3, SWATCHES, replace=False)
    colours = [(int(n // 225) * 16, int(n // 15 % 15) * 16, int(n % 15) * 16) for n in places]
    return [_jpeg(Image.new("RGB", (64, 64), colour)) for colour in colours]


def _jpeg(picture: Image.Image, quality: int = 90) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()

"""What is the same picture, and what only looks like it to a perceptual hash."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance

from training.groups.fingerprint import COLOUR, LUMA, SIZE, VERSION, Prints, fingerprint
from training.images.images import decode, inspect

pytestmark = pytest.mark.unit


def scene(seed: int = 11) -> Image.Image:
    """A textured street."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(60, 200, (12, 16, 3), dtype=np.uint8))
    image = small.resize((320, 240), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for x in range(0, 320, 40):
        colour = tuple(int(value) for value in rng.integers(50, 190, 3))
        draw.rectangle((x + 3, 20 + (x * 7) % 30, x + 35, 130), fill=colour)
    draw.polygon([(0, 240), (125, 130), (195, 130), (320, 240)], fill=(90, 90, 95))
    return image


def frame(brightness: float, seed: int, thing: tuple[int, int] | None = None) -> Image.Image:
    """A frame of a fixed camera: noise and light change, and somebody may be there."""
    image = scene()
    if thing is not None:
        x, y = thing
        ImageDraw.Draw(image).rectangle((x, y - 20, x + 8, y), fill=(180, 40, 40))
    noise = np.random.default_rng(seed).normal(0, 3, (240, 320, 3))
    cells = np.asarray(image) * brightness + noise
    return Image.fromarray(cells.clip(0, 255).astype(np.uint8))


def saved(image: Image.Image, kind: str = "JPEG", quality: int = 85) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, quality=quality)
    return file.getvalue()


def same(*files: bytes) -> list[bool]:
    """Whether each file shows the same picture as the first; the measure is symmetric."""
    prints = Prints([fingerprint(decode(data, fit=32)) for data in files])
    others = np.arange(1, len(files))
    there = prints.same(0, others).tolist()
    back = [bool(prints.same(other, np.array([0]))[0]) for other in others.tolist()]
    assert there == back
    return there


CHANGES: dict[str, Callable[[Image.Image], bytes]] = {
    "quality": lambda image: saved(image, quality=40),
    "webp": lambda image: saved(image, "WEBP", 60),
    "png": lambda image: saved(image, "PNG"),
    "smaller": lambda image: saved(image.resize((160, 120))),
    "larger": lambda image: saved(image.resize((480, 360))),
    "darker": lambda image: saved(ImageEnhance.Brightness(image).enhance(0.8)),
    "brighter": lambda image: saved(ImageEnhance.Brightness(image).enhance(1.15)),
    "contrast": lambda image: saved(ImageEnhance.Contrast(image).enhance(0.8)),
    "colour": lambda image: saved(ImageEnhance.Color(image).enhance(0.85)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_that_was_changed_is_the_same_picture(change: str) -> None:
    image = scene()
    assert same(saved(image), CHANGES[change](image)) == [True]


def test_frames_of_a_fixed_camera_are_the_same_only_with_the_same_thing_in_them() -> None:
    frames = [
        saved(frame(1.0, 1)),
        saved(frame(0.9, 2)),
        saved(frame(1.1, 3)),
        saved(frame(1.0, 4, (150, 200))),
        saved(frame(0.95, 5, (60, 150))),
    ]
    hashes = [inspect(data).phash for data in frames]
    assert all((hashes[0] ^ other).bit_count() <= 4 for other in hashes)  # to the hash all one
    assert same(*frames) == [True, True, False, False]
    assert same(*frames[3:]) == [False]


def test_swatches_are_distinguished_by_their_colours() -> None:
    def swatch(*colour: int) -> bytes:
        return saved(Image.new("RGB", (64, 64), colour), "PNG")

    files = [swatch(190, 40, 40), swatch(191, 41, 39), swatch(200, 40, 40), swatch(40, 60, 180)]
    assert len({inspect(data).phash for data in files}) == 1
    assert same(*files) == [True, False, False]
    assert same(swatch(128, 128, 128), swatch(140, 140, 140)) == [False]


def test_a_flat_picture_is_not_one_with_something_in_it() -> None:
    flat = Image.new("RGB", (64, 64), (200, 200, 200))
    dot = flat.copy()
    ImageDraw.Draw(dot).ellipse((28, 28, 36, 36), fill=(20, 20, 20))
    assert same(saved(flat, "PNG"), saved(dot, "PNG")) == [False]


def test_products_of_another_colour_are_others_though_their_grey_is_the_same() -> None:
    def bottle(*colour: int) -> bytes:
        image = Image.new("RGB", (200, 200), (245, 245, 245))
        ImageDraw.Draw(image).rectangle((75, 60, 125, 180), fill=colour)
        return saved(image)

    red, green = (170, 40, 40), (40, 120, 50)
    greys = [
        Image.new("RGB", (1, 1), colour).convert("L").getpixel((0, 0)) for colour in (red, green)
    ]
    assert abs(greys[0] - greys[1]) < 10
    assert same(bottle(*red), bottle(*red), bottle(*green)) == [True, False]


def test_other_scenes_are_other_pictures() -> None:
    assert same(*(saved(scene(seed)) for seed in range(5))) == [False] * 4


def test_a_fingerprint_is_fixed() -> None:
    """Whoever changes what comes out raises VERSION: groups stand on it."""
    cells = np.add.outer(np.arange(64) * 2, np.arange(64)).astype(np.uint8)
    data = fingerprint(Image.fromarray(np.stack([cells, cells.T, 255 - cells], axis=-1)))
    assert len(data) == SIZE == 1536
    assert VERSION == 1
    predicted = np.frombuffer(data, np.uint8)[[0, 31, 527, 1023, 1024, 1279, 1280, 1535]]
    assert predicted.tolist() == [31, 115, 102, 174, 251, 71, 108, 137]


def cells_of_camera(draws: list[tuple[int, int, int, int]], seed: int) -> list[bytes]:
    """Fingerprints of one scene, with a spot of another level in each: (y, x, side, level)."""
    rng = np.random.default_rng(seed)
    scene = np.kron(rng.integers(90, 160, (8, 8)), np.ones((4, 4)))
    tint = rng.integers(118, 138, 2 * COLOUR * COLOUR)
    found = []
    for y, x, side, level in draws:
        luma = scene + rng.normal(0, 1, scene.shape)
        luma[y : y + side, x : x + side] += level
        cells = np.concatenate([luma.ravel(), tint + rng.normal(0, 0.5, tint.shape)])
        found.append(cells.round().clip(0, 255).astype(np.uint8).tobytes())
    return found


SPOTS = st.tuples(
    st.integers(0, LUMA - 1), st.integers(0, LUMA - 1), st.integers(0, 3), st.integers(-90, 90)
)


@settings(max_examples=40, deadline=None)
@given(
    draws=st.lists(SPOTS, min_size=2, max_size=12),
    more=st.lists(SPOTS, max_size=5),
    seed=st.integers(0, 3),
)
def test_a_glance_leaves_out_nothing_that_the_whole_test_confirms(draws, more, seed):
    """The answer is that of the whole test, however many cells are looked at first; of several
    cameras, too."""
    flat = bytes([100]) * SIZE
    prints = Prints([*cells_of_camera(draws, seed), flat, *cells_of_camera(more, seed + 1)])
    others = np.arange(len(draws) + 1 + len(more))
    for one in others.tolist():
        assert prints.same(one, others).tolist() == prints.wholly_same(one, others).tolist()


def test_frames_that_differ_are_distinguished_at_a_glance():
    """Hardly any needs the whole test, which takes ten times as long."""
    spots = [(y, x, 2, 80) for y in range(0, 30, 4) for x in range(0, 30, 4)]
    prints = Prints(cells_of_camera(spots, 0))
    asked = []
    whole = prints.wholly_same
    prints.wholly_same = lambda one, others: asked.append(len(others)) or whole(one, others)
    others = np.arange(1, len(spots))
    assert not prints.same(0, others).any()
    assert sum(asked) <= len(others) // 20


def test_many_at_once_are_answered_as_each_alone():
    spots = [(y, x, 1 + y % 2, 60 * (x % 3)) for y in range(0, 28, 2) for x in range(0, 28, 2)]
    prints = Prints(cells_of_camera(spots, 1))
    others = np.arange(len(spots))
    together = prints.same(3, others)
    assert 0 < together.sum() < len(others)
    assert together.tolist() == [bool(prints.same(3, others[[other]])[0]) for other in others]


def test_comparing_with_nobody_finds_nobody() -> None:
    data = fingerprint(scene())
    assert Prints([data]).same(0, np.empty(0, int)).tolist() == []

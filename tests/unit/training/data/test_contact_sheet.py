"""A contact sheet shows what can be shown, and names the rest."""

import io

import numpy as np
import pytest
from PIL import Image

from training.data.contact_sheet import TILE, contact_sheet

pytestmark = pytest.mark.unit


def png(width: int, height: int) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(sink, "PNG")
    return sink.getvalue()


@pytest.mark.parametrize("size", [(1200, 8), (8, 1200), (65_535, 1), (1, 1), (300, 200)])
def test_a_picture_of_any_shape_has_a_tile(size: tuple[int, int]) -> None:
    sheet, missing = contact_sheet([("strip", png(*size))], max_pixels=10**6)
    assert missing == {}
    assert sheet is not None
    pixels = np.asarray(Image.open(io.BytesIO(sheet)).convert("RGB")).astype(int)
    assert pixels.shape == (TILE + 2, TILE + 2, 3)
    assert pixels[..., 1].min() < 200  # something that is not white


def test_what_cannot_be_shown_is_named_and_the_others_are_shown() -> None:
    images = [("a", png(9, 9)), ("b", b"no picture"), ("c", None), ("d", png(9, 9)[:40])]
    sheet, missing = contact_sheet(images, max_pixels=10**6)
    assert sheet is not None
    assert set(missing) == {"b", "c", "d"}
    assert "not an image" in missing["b"]
    assert contact_sheet(images[1:], max_pixels=10**6) == (None, missing)

"""The touchstone: 67 odd files of the real world, each read as a person sees it or rejected."""

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.images.images import ImageRejected, decode, inspect

pytestmark = [pytest.mark.unit, pytest.mark.photos]

REJECTED = {"LICENSE", "truncated_end_chunk.png", "truncated_image.png"}
LIKE_HOPPER = {
    *(f"hopper.{suffix}" for suffix in ("avif", "bmp", "gif", "jpg", "tif", "webp")),
    *(f"hopper_orientation_{n}.{suffix}" for n in range(2, 9) for suffix in ("jpg", "webp")),
}


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    folder = os.environ.get("IMGCLF_TEST_PHOTOS")
    if not folder:
        pytest.skip("IMGCLF_TEST_PHOTOS is not set to the folder of the test photos")
    with tarfile.open(Path(folder) / "format-edge.tar") as archive:
        return {
            Path(member.name).name: archive.extractfile(member).read()
            for member in archive
            if member.isfile()
        }


def small(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((16, 16), Image.Resampling.BOX), dtype=float)


def difference(one: bytes, other: bytes) -> float:
    """Mean difference of the pixels, 0…255."""
    return float(np.abs(small(decode(one)) - small(decode(other))).mean())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_file_is_read_or_rejected_with_its_reason(files):
    assert len(files) == 67
    rejected = {}
    for name, data in files.items():
        try:
            facts = inspect(data)
        except ImageRejected as error:
            rejected[name] = error.reason
            continue
        picture = decode(data, fit=64)
        assert picture.mode == "RGB"
        assert picture.width / picture.height == pytest.approx(facts.width / facts.height, rel=0.02)
    assert rejected.keys() == REJECTED
    assert "not an image" in rejected["LICENSE"]
    assert "truncated" in rejected["truncated_image.png"].lower()
    assert "truncated" in rejected["truncated_end_chunk.png"].lower()


def test_every_variant_of_a_portrait_is_the_same_upright_picture(files):
    for name in sorted(LIKE_HOPPER):
        assert difference(files[name], files["hopper.png"]) < 6, name
    assert difference(files["hopper_16bit_qtables.jpg"], files["hopper.png"]) < 12
    grey = small(decode(files["hopper.png"]).convert("L").convert("RGB"))
    assert np.abs(small(decode(files["hopper_gray.jpg"])) - grey).mean() < 6


def test_inks_sixteen_bits_and_transparency_look_as_they_should(files):
    # the same drawing, once as light and twice as ink
    for name in ("pil_sample_cmyk.jpg", "tiff_strip_cmyk_jpeg.tif"):
        assert difference(files[name], files["truncated_app14.jpg"]) < 8
    assert difference(files["exif.avif"], files["exif.png"]) < 4
    for name in ("p_trns_single.png", "rgb_trns.png"):
        picture = decode(files[name])
        assert picture.getpixel((32, 32)) == (255, 255, 255)
        assert picture.getpixel((4, 4)) != (255, 255, 255)
    assert decode(files["transparent.webp"]).getpixel((0, 0)) == (255, 255, 255)
    dark = np.asarray(decode(files["16bit.cropped.tif"]))
    assert (dark.min(), dark.max()) == (1, 3)  # 291…694 of 65,535: not clipped to white
    assert np.asarray(decode(files["tiff_16bit_RGB.tiff"])).std() > 5


def test_facts_are_of_the_bytes_and_not_of_the_name(files):
    facts = inspect(files["red_dress_00000116.gif"])
    assert (facts.format, facts.mode, facts.width, facts.height) == ("JPEG", "RGB", 996, 1500)
    facts = inspect(files["orientation_rectangle.jpg"])
    assert (facts.width, facts.height) == (1, 2)
    facts = inspect(files["blue_shirt_00000273.jpg"])
    assert (facts.width, facts.height) == (4912, 7360)
    assert inspect(files["pil_sample_cmyk.jpg"]).mode == "CMYK"
    assert inspect(files["16bit.cropped.tif"]).mode == "I;16"

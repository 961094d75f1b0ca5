"""Every odd picture is read as a person would see it, or rejected with a reason."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, TiffImagePlugin

from training.images.images import ImageRejected, decode, inspect, to_array

pytestmark = pytest.mark.unit

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
STORED = {
    1: Image.Transpose.ROTATE_90,  # never used: 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How an upright picture is laid down in a file that says orientation n."""


def upright() -> Image.Image:
    """24 × 16: red, green / blue, white quarters."""
    image = Image.new("RGB", (24, 16), RED)
    image.paste(GREEN, (12, 0, 24, 8))
    image.paste(BLUE, (0, 8, 12, 16))
    image.paste(WHITE, (12, 8, 24, 16))
    return image


def encoded(image: Image.Image, format_name: str, **options) -> bytes:
    sink = io.BytesIO()
    image.save(sink, format_name, **options)
    return sink.getvalue()


def quarters(image: Image.Image) -> list[tuple[int, ...]]:
    width, height = image.size
    spots = [(1, 1), (3, 1), (1, 3), (3, 3)]
    return [image.getpixel((x * width // 4, y * height // 4)) for x, y in spots]


def assert_upright(image: Image.Image, tolerance: int = 6) -> None:
    assert (image.mode, image.size) == ("RGB", (24, 16))
    np.testing.assert_allclose(quarters(image), [RED, GREEN, BLUE, WHITE], atol=tolerance)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("format_name", "options"),
    [
        ("JPEG", {"quality": 100, "subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}),
    ],
)
def test_every_orientation_in_every_format_comes_out_upright(format_name, options, orientation):
    stored = upright() if orientation == 1 else upright().transpose(STORED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, format_name, exif=exif, **options)
    assert_upright(decode(data), tolerance=12)
    facts = inspect(data)
    assert (facts.width, facts.height, facts.format) == (24, 16, format_name)


@pytest.mark.parametrize(
    ("image", "format_name", "options"),
    [
        (upright().convert("P", palette=Image.Palette.ADAPTIVE), "PNG", {}),
        (upright().convert("P", palette=Image.Palette.ADAPTIVE), "GIF", {}),
        (upright(), "BMP", {}),
        (upright(), "PPM", {}),
        (upright(), "JPEG2000", {}),
        (upright().convert("CMYK"), "TIFF", {}),
        (upright().convert("CMYK"), "JPEG", {"quality": 100}),
        (upright(), "GIF", {"save_all": True, "append_images": [Image.new("RGB", (24, 16))]}),
        (upright(), "WEBP", {"save_all": True, "append_images": [Image.new("RGB", (24, 16))],
                             "lossless": True}),
        (upright(), "PNG", {"save_all": True, "append_images": [Image.new("RGB", (24, 16))]}),
        (upright(), "TIFF", {"save_all": True, "append_images": [Image.new("RGB", (24, 16))]}),
        (upright(), "MPO", {"save_all": True, "append_images": [Image.new("RGB", (24, 16))],
                            "quality": 100, "subsampling": 0}),
    ],
)  # fmt: skip
def test_colours_and_the_first_frame_of_every_format(image, format_name, options):
    assert_upright(decode(encoded(image, format_name, **options)))


def transparent(mode: str) -> tuple[Image.Image, dict[str, object]]:
    """Left half black and opaque, right half black and transparent."""
    rgba = Image.new("RGBA", (24, 16), (0, 0, 0, 255))
    rgba.paste((0, 0, 0, 0), (12, 0, 24, 16))
    if mode == "P":
        paletted = Image.new("P", (24, 16), 0)
        paletted.putpalette([0, 0, 0, 0, 0, 0])
        paletted.paste(1, (12, 0, 24, 16))
        return paletted, {"transparency": 1}
    if mode == "RGB":
        keyed = Image.new("RGB", (24, 16), (0, 0, 0))
        keyed.paste((1, 2, 3), (12, 0, 24, 16))
        return keyed, {"transparency": (1, 2, 3)}
    return rgba.convert(mode), {}


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_what_is_transparent_is_white(mode):
    image, options = transparent(mode)
    picture = decode(encoded(image, "PNG", **options))
    assert picture.getpixel((4, 8)) == (0, 0, 0)
    assert picture.getpixel((20, 8)) == WHITE


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_and_not_clipped(format_name):
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(1, 64).repeat(8, axis=0)
    array = to_array(decode(encoded(Image.fromarray(ramp), format_name)))
    np.testing.assert_allclose(array[0, :, 0], ramp[0] / 257, atol=0.51)


def test_white_is_zero_sixteen_bit_tiff_is_turned_over():
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(1, 64).repeat(8, axis=0)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    data = bytearray(encoded(Image.fromarray(ramp), "TIFF", tiffinfo=tags))
    with Image.open(io.BytesIO(data)) as image:
        assert image.tag_v2[262] == 1
    at = data.index(b"\x06\x01\x03\x00\x01\x00\x00\x00\x01")  # tag 262, short, one value: 1
    data[at + 8] = 0
    array = to_array(decode(bytes(data)))
    assert array[0, 0, 0] == 255
    assert array[0, -1, 0] == 0


def test_float_pixels_are_read_from_0_to_1_and_otherwise_rejected():
    unit = Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8))
    assert to_array(decode(encoded(unit, "TIFF"))).max() == 255
    for wrong in (1000.0, -1.0, np.nan):
        pixels = np.full((8, 8), wrong, dtype=np.float32)
        with pytest.raises(ImageRejected, match="8 or 16 bits"):
            decode(encoded(Image.fromarray(pixels), "TIFF"))


def test_a_cmyk_photo_is_read_by_its_profile_and_survives_a_broken_one():
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    broken = encoded(red, "JPEG", icc_profile=b"no profile")
    np.testing.assert_allclose(decode(broken).getpixel((4, 4)), RED, atol=4)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    wrong_space = encoded(red, "JPEG", icc_profile=srgb)  # a profile for RGB, not for CMYK
    np.testing.assert_allclose(decode(wrong_space).getpixel((4, 4)), RED, atol=4)


def test_a_broken_exif_block_does_not_cost_the_picture():
    data = encoded(upright(), "JPEG", quality=100, subsampling=0, exif=b"Exif\0\0II*\0\xff\xff\xff")
    assert_upright(decode(data))


def noise(side: int = 64) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"MIT License, and so on", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            "Git LFS.*`git lfs pull`",
        ),
        (b"/annex/objects/SHA256E-s31390--f50d.jpg\n", "git-annex.*`git annex get`"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (encoded(noise(), "JPEG")[:-2000], "truncated"),
        (encoded(noise(), "PNG")[:-2000], "truncated"),
        (encoded(noise(), "GIF")[:-2000], "truncated"),
        (encoded(noise(), "BMP")[:-2000], "truncated"),
        (encoded(noise(), "TIFF", compression="tiff_deflate")[:-2000], "truncated or broken"),
        (encoded(noise(), "WEBP")[:-1000], "truncated or broken"),
        (encoded(noise(), "AVIF")[:-1000], "truncated or broken"),
    ],
)
def test_what_is_no_whole_picture_is_rejected_with_the_reason(data, reason):
    for read in (decode, inspect, lambda bytes_: decode(bytes_, fit=4)):
        with pytest.raises(ImageRejected, match=reason) as caught:
            read(data)
        assert caught.value.reason == str(caught.value)


def test_too_many_pixels_are_rejected_unread():
    data = encoded(Image.new("1", (5000, 4000)), "PNG")
    with pytest.raises(ImageRejected, match=r"5000 × 4000.*max_pixels"):
        decode(data, max_pixels=19_999_999)
    huge = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    with pytest.raises(ImageRejected, match="too many pixels"):
        decode(huge)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
def test_big_pictures_are_reduced_to_between_two_and_four_times_the_fit(format_name):
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (12, 9, 3), dtype=np.uint8))
    big = small.resize((900, 1200), Image.Resampling.BILINEAR)
    data = encoded(big, format_name)
    for fit in (20, 32, 64, 100, 224):
        picture = decode(data, fit=fit)
        assert 2 * fit <= picture.width < 4 * fit
        assert picture.height / picture.width == pytest.approx(4 / 3, rel=0.02)
        wanted = np.asarray(big.resize((32, 32)), dtype=float)
        assert np.abs(np.asarray(picture.resize((32, 32)), dtype=float) - wanted).mean() < 4
    assert decode(data, fit=225).size == big.size
    assert decode(data).size == big.size


def test_the_perceptual_hash_survives_another_format_and_size_and_tells_pictures_apart():
    rng = np.random.default_rng(0)

    def scene() -> Image.Image:
        return Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((300, 300))

    one, other = scene(), scene()
    original = inspect(encoded(one, "PNG")).phash
    assert (original ^ inspect(encoded(one, "JPEG")).phash).bit_count() <= 2
    assert (original ^ inspect(encoded(one.resize((180, 180)), "WEBP")).phash).bit_count() <= 4
    assert (original ^ inspect(encoded(other, "PNG")).phash).bit_count() > 15


SEEDS = [
    encoded(upright(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
    encoded(upright(), "PNG"),
    encoded(upright(), "GIF"),
    encoded(upright(), "WEBP"),
    encoded(upright(), "TIFF", compression="tiff_lzw"),
    encoded(upright().convert("CMYK"), "TIFF"),
    encoded(upright(), "BMP"),
    encoded(upright(), "PPM"),
    encoded(upright(), "JPEG2000"),
    encoded(upright(), "AVIF"),
]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.sampled_from(SEEDS),
    edits=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=6),
    keep=st.floats(0, 1),
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_files_are_read_or_rejected_and_nothing_else(seed, edits, keep):
    data = bytearray(seed)
    for position, value in edits:
        data[position % len(data)] = value
    try:
        picture = decode(bytes(data[: int(len(data) * max(keep, 0.2)) + 1]), max_pixels=1_000_000)
    except ImageRejected:
        return
    assert picture.mode == "RGB"
    assert to_array(picture).shape == (picture.height, picture.width, 3)

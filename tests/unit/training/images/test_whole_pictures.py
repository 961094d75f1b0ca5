"""Whether a picture is whole is judged by its pixels; notes in the file cost nothing."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from training.images.images import MAX_SIDE, ImageRejected, decode, inspect, to_array

pytestmark = pytest.mark.unit

END = b"\xff\xd9"
JPEGS: dict[str, dict[str, object]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_rows": 1},
    "own tables": {"optimize": True},
    "full colour": {"subsampling": 0},
}


def photo(width: int = 160, height: int = 120) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format_name: str, **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, format_name, **options)
    return sink.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG of one bit a pixel, all black; ``chunks`` come before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + -(-width // 8)) * height), 1)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *chunks,
            chunk(b"IDAT", rows),
            chunk(b"IEND", b""),
        ]
    )


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS.keys())
def test_a_jpeg_that_lacks_its_end_marker_only_is_read(options: dict[str, object]) -> None:
    whole = encoded(photo(), "JPEG", **options)
    assert whole.endswith(END)
    for data in (whole[:-2], whole[:-1], whole + b"trailing bytes" * 99, whole + bytes(5000)):
        np.testing.assert_array_equal(to_array(decode(data)), to_array(decode(whole)))
        assert inspect(data).phash == inspect(whole).phash


@pytest.mark.parametrize("read", [inspect, decode])
@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS.keys())
def test_half_a_jpeg_is_refused_whatever_stands_at_its_end(options, read) -> None:
    whole = encoded(photo(), "JPEG", **options)
    for share in (0.3, 0.5, 0.8):
        kept = int(len(whole) * share)
        for end in (b"", END, bytes(len(whole) - kept), bytes(len(whole) - kept) + END):
            with pytest.raises(ImageRejected, match="truncated or broken"):
                read(whole[:kept] + end)


def test_a_progressive_jpeg_without_its_last_scans_is_refused() -> None:
    whole = encoded(photo(), "JPEG", progressive=True)
    last_scan = whole.rfind(b"\xff\xc4")  # its table comes before it
    with pytest.raises(ImageRejected, match="last scans"):
        decode(whole[:last_scan] + END)


def test_a_flat_jpeg_and_zeros_before_the_end_marker_are_no_damage() -> None:
    flat = encoded(Image.new("RGB", (320, 240), "white"), "JPEG", optimize=True)
    assert decode(flat).getpixel((300, 200)) == (255, 255, 255)
    padded = encoded(photo(), "JPEG").removesuffix(END) + bytes(3000) + END
    assert inspect(padded).width == 160


def test_a_png_is_read_without_its_end_and_refused_with_damaged_pixels() -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (99, 99, 3), dtype=np.uint8))
    whole = encoded(noise, "PNG")
    assert decode(whole[:-12]).size == (99, 99)
    half = len(whole) // 2
    for data in (whole[:half], whole[:half] + bytes(half)):
        with pytest.raises(ImageRejected, match="truncated or broken"):
            inspect(data)
    wrong_checksum = bytearray(whole)
    wrong_checksum[-13] ^= 255  # of the chunk; the pixels' own is right
    np.testing.assert_array_equal(to_array(decode(bytes(wrong_checksum))), np.asarray(noise))


def noted(**texts: tuple[str, bool]) -> bytes:
    info = PngImagePlugin.PngInfo()
    for keyword, (text, packed) in texts.items():
        info.add_itxt(keyword, text, zip=packed)
    return encoded(photo(), "PNG", pnginfo=info)


@pytest.mark.parametrize(
    "data",
    [
        noted(prompt=("x" * 2_000_000, True)),
        noted(prompt=("x" * 2_000_000, False)),
        encoded(photo(), "PNG", icc_profile=bytes(2_000_000)),
        png(160, 120, chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(2_000_000)))),
        png(160, 120, chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(2**21)))),
    ],
    ids=["packed text", "text", "profile", "zTXt", "huge XMP"],
)
def test_notes_of_more_than_a_megabyte_do_not_cost_a_png_its_pixels(data: bytes) -> None:
    facts = inspect(data)
    assert (facts.width, facts.height, facts.format) == (160, 120, "PNG")
    assert decode(data).size == (160, 120)


def test_a_note_that_turns_the_picture_is_heard_among_others() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = exif.tobytes().hex()
    text = f"\nexif\n{len(raw) // 2:8}\n{raw}\n".encode()
    data = png(160, 120, chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text)))
    assert decode(data).size == (120, 160)
    assert (inspect(data).width, inspect(data).height) == (120, 160)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_width_and_height_are_the_originals_also_of_what_is_nearly_square(
    format_name: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    facts = inspect(encoded(Image.new("RGB", (200, 199)), format_name, exif=exif))
    lying = orientation > 4
    assert (facts.width, facts.height) == ((199, 200) if lying else (200, 199))


@pytest.mark.parametrize("size", [(MAX_SIDE + 1, 1), (1, MAX_SIDE + 1), (99_999_999, 1)])
def test_a_side_that_no_net_can_take_is_refused_unread(size: tuple[int, int]) -> None:
    with pytest.raises(ImageRejected, match=r"side too long: .*65,535.*cut it"):
        inspect(png(*size))


def test_a_long_strip_is_reduced_along_its_length_and_the_longest_side_is_read() -> None:
    assert inspect(png(MAX_SIDE, 1)).width == MAX_SIDE
    strip = decode(png(30_000, 890), fit=224)
    assert strip.height == 890
    assert strip.width == -(-30_000 // 7)
    assert decode(png(3000, 890), fit=224).size == (3000, 890)
    assert decode(png(3070, 2047), fit=512).size == (3070, 2047)


def test_bands_of_a_big_picture_give_the_pixels_of_the_whole() -> None:
    rng = np.random.default_rng(2)
    deep = rng.integers(0, 65536, (1100, 1303)).astype(np.uint16)
    data = encoded(Image.fromarray(deep), "PNG")
    grey = np.rint(deep * (255 / 65535)).astype(np.uint8)
    expected = Image.fromarray(grey).convert("RGB").reduce(1100 // 64)
    np.testing.assert_array_equal(to_array(decode(data, fit=32)), np.asarray(expected))
    np.testing.assert_array_equal(to_array(decode(data))[:, :, 0], grey)


def test_what_takes_too_much_memory_to_decode_is_refused_with_the_way_out(monkeypatch) -> None:
    monkeypatch.setattr("training.images.memory.LIMIT", 200_000)
    with pytest.raises(ImageRejected, match=r"160 × 120 .* from a WEBP.* save it as JPEG or PNG"):
        inspect(encoded(photo(), "WEBP"))
    monkeypatch.setattr("training.images.memory.LIMIT", 100_000)
    with pytest.raises(ImageRejected, match=r"progressive JPEG.* baseline JPEG"):
        inspect(encoded(photo(320, 240), "JPEG", progressive=True))
    assert inspect(encoded(photo(320, 240), "JPEG")).width == 320


def test_what_pillow_decodes_in_python_has_a_bound_of_its_own(monkeypatch) -> None:
    monkeypatch.setattr("training.images.memory.MOST_SCRIPTED_PIXELS", 100)
    plain = b"P3\n16 16\n255\n" + b"9 " * 768
    with pytest.raises(ImageRejected, match="minutes to read; save it as PNG"):
        inspect(plain)


def test_a_decoder_that_runs_out_of_memory_rejects_the_picture(monkeypatch) -> None:
    def exhausted(self: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", exhausted)
    with pytest.raises(ImageRejected, match="more memory than is available"):
        inspect(png(16, 16))


def test_random_damage_to_a_jpeg_never_raises_anything_else() -> None:
    whole = encoded(photo(), "JPEG", progressive=True)
    rng = random.Random(3)
    for _ in range(60):
        broken = bytearray(whole)
        for _ in range(rng.randrange(1, 5)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        try:
            inspect(bytes(broken[: rng.randrange(20, len(broken))]))
        except ImageRejected:
            continue


@pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
def test_an_orientation_that_there_is_not_turns_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.new("RGB", (40, 20)).save(out, "JPEG", exif=exif)
    facts = inspect(out.getvalue())
    assert (facts.width, facts.height) == (40, 20)

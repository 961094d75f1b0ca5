"""What is no image that can be read is told before anything is written, with its remedy."""

import io
import itertools
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from labelling.sources.findings import unread_formats
from labelling.sources.findings.facts import source_facts
from labelling.sources.findings.unread_formats import by_head, by_suffix
from labelling.sources.read import read_source
from labelling.sources.reading import Reading
from tests.unit.imgclf_dagster.ingest.ingest_of_tests import Ingest, ingest, picture
from training.images.images import FORMATS, ImageRejected, inspect

__all__ = ["ingest"]

pytestmark = pytest.mark.unit

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
PAGE = b"<!DOCTYPE html><html><head><title>403 Forbidden</title></head></html>"

ODD = {
    "cat/1.HEIC": HEIC,
    "cat/2.jpg": HEIC,
    "cat/3.cr2": b"II*\0",
    "cat/4.DNG": b"II*\0",
    "cat/5.svg": b"<svg/>",
    "cat/6.psd": b"8BPS",
    "cat/7.jpg": LFS,
    "cat/8.jpg": PAGE,
    "cat/9": PAGE,
}


STARTS = b"IMBPGR\x89\xff\0*F\x0c(6mfyz147\xd8O"
MAGIC = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51", b"RIFF\0\0\0\0WEBPVP8 ",
         b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", b"\0\0\0\x1cftypavis", b"GIF87a", b"GIF89a",
         *(bytes([size, 0, 0, 0]) for size in (12, 40, 52, 56, 64, 108, 124)))  # fmt: skip


def jpeg() -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(sink, "JPEG")
    return sink.getvalue()


def in_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def in_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path.with_suffix(".zip")


def in_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path.with_suffix(".tar"), "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path.with_suffix(".tar")


def refused(reading: Reading) -> dict[str, str]:
    return {one.name: one.reason for one in reading.rejections}


@pytest.mark.parametrize("packed", [in_folder, in_zip])
def test_they_are_refused_and_count_as_no_images(
    tmp_path: Path, packed: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    images = {"cat/0.png": picture(0), "dog/0.png": picture(1), "dog/really.heic": jpeg()}
    reading = read_source(packed(tmp_path / "set", {**images, **ODD}))
    assert {*refused(reading)} == {*ODD}
    assert {one.name: one.images for one in source_facts(reading).classes} == {"cat": 1, "dog": 2}
    reported = refused(reading)
    assert "convert it" in reported["cat/1.HEIC"] == reported["cat/2.jpg"]
    assert "export it as JPEG" in reported["cat/3.cr2"] == reported["cat/4.DNG"]
    assert "export it as PNG" in reported["cat/5.svg"]
    assert "git lfs pull" in reported["cat/7.jpg"]


def test_in_a_tar_the_suffix_tells(tmp_path: Path) -> None:
    files = {"cat/0.png": picture(0), "dog/0.png": picture(1), "dog/really.heic": jpeg()}
    reading = read_source(in_tar(tmp_path / "set", {**files, "cat/1.heic": HEIC}))
    assert {*refused(reading)} == {"cat/1.heic"}


def test_a_sample_tells_whether_all_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unread_formats, "SAMPLE", 2)
    good = {f"cat/{number}.png": picture(number) for number in range(7)}
    bad = {f"dog/{number}.png": LFS for number in range(7)}
    reading = read_source(in_folder(tmp_path / "set", {**good, **bad, "dog/last.png": picture(9)}))
    assert {*refused(reading)} == {*bad}


@pytest.mark.parametrize(
    "data",
    [
        HEIC,
        LFS,
        PAGE,
        b"/annex/objects/MD5E-s5--abc",
        b"%PDF-1.7, and more",
        b"not an image at all",
    ],
)
def test_ingest_would_have_refused_it_for_the_same_reason(data: bytes) -> None:
    with pytest.raises(ImageRejected) as refusal:
        inspect(data)
    assert by_head(data[:64]) == str(refusal.value)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF"])
def test_no_image_that_is_read_is_refused(form: str) -> None:
    sink = io.BytesIO()
    Image.new("RGB", (40, 40), (120, 120, 120)).save(sink, form)
    assert by_head(sink.getvalue()[:64]) is None


def test_whatever_a_reader_of_images_would_look_at_is_left_to_it() -> None:
    Image.init()
    readers = [accept for name in FORMATS if (accept := Image.OPEN[name][1]) is not None]
    assert len(readers) == len(FORMATS)
    ends = (b"mif1\0\0\0\0avif", b"avif", b"WEBP", b"\r\n\x87\n", b"\0" * 40)
    starts = [bytes(four) for four in itertools.product(*[STARTS] * 2, *[b"\0*+"] * 2)]
    heads = (*(four + end for four in starts for end in ends), *MAGIC)
    for head in (one.ljust(64, b"\0") for one in heads):
        if any(accept(head) is True for accept in readers):
            assert by_head(head) is None, head


def test_plain_pixels_are_no_text() -> None:
    text = b"P2\n8 8\n255\n" + b"120 " * 64
    inspect(text)
    assert by_head(text[:64]) is None


def test_no_suffix_of_an_image_that_is_read_is_refused() -> None:
    Image.init()
    read = {suffix for suffix, form in Image.EXTENSION.items() if form in
            ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "PPM", "JPEG2000")}  # fmt: skip
    assert not [suffix for suffix in read if by_suffix(f"a{suffix}")]
    assert by_suffix("ai") is None


def test_only_such_files_are_exit_code_1_in_a_dry_run_too(ingest: Ingest) -> None:
    in_folder(ingest.source, {"cat/1.heic": HEIC, "dog/2.heic": HEIC})
    for args in ((), ("--dry-run",)):
        assert ingest(*args) == 1
        assert "rejected: 2 × HEIC is not supported; convert it" in ingest.words
        assert "no image that can be read" in ingest.words
        assert not ingest.home.exists()


# --- lists that name them ------------------------------------------------------------------------


def test_a_list_is_no_worse_for_them(tmp_path: Path) -> None:
    files = {"1.heic": HEIC, "2.nef": b"MM\0*", "3.heic": HEIC, "4.png": picture(4)}
    rows = "1.heic,cat\n2.nef,dog\n3.heic,cat\n4.png,dog\n"
    files["labels.csv"] = f"file,label\n{rows}".encode()
    reading = read_source(in_folder(tmp_path / "set", files))
    assert not reading.doubts
    assert dict(reading.labels) == {"4.png": ("dog",)}
    reported = refused(reading)
    assert "the file that it names is refused" in reported["labels.csv:2 1.heic"]
    assert "export it as JPEG" in reported["2.nef"]


def test_a_list_that_names_what_is_passed_over_is_told_so(tmp_path: Path) -> None:
    names = ("1.png", "2.png", "3.png", "4.png")
    hidden = (".thumbnails/1.png", "@eaDir/2.png", "._3.png", "a/.new/4.png")
    lines = [*(f"{name},cat" for name in names[:2]), *(f"{name},dog" for name in names[2:]),
             ".thumbnails/1.png,x", "/home/me/set/@eaDir/2.png,x", "./._3.png,x"]  # fmt: skip
    files = {name: picture(at) for at, name in enumerate((*names, *hidden))}
    files["labels.csv"] = "\n".join(["file,label", *lines, "gone.png,x"]).encode()
    reading = read_source(in_folder(tmp_path / "set", files))
    assert dict(reading.labels) == {"1.png": ("cat",), "2.png": ("cat",), "3.png": ("dog",),
                                    "4.png": ("dog",)}  # fmt: skip
    reported = refused(reading)
    for line in ("labels.csv:6 .thumbnails/1.png", "labels.csv:7 /home/me/set/@eaDir/2.png",
                 "labels.csv:8 ./._3.png"):  # fmt: skip
        assert "the file is ignored: a leftover of an operating system" in reported[line]
    assert "no such file" in reported["labels.csv:9 gone.png"]

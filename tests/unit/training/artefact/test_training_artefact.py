"""model.tar.gz: what is packed comes back, and nothing else is taken for a model."""

import gzip
import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from training.artefact.artefact import digest, pack, read_artefact_manifest, unpack
from training.errors import ArtefactError

pytestmark = pytest.mark.unit


@pytest.fixture
def folder(tmp_path: Path, colour_artefact: Callable[..., Path]) -> Path:
    return colour_artefact(tmp_path / "model")


def _tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info, data in members:
            info.size = len(data) if info.isfile() else 0
            tar.addfile(info, io.BytesIO(data))
    return path


def _refused(archive: Path | bytes, into: Path, match: str, **options: int) -> None:
    with pytest.raises(ArtefactError, match=match):
        unpack(archive, into, **options)
    assert not into.exists()
    assert not list(into.parent.glob(f".{into.name}.*"))


def test_round_trip_is_deterministic_and_keeps_the_digest(folder: Path, tmp_path: Path) -> None:
    one, two = pack(folder, tmp_path / "one.tar.gz"), pack(folder, tmp_path / "two.tar.gz")
    assert one.read_bytes() == two.read_bytes()
    assert unpack(one, tmp_path / "a") == unpack(one.read_bytes(), tmp_path / "b")
    assert digest(tmp_path / "a") == digest(folder)
    assert (tmp_path / "a" / "model.onnx").read_bytes() == (folder / "model.onnx").read_bytes()


def test_a_manifest_of_an_older_version_keeps_its_digest(folder: Path) -> None:
    """Its models are squashed, with bilinear resizing, and say neither."""
    manifest = read_artefact_manifest(folder)
    assert b"resize" not in manifest.canonical()
    assert b"interpolation" not in manifest.canonical()
    other = manifest.model_copy(update={"resize": "pad"})
    assert b'"resize": "pad"' in other.canonical()
    assert digest(other) != digest(manifest)


def test_sagemakers_own_archive_is_read(folder: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-czf", tmp_path / "m.tar.gz", "-C", folder, "."], check=True)
    assert unpack(tmp_path / "m.tar.gz", tmp_path / "out") == read_artefact_manifest(folder)


def test_a_changed_member_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.pt").write_bytes(b"other state")
    _refused(pack(folder, tmp_path / "m.tar.gz"), tmp_path / "out", "model.pt has sha256")


def test_a_missing_member_is_refused(folder: Path, tmp_path: Path) -> None:
    manifest = (tarfile.TarInfo("manifest.json"), (folder / "manifest.json").read_bytes())
    _refused(_tar(tmp_path / "m.tar.gz", manifest), tmp_path / "out", "is missing")


@pytest.mark.parametrize("name", ["../model.pt", "/model.pt", "sub/model.pt", "code.pkl"])
def test_foreign_names_are_refused(name: str, tmp_path: Path) -> None:
    archive = _tar(tmp_path / "m.tar.gz", (tarfile.TarInfo(name), b"x"))
    _refused(archive, tmp_path / "out", "unexpected member")


def test_links_are_refused(tmp_path: Path) -> None:
    link = tarfile.TarInfo("model.pt")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    _refused(_tar(tmp_path / "m.tar.gz", (link, b"")), tmp_path / "out", "unexpected member")


def test_a_member_twice_is_refused(tmp_path: Path) -> None:
    twice = [(tarfile.TarInfo("model.pt"), b"x") for _ in range(2)]
    _refused(_tar(tmp_path / "m.tar.gz", *twice), tmp_path / "out", "twice")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    archive = _tar(tmp_path / "m.tar.gz", (tarfile.TarInfo("model.pt"), bytes(2_000_000)))
    _refused(archive, tmp_path / "out", "too big", max_bytes=1_000_000)


@pytest.mark.parametrize("broken", ["cut", "not gzip", "not tar", "flipped"])
def test_broken_archives_are_refused(broken: str, folder: Path, tmp_path: Path) -> None:
    data = pack(folder, tmp_path / "m.tar.gz").read_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 0xFF
    made = {
        "cut": data[: len(data) // 2],
        "not gzip": b"hello",
        "not tar": gzip.compress(b"hello" * 500),
        "flipped": bytes(flipped),
    }
    _refused(made[broken], tmp_path / "out", "the archive")


def test_a_folder_in_use_is_not_touched(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(FileExistsError):
        unpack(pack(folder, tmp_path / "m.tar.gz"), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]

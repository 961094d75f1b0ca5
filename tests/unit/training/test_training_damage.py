"""What a power cut leaves of a job's folder: a checkpoint, a cache, a note. Training goes on."""

import errno
import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pytest
import torch

from object_store import durable
from resources.compute.local.folder import JobFolder
from training.config import Hyperparameters
from training.data.data import LabelledImages
from training.fitting.checkpoints import CHECKPOINT
from training.fitting.fit import Epoch, fit

pytestmark = pytest.mark.unit

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "zeros at its end": lambda data: data[:-64] + bytes(64),
    "zeros": lambda data: bytes(len(data)),
    "one byte changed": lambda data: _changed(data, data.index(b"state_dict")),
}


def _changed(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def _images(count: int) -> LabelledImages:
    pixels = np.random.default_rng(0).integers(0, 255, (count, 8, 8, 3), dtype=np.uint8)
    return LabelledImages(pixels, np.arange(count) % 2, pa.table({"raw_key": ["x"] * count}))


def _fit(
    folder: Path, epochs: int, after_epoch: Callable[[Epoch], None] = lambda _: None
) -> list[int]:
    """Train; the epochs that were done now."""
    messages: list[Epoch] = []

    def report(epoch: Epoch) -> None:
        messages.append(epoch)
        after_epoch(epoch)

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))
    parameters = Hyperparameters(
        recipe="scratch", epochs=epochs, batch_size=4, image_size=8, augmentation="none"
    )
    fit(net, parameters, task="single_label", classes=2, train=_images(8), val=_images(4),
        checkpoints=folder / "checkpoints", scratch=folder / "scratch", report=report)  # fmt: skip
    return [int(epoch["epoch"]) for epoch in messages]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A checkpoint after one epoch."""
    folder = tmp_path_factory.mktemp("trained")
    assert _fit(folder, 1) == [1]
    return (folder / "checkpoints" / CHECKPOINT).read_bytes()


@pytest.mark.parametrize("damage", DAMAGES)
def test_training_begins_again_where_the_checkpoint_is_damaged(
    trained: bytes, damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved = tmp_path / "checkpoints" / CHECKPOINT
    saved.parent.mkdir()
    saved.write_bytes(DAMAGES[damage](trained))
    with caplog.at_level(logging.WARNING, "training"):
        assert _fit(tmp_path, 2) == [1, 2]
    assert "training starts again" in caplog.text


def test_a_checkpoint_that_is_whole_is_gone_on_from(trained: bytes, tmp_path: Path) -> None:
    saved = tmp_path / "checkpoints" / CHECKPOINT
    saved.parent.mkdir()
    saved.write_bytes(trained)
    assert _fit(tmp_path, 1) == [], "its epoch was done"


@pytest.mark.parametrize("note", ["", "{", "null", "[]", "{}", '{"start_after": null}'])
def test_a_damaged_note_of_a_start_is_none(tmp_path: Path, note: str) -> None:
    folder = JobFolder(tmp_path)
    (folder.path / "launch.json").write_text(note)
    assert folder.launch() is None


def test_a_file_has_its_name_only_when_the_disk_has_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    target = tmp_path / "cache.npy"
    monkeypatch.setattr(durable, "_sync", lambda _: seen.append(target.exists()))
    (tmp_path / "part").write_bytes(b"x")
    durable.put_in_place(tmp_path / "part", target)
    assert seen == [False, True], "the bytes first, then the name"


def test_a_checkpoint_replaces_the_last_one_in_one_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where temporary files lie on another file system, from where a move is a copy."""
    saved = tmp_path / "checkpoints" / CHECKPOINT
    _forbid_renames_between_folders(monkeypatch)
    with ExitStack() as files:
        seen: list[tuple[BinaryIO, bytes]] = []

        def remember(_: Epoch) -> None:
            if saved.exists():
                seen.append((files.enter_context(saved.open("rb")), saved.read_bytes()))

        assert _fit(tmp_path, 4, remember) == [1, 2, 3, 4]
        assert len({data for _, data in seen}) >= 3, "a checkpoint an epoch"
        assert all(file.read() == data for file, data in seen), "no file was written to again"
    assert [path.name for path in saved.parent.iterdir()] == [CHECKPOINT]


def _forbid_renames_between_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the operating system answers when the folders are on two file systems."""

    def same_folder(rename: Callable[[str, str], None]) -> Callable[[str, str], None]:
        def checked(source: str, target: str) -> None:
            if Path(source).parent != Path(target).parent:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            rename(source, target)

        return checked

    monkeypatch.setattr(os, "rename", same_folder(os.rename))
    monkeypatch.setattr(os, "replace", same_folder(os.replace))

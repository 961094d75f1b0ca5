"""TensorBoard's files of a job: its epochs, through restarts, and never the end of a job."""

import struct
from pathlib import Path

import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event

from training.evaluation.event_files import EventFiles

pytestmark = pytest.mark.unit


def events(folder: Path) -> list[Event]:
    """The events of a folder as TensorBoard reads them, file after file."""
    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:  # length, CRC of it, message, CRC of it
            (length,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def scalars(folder: Path) -> list[tuple[int, float, str, float]]:
    return [
        (event.step, event.wall_time, value.tag, round(value.simple_value, 3))
        for event in events(folder)
        for value in event.summary.value
        if not value.HasField("image")
    ]


def test_a_restarted_job_goes_on_in_a_second_file(tmp_path: Path) -> None:
    warnings: list[str] = []
    folder, output = tmp_path / "checkpoints" / "tensorboard", tmp_path / "output"
    killed = EventFiles(folder, warnings.append)
    for step in (1, 2):
        killed.add(step, {"val_loss": 1 / step}, 1_000.0 + step)
    assert len(scalars(folder)) == 2, "TensorBoard sees each epoch at once"
    resumed = EventFiles(folder, warnings.append)
    resumed.add(3, {"val_loss": 0.25}, 2_000.0)
    Image.new("RGB", (8, 6), "red").save(tmp_path / "batch.png")
    resumed.add_picture("augmented_batch", tmp_path / "batch.png")
    resumed.add_picture("nothing", tmp_path / "none.png")
    resumed.copy_to(output)
    assert scalars(output) == [
        (1, 1_001.0, "val_loss", 1.0),
        (2, 1_002.0, "val_loss", 0.5),
        (3, 2_000.0, "val_loss", 0.25),
    ]
    (picture,) = [v for e in events(output) for v in e.summary.value if v.HasField("image")]
    assert (picture.tag, picture.image.width, picture.image.height) == ("augmented_batch", 8, 6)
    again = EventFiles(folder, warnings.append)  # the checkpoint was damaged
    again.add(1, {"val_loss": 0.9}, 3_000.0)
    assert scalars(folder) == [(1, 3_000.0, "val_loss", 0.9)]
    assert warnings == []


def test_what_cannot_be_written_is_one_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    (tmp_path / "file").touch()
    files = EventFiles(tmp_path / "file" / "tensorboard", warnings.append)
    for step in (1, 2):
        files.add(step, {"val_loss": 0.5}, 1_000.0)
    files.copy_to(tmp_path / "output")
    assert len(warnings) == 1
    assert "TensorBoard's files are incomplete, all else is not: NotADirectoryError" in warnings[0]

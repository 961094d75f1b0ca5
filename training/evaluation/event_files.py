"""TensorBoard's event files of a training job.

They lie beside the checkpoints, where a restart of the job continues them and TensorBoard can follow
a job that runs; at its end a copy goes to the job's output. Nothing depends on them.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np


class EventFiles:
    """Writes event files from the first epoch on.

    Args:
        folder: of the files.
        warn: called with the reason if they cannot be written; the job goes on without.
    """

    # tensorboardX (MIT) instead of torch.utils.tensorboard, which needs the package tensorboard with
    # a web server: with PyTorch imported it takes 0.15 s of CPU to import and 0.02 s for 12 epochs.

    def __init__(self, folder: Path, warn: Callable[[str], object]) -> None:
        self._folder, self._warn = folder, warn
        self._writer: Any = None
        self._has_failed = False

    def add(self, step: int, numbers: Mapping[str, float], at: float) -> None:
        """Add the numbers of an epoch.

        Args:
            step: number of the epoch, from 1.
            numbers: by name.
            at: end of the epoch in seconds since 1970.
        """

        def write() -> None:
            from tensorboardX.summary import scalar

            if step == 1:  # what an earlier attempt wrote is done again
                self._close()
                shutil.rmtree(self._folder, ignore_errors=True)
            for name, value in numbers.items():
                self._write(scalar(name, value), step, at)

        self._try(write)

    def add_picture(self, name: str, path: Path) -> None:
        """Add a picture file, if there is one, under ``name``."""

        def write() -> None:
            from PIL import Image
            from tensorboardX.summary import image

            if path.exists():
                pixels = np.asarray(Image.open(path).convert("RGB"))
                self._write(image(name, pixels, dataformats="HWC"), 0, path.stat().st_mtime)

        self._try(write)

    def copy_to(self, folder: Path) -> None:
        """Close the files and copy them to ``folder``, if there are any."""

        def copy() -> None:
            self._close()
            if self._folder.is_dir():
                shutil.copytree(self._folder, folder, dirs_exist_ok=True)

        self._try(copy)

    def _write(self, summary: Any, step: int, at: float) -> None:
        # Not with tensorboardX's SummaryWriter: it writes from a thread, some time later.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event

        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            # Their names have the time in seconds only.
            number = sum(1 for _ in self._folder.iterdir())
            self._writer = EventsWriter(str(self._folder / "events"), f".{number}")
        self._writer.write_event(Event(wall_time=at, step=step, summary=summary))
        self._writer.flush()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _try(self, act: Callable[[], None]) -> None:
        if self._has_failed:
            return
        try:
            act()
        except Exception as error:  # noqa: BLE001 - whatever it is, the model does not depend on it
            self._has_failed = True
            self._warn(
                f"TensorBoard's files are incomplete, all else is not: {type(error).__name__}: "
                f"{error}"
            )

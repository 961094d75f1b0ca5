"""The checkpoint of a training by gradient: one file, replaced in one step."""

import logging
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from training.durable import put_in_place

CHECKPOINT = "last.ckpt"

log = logging.getLogger("training")


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it.

    Lightning's own writes to the folder of temporary files and moves it from there: between two
    file systems that is a copy, and a process killed in it leaves half a checkpoint in the place
    of the last whole one.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint and wait until the disk has it.

        Args:
            checkpoint: the states of model, optimizer and trainer.
            path: where it belongs.
            storage_options: of other implementations.

        Raises:
            TypeError: there are storage options.
        """
        if storage_options is not None:
            raise TypeError(f"{type(self).__name__} knows no storage options")
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        written = place.with_name(f".{place.name}.part")
        torch.save(checkpoint, written)
        put_in_place(written, place)


def drop_damaged(saved: Path) -> None:
    """Delete a checkpoint that a power cut damaged, so that training begins anew: every attempt
    would fail on it."""
    if not saved.exists():
        return
    try:
        with zipfile.ZipFile(saved) as archive:  # PyTorch's format, with a CRC-32 of each part
            flaw = archive.testzip()
    except Exception as error:  # noqa: BLE001 - whatever zipfile raises of broken bytes
        flaw = str(error) or type(error).__name__
    if flaw is not None:
        log.warning("the checkpoint %s is damaged (%s): training begins anew", saved, flaw)
        saved.unlink()

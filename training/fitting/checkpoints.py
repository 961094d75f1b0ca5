"""The checkpoint of gradient-based training: one file, replaced atomically."""

import logging
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from object_store.durable import put_in_place

CHECKPOINT = "last.ckpt"

log = logging.getLogger("training")


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint to a file beside its final path and renames it.

    Lightning's own writes to the system's temporary folder and moves the file: between file systems
    that is a copy, and a process that is killed meanwhile leaves a partial checkpoint in place of
    the last complete one.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint and wait until it is on the disk.

        Args:
            checkpoint: the states of model, optimizer and trainer.
            path: of the checkpoint.
            storage_options: must be ``None``.

        Raises:
            TypeError: there are storage options.
        """
        if storage_options is not None:
            raise TypeError(f"{type(self).__name__} has no storage options")
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        written = place.with_name(f".{place.name}.part")
        torch.save(checkpoint, written)
        put_in_place(written, place)


def drop_damaged(saved: Path) -> None:
    """Delete a damaged checkpoint, so that training starts from the beginning."""
    # A power cut may damage it, and then every attempt would fail.
    if not saved.exists():
        return
    try:
        with zipfile.ZipFile(saved) as archive:  # PyTorch's format, with a CRC-32 of each part
            flaw = archive.testzip()
    except Exception as error:  # noqa: BLE001 - whatever zipfile raises of broken bytes
        flaw = str(error) or type(error).__name__
    if flaw is not None:
        log.warning("the checkpoint %s is damaged (%s): training starts again", saved, flaw)
        saved.unlink()

"""What a job does now, in a small file of its folder, for commands on the same machine.

The file is not part of the job's output, and nothing depends on it.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRESS = "output/progress.json"
"""Path of the file below the container's root."""

_WRITE_SECONDS = 1.0
"""Least time between two writes, except for a new phase or epoch."""


class ProgressFile:
    """Writes the file; readers see whole versions only.

    Args:
        path: of the file; ``None``: nothing is written.
        warn: called once with the reason if the file cannot be written.
    """

    def __init__(self, path: Path | None, warn: Callable[[str], object]) -> None:
        self._path, self._warn = path, warn
        self._written = 0.0
        self._values: dict[str, Any] = {"pid": os.getpid()}

    def update(self, *, at_once: bool = False, **values: Any) -> None:
        """Change values, and write all of them.

        Args:
            at_once: write also if the last write was less than a second ago.
            values: new values by name; those of other names stay.
        """
        self._values.update(values)
        now = time.monotonic()
        if self._path is None or (not at_once and now - self._written < _WRITE_SECONDS):
            return
        self._written = now
        part = self._path.with_name(f".{self._path.name}.part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps({**self._values, "at": time.time()}), encoding="utf-8")
            part.replace(self._path)
        except OSError as error:
            self._path = None
            self._warn(f"the job's progress file cannot be written, and the job goes on: {error}")

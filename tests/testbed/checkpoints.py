"""Checkpoints: what a job writes to LocalPath is in S3 soon, and back after a restart.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-checkpoints.html
"""

import time
from pathlib import Path
from typing import Any

from tests.testbed import storage
from tests.testbed.jobs import inside

_INTERVAL_S = 0.1


class Checkpoints:
    """The checkpoints of one attempt.

    Attributes:
        configured: whether the job has any.
        synced: how many files were copied to S3 in this attempt.
    """

    def __init__(self, config: dict[str, Any] | None, roots: list[Path]) -> None:
        """``config`` is the request's CheckpointConfig."""
        self.configured = config is not None
        self.synced = 0
        self._url = (config or {}).get("S3Uri", "").rstrip("/")
        path = (config or {}).get("LocalPath", "/opt/ml/checkpoints")
        self._folders = [inside(root, path) for root in roots] if config else []
        self._seen: dict[Path, tuple[int, int]] = {}
        self._next = 0.0

    def restore(self) -> None:
        """Bring all that S3 has to every host.

        Raises:
            DownloadFailed: the bucket does not exist.
        """
        for folder in self._folders:
            objects = [
                (key.removeprefix(storage.split(self._url)[1]).lstrip("/"), key)
                for key in storage.keys(f"{self._url}/")
            ]
            bucket = storage.split(self._url)[0]
            storage.download(((name, f"s3://{bucket}/{key}") for name, key in objects), folder)
            for path in storage.files(folder):
                self._seen[path] = _stamp(path)

    def sync(self, *, last: bool = False) -> None:
        """Copy what is new to S3, at most every 0.1 s; nothing is deleted there."""
        if not last and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _INTERVAL_S
        for folder in self._folders:
            for path in storage.files(folder):
                try:
                    stamp = _stamp(path)
                    if self._seen.get(path) == stamp:
                        continue
                    data = path.read_bytes()
                except FileNotFoundError:
                    continue  # renamed meanwhile
                storage.put(f"{self._url}/{path.relative_to(folder).as_posix()}", data)
                self._seen[path] = stamp
                self.synced += 1


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size

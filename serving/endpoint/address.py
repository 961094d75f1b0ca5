"""Address file of the running endpoint host, and the lock that only one host can hold."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from errors.base import ImgclfError
from serving.process_identity import is_running, start_mark

HOST_RUNS_ALREADY = 3
"""Exit code of a host that finds another one running."""


class HostRunning(ImgclfError, RuntimeError):
    """Another host holds the lock of the address file."""


class Address(BaseModel):
    """A host that is up: its process, URL and store.

    Attributes:
        pid: id of its process.
        create_time: start time of the process (seconds since the epoch).
        mark: the process's ``start_mark``; ``None`` in files of older versions.
        url: where it listens.
        store_url: the store that it serves.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pid: int
    create_time: float
    mark: str | None = None
    url: str
    store_url: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs (its pid may have been reused)."""
        return is_running(self.pid, self.create_time, self.mark)


def read_address(path: Path) -> Address | None:
    """Return the host at ``path`` if it is alive, else ``None``."""
    try:
        address = Address.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:  # left by a power cut, after which no host runs
        return None
    return address if address.alive else None


@contextmanager
def only_host(path: Path) -> Iterator[None]:
    """Hold the lock of ``path`` while the block lasts. The kernel frees a killed host's lock.

    Raises:
        HostRunning: another host holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        other = read_address(path)
        where = f"at {other.url} (process {other.pid})" if other else "and is just starting"
        raise HostRunning(f"an endpoint host is running already {where}") from None
    try:
        yield
    finally:
        lock.release()


def write_address(path: Path, url: str, store_url: str) -> None:
    """Write the address file of this process, atomically.

    Args:
        path: the address file.
        url: where this process listens.
        store_url: the store that it serves.
    """
    own = psutil.Process()
    address = Address(
        pid=own.pid,
        create_time=own.create_time(),
        mark=start_mark(own.pid),
        url=url,
        store_url=store_url,
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(address.model_dump_json(), encoding="utf-8")
    temporary.replace(path)

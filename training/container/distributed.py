"""The processes that train one model together: their ranks and their communication.

``training.launcher`` starts them with torchrun. Without it there is one process, ``ALONE``, for
which the functions here do not communicate. Only the first process (``leads``) talks to Dagster,
writes checkpoints and makes the artefact.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from training.container.hardware import device
from training.errors import PeerLost, PermanentFailure

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

_TIMEOUT = timedelta(hours=1)
"""Time that a process waits for the others. One machine may be slow to decode its images; a process
that died is noticed immediately, by its closed connection."""

ERROR_FILE_VARIABLE = "TORCHELASTIC_ERROR_FILE"
"""torchrun's variable: path of the file for a process's failure."""

_CHUNK = 64 * 1024 * 1024
"""Bytes of a file that are broadcast at a time."""


@dataclass(frozen=True)
class Team:
    """This process and the number of processes of the job.

    Attributes:
        rank: number of this process, from 0, counted machine by machine.
        size: number of processes.
        local_size: processes on each machine.
    """

    rank: int = 0
    size: int = 1
    local_size: int = 1
    _group: Any = None

    @classmethod
    def from_environment(cls) -> Self:
        """Read torchrun's variables; equals ``ALONE`` without torchrun."""
        env = os.environ
        if "TORCHELASTIC_RUN_ID" not in env:
            return cls()
        return cls(int(env["RANK"]), int(env["WORLD_SIZE"]), int(env["LOCAL_WORLD_SIZE"]))

    @property
    def leads(self) -> bool:
        """Whether this is the first process of the job."""
        return self.rank == 0

    @property
    def leads_machine(self) -> bool:
        """Whether this is the first process of its machine."""
        return self.rank % self.local_size == 0

    @property
    def machines(self) -> int:
        """How many machines there are."""
        return self.size // self.local_size

    def share(self, count: int, rank: int | None = None) -> range:
        """Return the part of ``range(count)`` for this process, or for process ``rank``."""
        rank = self.rank if rank is None else rank
        return range(count * rank // self.size, count * (rank + 1) // self.size)

    def agree(self, step: Callable[[], T]) -> T:
        """Call ``step`` on every process; if it fails on one, raise on all.

        Returns:
            This process's result.

        Raises:
            PermanentFailure: another process raised it.
            PeerLost: another process failed with another error.
        """
        if self.size == 1:
            return step()
        done: list[T] = []
        try:
            done.append(step())
        except Exception as error:
            self._gather_failures(error)
            raise
        failed = next(
            ((rank, one) for rank, one in enumerate(self._gather_failures(None)) if one), None
        )
        if failed is None:
            return done[0]
        rank, (permanent, text) = failed
        text = f"process {rank + 1} of {self.size}: {text}"
        raise PermanentFailure(text) if permanent else PeerLost(text)

    def once_per_machine(self, step: Callable[[], T]) -> T:
        """Call ``step`` on the first process of each machine, then on its other processes.

        The others find the files that the first has written. Raises as :meth:`agree` does.
        """
        first = self.agree(step if self.leads_machine else lambda: None)
        if first is not None:
            self.agree(lambda: None)
            return first
        return self.agree(step)

    def any(self, here: bool) -> bool:
        """Whether ``here`` is true on any process."""
        if self.size == 1:
            return here
        import torch
        from torch import distributed

        flag = torch.tensor([int(here)])
        distributed.all_reduce(flag, distributed.ReduceOp.MAX, group=self._group)
        return bool(flag.item())

    def collect(self, rows: np.ndarray, starts: Sequence[int]) -> None:
        """Send every process's rows to the first process's ``rows``.

        Args:
            rows: [n, …], of which process ``r`` has filled ``starts[r]:starts[r + 1]``.
            starts: positions, ``size + 1`` of them.
        """
        if self.size == 1:
            return
        import torch
        from torch import distributed

        for rank in range(1, self.size):
            part = rows[starts[rank] : starts[rank + 1]]
            if len(part) and self.leads:
                distributed.recv(torch.from_numpy(part), rank, group=self._group)
            elif len(part) and rank == self.rank:
                distributed.send(torch.from_numpy(part), 0, group=self._group)

    def from_leader(self, values: "torch.Tensor") -> "torch.Tensor":
        """Return the first process's values, on the CPU; ``values`` of the others give the shape."""
        if self.size > 1:
            from torch import distributed

            values = values.contiguous().clone()
            distributed.broadcast(values, 0, group=self._group)
        return values

    def leaders_file(self, path: Path, copy: Path) -> Path | None:
        """Copy the first machine's file to the other machines.

        Args:
            path: of the file on the first machine.
            copy: of the copy on the other machines, outside of synchronised folders.

        Returns:
            ``path`` or ``copy``; ``None`` if the first machine has no such file.
        """
        # Each SageMaker instance has a checkpoint folder of its own, and all are synchronised with
        # one prefix. So only one may write, and the others' files may be old or missing.
        if self.machines == 1:
            return path if path.exists() else None
        import torch
        from torch import distributed

        size = torch.tensor([path.stat().st_size if self.leads and path.exists() else -1])
        distributed.broadcast(size, 0, group=self._group)
        if size.item() < 0:
            return None
        keeps = self.leads_machine and not self.leads
        with ExitStack() as stack:
            source = stack.enter_context(path.open("rb")) if self.leads else None
            target = stack.enter_context(copy.open("wb")) if keeps else None
            for start in range(0, int(size.item()), _CHUNK):
                chunk = np.empty(min(_CHUNK, int(size.item()) - start), np.uint8)
                if source:
                    source.readinto(chunk.data)
                distributed.broadcast(torch.from_numpy(chunk), 0, group=self._group)
                if target:
                    target.write(chunk.data)
        self.agree(lambda: None)  # no process reads it before it is complete
        return path if self.rank < self.local_size else copy

    def dismiss(self) -> None:
        """End all processes but the first, which continues alone.

        Raises:
            SystemExit: with code 0, in every process but the first.
        """
        if self.size == 1:
            return
        from torch import distributed

        self.agree(lambda: None)  # leaving earlier would close connections that others wait on
        distributed.destroy_process_group()
        if not self.leads:
            raise SystemExit(0)

    def _gather_failures(self, error: Exception | None) -> list[tuple[bool, str] | None]:
        """Exchange failures: each process's (whether it is permanent, its text), or ``None``."""
        from torch import distributed

        failures: list[tuple[bool, str] | None] = [None] * self.size
        permanent = isinstance(error, PermanentFailure)
        mine = error and (permanent, str(error) if permanent else _text(error))
        distributed.all_gather_object(failures, mine, group=self._group)
        return failures


ALONE = Team()


@contextmanager
def joined() -> Iterator[Team]:
    """Connect the processes of the job for the length of a block: NCCL for GPUs, gloo for CPUs.

    The methods of :class:`Team` always use gloo, so that they never wait for a GPU.

    Raises:
        PeerLost: the connection to another process was lost.
    """
    team = Team.from_environment()
    if team.size == 1:
        yield team
        return
    import torch
    from torch import distributed

    place = device()
    if place.type == "cuda":
        torch.cuda.set_device(place)
    _die_with_parent()
    try:
        distributed.init_process_group("nccl" if place.type == "cuda" else "gloo", timeout=_TIMEOUT)
        control = distributed.new_group(backend="gloo", timeout=_TIMEOUT)
        team = replace(team, _group=control)
        yield team
    except Exception as error:
        if _is_lost_connection(error):
            raise PeerLost(
                f"process {team.rank + 1} of {team.size} lost the connection to another "
                f"({error}); the job's failure reason or log says why that one ended"
            ) from error
        raise


@contextmanager
def ends_at_its_failure() -> Iterator[None]:
    """End a process that ``training.launcher`` started with exit code 1 if the block raises.

    Other processes pass the exception on.
    """
    # Gloo's threads still run, since other processes may be waiting; the interpreter's shutdown would
    # sometimes destroy objects that they use, and abort.
    try:
        yield
    except Exception:
        if ERROR_FILE_VARIABLE not in os.environ:
            raise
        sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def note_failure(error: Exception) -> bool:
    """Write this process's failure for ``training.launcher``, if that started the process.

    Returns:
        Whether it did; the launcher then writes the job's failure file.
    """
    path = os.environ.get(ERROR_FILE_VARIABLE)
    if path is None:
        return False
    failure = {
        "message": _text(error),
        "timestamp": int(time.time()),
        "follows": isinstance(error, PeerLost),
    }
    Path(path).write_text(json.dumps(failure), encoding="utf-8")
    return True


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _is_lost_connection(error: Exception) -> bool:
    """Whether an error is torch.distributed's, which raises RuntimeError and subclasses of it."""
    if isinstance(error, PeerLost):
        return False
    return isinstance(error, RuntimeError) and any(
        word in str(error) for word in ("gloo", "NCCL", "ProcessGroup", "Connection closed by peer")
    )


def _die_with_parent() -> None:
    """Have this process end when the launcher is killed."""
    # It leads a session of its own, so signals to the job's session do not reach it.
    import ctypes
    import signal

    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    else:  # macOS has no such call
        threading.Thread(target=_watch_parent, args=(os.getppid(),), daemon=True).start()


def _watch_parent(parent: int) -> None:
    """End this process when ``parent`` is no longer its parent."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)

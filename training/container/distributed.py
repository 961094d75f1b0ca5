"""The processes that train one model together: who they are, and how they agree.

``training.launcher`` starts them with torchrun. Without it there is one process, ``ALONE``, for
which everything here is a plain call. Only the first process (``leads``) talks to Dagster, writes
checkpoints, and makes the artefact.
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
from typing import Any, Self, TypeVar

import numpy as np

from training.container.hardware import device
from training.errors import PeerLost, PermanentFailure

T = TypeVar("T")

_TIMEOUT = timedelta(hours=1)
"""How long a process waits for the others. One machine may be slow to decode its images; a process
that died is noticed at once, by its connection."""

ERROR_FILE_VARIABLE = "TORCHELASTIC_ERROR_FILE"
"""torchrun's: where a process leaves its failure."""

_CHUNK = 64 * 1024 * 1024
"""Bytes of a file handed on at a time."""


@dataclass(frozen=True)
class Team:
    """This process among those of the job: number ``rank`` of ``size``, numbered machine by machine.

    Attributes:
        local_size: processes on each machine.
    """

    rank: int = 0
    size: int = 1
    local_size: int = 1
    _group: Any = None

    @classmethod
    def from_environment(cls) -> Self:
        """What torchrun says of this process; ``ALONE`` without it."""
        told = os.environ
        if "TORCHELASTIC_RUN_ID" not in told:
            return cls()
        return cls(int(told["RANK"]), int(told["WORLD_SIZE"]), int(told["LOCAL_WORLD_SIZE"]))

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
        """The part of ``range(count)`` that falls to this process, or to number ``rank``."""
        rank = self.rank if rank is None else rank
        return range(count * rank // self.size, count * (rank + 1) // self.size)

    def agree(self, step: Callable[[], T]) -> T:
        """Do ``step`` on every process; if it fails on one, it fails on all.

        Raises:
            PermanentFailure: what another process raised.
            PeerLost: another process failed otherwise.
        """
        if self.size == 1:
            return step()
        done: list[T] = []
        try:
            done.append(step())
        except Exception as error:
            self._tell(error)
            raise
        failed = next(((rank, told) for rank, told in enumerate(self._tell(None)) if told), None)
        if failed is None:
            return done[0]
        rank, (permanent, text) = failed
        text = f"process {rank + 1} of {self.size}: {text}"
        raise PermanentFailure(text) if permanent else PeerLost(text)

    def once_per_machine(self, step: Callable[[], T]) -> T:
        """Do ``step`` on the first process of each machine, then on its others, which find there
        what the first has written. Failures as of ``agree``."""
        first = self.agree(step if self.leads_machine else lambda: None)
        if first is not None:
            self.agree(lambda: None)
            return first
        return self.agree(step)

    def any(self, here: bool) -> bool:
        """Whether it is so on any process."""
        if self.size == 1:
            return here
        import torch
        from torch import distributed

        flag = torch.tensor([int(here)])
        distributed.all_reduce(flag, distributed.ReduceOp.MAX, group=self._group)
        return bool(flag.item())

    def collect(self, rows: np.ndarray, starts: Sequence[int]) -> None:
        """Bring every process's rows into the first one's ``rows``.

        Args:
            rows: [n, …], of which process ``r`` has filled ``starts[r]:starts[r + 1]``.
            starts: of length ``size + 1``.
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

    def leaders_file(self, path: Path, copy: Path) -> Path | None:
        """The first machine's file ``path``, whatever the others have there.

        Each SageMaker instance has a checkpoint folder of its own. All are synchronised with one
        prefix, so only one may write, and what the others find may be old or missing.

        Args:
            path: the file, on every machine the same.
            copy: where other machines keep theirs; outside of what is synchronised.

        Returns:
            ``path`` or ``copy``; ``None`` if the first machine has no such file.
        """
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
        self.agree(lambda: None)  # nobody reads before it is whole
        return path if self.rank < self.local_size else copy

    def dismiss(self) -> None:
        """Go on with the first process alone: the others have done their part, and end here."""
        if self.size == 1:
            return
        from torch import distributed

        self.agree(lambda: None)  # who left early would cut off those who still wait
        distributed.destroy_process_group()
        if not self.leads:
            raise SystemExit(0)

    def _tell(self, error: Exception | None) -> list[tuple[bool, str] | None]:
        """Exchange failures: each process's (whether it is permanent, its text), or ``None``."""
        from torch import distributed

        told: list[tuple[bool, str] | None] = [None] * self.size
        permanent = isinstance(error, PermanentFailure)
        mine = error and (permanent, str(error) if permanent else _text(error))
        distributed.all_gather_object(told, mine, group=self._group)
        return told


ALONE = Team()


@contextmanager
def joined() -> Iterator[Team]:
    """The team of this process, connected: NCCL between GPUs, gloo between CPUs.

    What is agreed on goes over gloo in any case, so that it never waits for a GPU.

    Raises:
        PeerLost: the connection to another process broke.
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
                f"process {team.rank + 1} of {team.size} lost the connection to another ({error}); "
                "why that one ended is in the job's failure reason, or in its log"
            ) from error
        raise


@contextmanager
def ends_at_its_failure() -> Iterator[None]:
    """A process that ``training.launcher`` started ends here if it fails, with exit code 1.

    Gloo's threads still run, for peers may be waiting; the interpreter's own end would now and
    then destroy their objects under them, and abort.
    """
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
    """Leave the failure of this process where ``training.launcher`` finds it, if that started it.

    Returns:
        Whether it did, and now sees to the job's failure file.
    """
    path = os.environ.get(ERROR_FILE_VARIABLE)
    if path is None:
        return False
    told = {
        "message": _text(error),
        "timestamp": int(time.time()),
        "follows": isinstance(error, PeerLost),
    }
    Path(path).write_text(json.dumps(told), encoding="utf-8")
    return True


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _is_lost_connection(error: Exception) -> bool:
    """Whether it comes from torch.distributed, whose errors are plain RuntimeErrors or derived."""
    if isinstance(error, PeerLost):
        return False
    return isinstance(error, RuntimeError) and any(
        word in str(error) for word in ("gloo", "NCCL", "ProcessGroup", "Connection closed by peer")
    )


def _die_with_parent() -> None:
    """End this process should the launcher be killed: it leads a session of its own, so that no
    signal to the job's would reach it."""
    import ctypes
    import signal

    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    else:  # macOS has no such call
        threading.Thread(target=_watch_parent, args=(os.getppid(),), daemon=True).start()


def _watch_parent(parent: int) -> None:
    """Kill this process once its parent is another one than ``parent``."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)

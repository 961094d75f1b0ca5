"""The entry point of every job in its container: ``python -m training.launcher <module> [arguments…]``.

On one machine with at most one GPU the module runs in this process. With several GPUs or machines,
torchrun starts a process for each GPU (one for a machine without), which train one model together.
Modules other than training run on the first machine only.
"""

import json
import os
import runpy
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self

from training.container.container import ROOT_VARIABLE, JobContainer
from training.container.gpus import NoGpu, prefer_compat, require_gpus
from training.container.privileges import drop_privileges

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

TOGETHER = frozenset({"training.train", "training.step_time"})
"""Modules that can use several processes."""

PROCESSES_VARIABLE = "IMGCLF_PROCESSES_PER_HOST"
"""Environment variable with the number of processes per machine; default: one per GPU."""

ADDRESS_VARIABLE = "IMGCLF_MASTER_ADDRESS"
"""Environment variable with the address of the rendezvous; default: the first machine's name."""

PORT_VARIABLE = "IMGCLF_MASTER_PORT"
_PORT = 29500
"""torchrun's default."""

_RENDEZVOUS_TIMEOUT_S = 1800
"""Seconds that the machines wait for the last one; they may pull the image at different speeds."""

_GRACE_S = 100
"""Seconds from SIGTERM to SIGKILL. SageMaker gives a container that it stops, or interrupts (spot),
120 s:
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StopTrainingJob.html"""

_SIGNAL_DELAY_S = 5
"""Seconds that a machine may get its signal to stop later than the others."""

_SIGTERM_CODE = 128 + signal.SIGTERM


@dataclass(frozen=True)
class Machines:
    """The machines of a job.

    Attributes:
        current: name of this machine.
        hosts: names of all machines, sorted.
        interface: the network interface between them; "" if unknown.
    """

    current: str
    hosts: tuple[str, ...]
    interface: str

    @classmethod
    def read(cls, root: Path) -> Self:
        """Read ``resourceconfig.json`` of the container at ``root``; one machine if there is none.

        The file: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
        """
        for folder in ("input/config", "config"):  # a training job's, a processing job's
            path = root / folder / "resourceconfig.json"
            if path.is_file():
                config = json.loads(path.read_text(encoding="utf-8"))
                hosts = tuple(sorted(config["hosts"]))
                return cls(config["current_host"], hosts, config.get("network_interface_name", ""))
        return cls("algo-1", ("algo-1",), "")

    @property
    def position(self) -> int:
        """Which machine this is, from 0."""
        return self.hosts.index(self.current)


def main() -> None:
    """Run the module in the command line as this machine's part of the job."""
    if len(sys.argv) < 2:
        sys.exit("usage: python -m training.launcher <module> [arguments…]")
    module, arguments = sys.argv[1], sys.argv[2:]
    prefer_compat()
    if signal.getsignal(signal.SIGTERM) in (signal.SIG_DFL, signal.SIG_IGN):
        signal.signal(signal.SIGTERM, _exit_on_sigterm)
    root = Path(os.environ.get(ROOT_VARIABLE, "/opt/ml"))
    drop_privileges(root)
    machines = Machines.read(root)
    processes = processes_per_host() if module in TOGETHER else 1
    if module in TOGETHER or not machines.position:
        _check_gpus(root, processes)
    if module in TOGETHER:
        if processes * len(machines.hosts) > 1:
            sys.exit(_run_together(module, arguments, machines, processes, root))
    elif machines.position:
        print(f"{module} works on {machines.hosts[0]} alone; {machines.current} has nothing to do")
        return
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _check_gpus(root: Path, processes: int) -> None:
    """End the job with a failure file if its GPUs cannot be used."""
    try:
        require_gpus(root, processes)
    except NoGpu as error:
        text = f"{type(error).__name__}: {error}"
        processing = (root / "config" / "processingjobconfig.json").exists()
        JobContainer(root, "processing" if processing else "training", {}).write_failure(text)
        sys.exit(text)


def _exit_on_sigterm(signum: int, _: object) -> NoReturn:
    """Handle SIGTERM by ending this process."""
    # By default the kernel does not deliver SIGTERM to a container's first process. And a run of
    # Dagster ignores SIGTERM where SIGINT is ignored, as in the background of a shell script, and
    # its child processes inherit that.
    raise SystemExit(128 + signum)


def processes_per_host() -> int:
    """Return the number of processes to start on this machine: one per GPU, at least one."""
    given = os.environ.get(PROCESSES_VARIABLE, "")
    return int(given) if given else max(1, gpu_count())


def gpu_count() -> int:
    """Count the NVIDIA GPUs that this container may use, without importing PyTorch (3 s)."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return sum(name.strip() not in ("", "-1") for name in visible.split(","))
    return sum(path.name[6:].isdigit() for path in Path("/dev").glob("nvidia*"))


def _run_together(
    module: str, arguments: Sequence[str], machines: Machines, processes: int, root: Path
) -> int:
    """Start this machine's processes with torchrun and wait for them.

    Args:
        module: to run in each process.
        arguments: of the module.
        machines: of the job.
        processes: number on this machine.
        root: the container's ``/opt/ml``.

    Returns:
        The exit code: 0, or that of the process that failed first; 143 if the job was stopped.
    """
    os.environ.update(_environment(machines, processes))
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    command = [*_rendezvous_arguments(machines, processes), "-m", module, *arguments]
    try:
        run.run(run.parse_args(command))
    except SignalException as stop:  # handed on to the processes, which have ended
        return 128 + stop.sigval
    except ChildFailedError as error:
        failed = Failed.first(error.failures, machines, processes)
    except Exception as error:  # noqa: BLE001 - the meeting failed; torchrun raises many things
        failed = Failed(
            1,
            f"{type(error).__name__}: {machines.current} did not connect to the others: {error}",
            True,
        )
    else:
        return 0
    signal.signal(signal.SIGTERM, _exit_on_sigterm)
    if failed.code == _SIGTERM_CODE:
        return failed.code
    if failed.follows:
        time.sleep(_SIGNAL_DELAY_S)  # SIGTERM ends it here if this machine is to stop, too
    JobContainer(root, "training", {}).write_failure(failed.reason)
    return failed.code


def _environment(machines: Machines, processes: int) -> dict[str, str]:
    """Return variables for the processes' environment, except those that are set already."""
    cores = (os.cpu_count() or 1) // processes
    wanted = {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(_GRACE_S)}
    if processes > 1:
        wanted["OMP_NUM_THREADS"] = str(max(1, cores))
    if len(machines.hosts) > 1 and machines.interface:
        wanted["NCCL_SOCKET_IFNAME"] = wanted["GLOO_SOCKET_IFNAME"] = machines.interface
    return {name: value for name, value in wanted.items() if name not in os.environ}


def _rendezvous_arguments(machines: Machines, processes: int) -> list[str]:
    """Return torchrun's arguments: the number of processes and the rendezvous."""
    local = [f"--nproc-per-node={processes}", "--max-restarts=0"]
    if len(machines.hosts) == 1:  # a free local port, which needs no name resolution
        return [*local, "--standalone", "--local-addr=127.0.0.1"]
    return [
        *local,
        f"--nnodes={len(machines.hosts)}",
        f"--node-rank={machines.position}",
        f"--master-addr={os.environ.get(ADDRESS_VARIABLE) or machines.hosts[0]}",
        f"--master-port={os.environ.get(PORT_VARIABLE) or _PORT}",
        f"--rdzv-conf=timeout={_RENDEZVOUS_TIMEOUT_S}",
    ]


@dataclass(frozen=True)
class Failed:
    """The failure of this machine's part.

    Attributes:
        code: exit code.
        reason: for the failure file.
        follows: whether it was only the consequence of another process's failure.
    """

    code: int
    reason: str
    follows: bool

    @classmethod
    def first(
        cls, failures: Mapping[int, "ProcessFailure"], machines: Machines, processes: int
    ) -> Self:
        """Find the failure that caused the others, which were stopped or lost their connection.

        Args:
            failures: torchrun's, by number of the process.
            machines: of the job.
            processes: number per machine.
        """
        failures_by_rank = {
            rank: cls._classify(rank, failure, machines, processes)
            for rank, failure in failures.items()
        }
        first = min(
            failures_by_rank,
            key=lambda rank: (failures_by_rank[rank].follows, failures[rank].timestamp),
        )
        return failures_by_rank[first]

    @classmethod
    def _classify(
        cls, rank: int, failure: "ProcessFailure", machines: Machines, processes: int
    ) -> Self:
        """Describe one process's failure, and whether it follows from another's."""
        who = f"process {rank + 1} of {processes * len(machines.hosts)} on {machines.current}"
        code = failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
        if code == _SIGTERM_CODE:
            return cls(code, f"{who} was terminated", True)
        if "follows" in failure.error_file_data:  # training.container.distributed.note_failure's
            follows = failure.error_file_data["follows"]
            return cls(max(1, failure.exitcode), f"{failure.message} [{who}]", follows)
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            memory = " (out of memory?)" if failure.exitcode == -signal.SIGKILL else ""
            return cls(code, f"{who} was killed by {name}{memory}", False)
        return cls(code, f"{who} ended with exit code {code}; see its log", False)


if __name__ == "__main__":
    main()

"""The device, the use of CPU cores and the precision of a job."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from training.config import Hyperparameters
from training.container.gpus import require_gpus

if TYPE_CHECKING:
    import torch

_SMALL_PICTURE = 32
"""Width and height in pixels."""


def usable_cores() -> int:
    """Count the CPU cores that this process may use."""
    if sys.platform == "linux":  # macOS ties no process to cores
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device() -> "torch.device":
    """Return the GPU of this process if there is one, else the CPU.

    Of torchrun's processes on a machine, either each has a GPU of its own, or none has one.

    Raises:
        NoGpu: the instance type has GPUs, but this process cannot use one.
    """
    import torch

    if torch.cuda.is_available() and _processes_here() <= torch.cuda.device_count():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    require_gpus(processes=_processes_here())
    return torch.device("cpu")


def _processes_here() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def yield_cores() -> None:
    """Have waiting OpenMP threads sleep instead of spin. Call it before PyTorch is imported."""
    # A laptop trains beside a web server and a browser. With spinning, two threads of PyTorch on two
    # busy cores took five times as long for an epoch, and slowed down the other programs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def batch_workers(place: "torch.device") -> ThreadPoolExecutor:
    """Return a pool of threads that compute whole batches: one per core, or a single one for a GPU."""
    import joblib  # type: ignore[import-untyped] # has no types
    import torch

    cores = max(1, joblib.cpu_count() // _processes_here())  # respects a container's quota
    if place.type != "cpu":
        return ThreadPoolExecutor(1)
    return ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,))


def use_cores_for(parameters: Hyperparameters) -> None:
    """Limit PyTorch to one thread where its operations are too small for several."""
    # The small net on small images: the digits (16 × 16 pixels) took 10 s with one thread and 70 s
    # with two beside other work on two cores; without other work they take the same.
    import torch

    size = parameters.image_size
    if parameters.recipe == "scratch" and size is not None and size <= _SMALL_PICTURE:
        torch.set_num_threads(1)


def uses_bf16(parameters: Hyperparameters) -> bool:
    """Whether a job computes in bfloat16.

    ``precision`` decides; with ``auto``, whether the hardware supports bfloat16 natively.
    """
    # Measured on two cores of an AMD EPYC with AVX512-BF16, mobilenet_v2 at 160 × 160 pixels,
    # channels last: features 5.4 → 2.3 ms per image, training steps 32 → 19 ms. Emulated bfloat16 is
    # slower than float32.
    import torch

    if parameters.precision != "auto":
        return parameters.precision == "bf16"
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))

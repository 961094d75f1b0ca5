"""Checks that a job on a machine with GPUs can use them, else it fails.

SageMaker chooses the host of a job and its NVIDIA driver. If PyTorch cannot use the driver, the job
would compute on the CPU at the price of the GPUs, and succeed.
"""

import ctypes
import json
import os
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from training.container.container import ROOT_VARIABLE
from training.errors import PermanentFailure

COMPAT = Path("/opt/cuda-compat")
"""NVIDIA's package cuda-compat in the GPU image: a newer libcuda for hosts with older drivers
(https://docs.nvidia.com/deploy/cuda-compatibility/forward-compatibility.html)."""

DRIVER_VERSION = Path("/proc/driver/nvidia/version")
"""File with the version of the kernel module."""

_HAS_GPUS = re.compile(r"ml\.(?:g[a-z]*|p)\d")
"""Families of instances with NVIDIA GPUs: ml.g5, ml.gr6, ml.p4d."""


class NoGpu(PermanentFailure):
    """PyTorch does not see the GPUs of a machine that has them."""


def instance_type(root: Path) -> str:
    """Return the SageMaker instance type of the container at ``root``; "" if it is unknown."""
    for folder in ("input/config", "config"):  # a training job's, a processing job's
        config = _read_json(root / folder / "resourceconfig.json")
        if kind := config.get("current_instance_type"):
            return str(kind)
    resources = (
        _read_json(root / "config" / "processingjobconfig.json").get("ProcessingResources") or {}
    )
    return str((resources.get("ClusterConfig") or {}).get("InstanceType") or "")


def has_gpus(kind: str) -> bool:
    """Whether a SageMaker instance type has NVIDIA GPUs."""
    return _HAS_GPUS.match(kind) is not None


def require_gpus(root: Path | None = None, processes: int = 1) -> None:
    """Check that PyTorch sees a GPU for each process, if the instance type has GPUs.

    Args:
        root: the container's ``/opt/ml``; default: from the environment.
        processes: of this machine, which need a GPU each.

    Raises:
        NoGpu: it does not; the message names the driver and the remedy.
    """
    kind = instance_type(root or Path(os.environ.get(ROOT_VARIABLE, "/opt/ml")))
    if not has_gpus(kind):
        return
    import torch

    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if seen >= processes:
        return
    cuda = torch.version.cuda
    wants = f"PyTorch {torch.__version__} of this image ({f'CUDA {cuda}' if cuda else 'no CUDA'})"
    counts = f"sees {seen or 'none'} of them, and {processes} processes want one each"
    explanation = f"{wants} {counts if processes > 1 else 'sees no GPU'}"
    raise NoGpu(
        f"{kind} has GPUs, but {explanation}. {driver()}. {_torch_error()}The job stopped, so that "
        f"it does not use the CPU at the price of GPUs. {_remedy(bool(cuda))}"
    )


def driver() -> str:
    """Describe the host's NVIDIA driver in a sentence without full stop."""
    try:
        text = DRIVER_VERSION.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "The host has no NVIDIA driver"
    found = re.search(r"NVRM version:.*?\s(\d{3,}\.\d[\d.]*)", text)
    version = _driver_cuda()
    runs = f", which runs CUDA {version // 1000}.{version % 1000 // 10} at most" if version else ""
    return f"The host's NVIDIA driver is {found[1] if found else 'of an unknown version'}{runs}"


def prefer_compat() -> None:
    """Restart this process with the image's own libcuda if the host's driver is too old."""
    # Only then: with a driver that is newer than the package it would fail. The loader reads its path
    # at the start of a process, so a restart is needed; child processes inherit the path.
    if str(COMPAT) in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        return
    if not (COMPAT / "libcuda.so.1").exists():
        return
    if 0 < _driver_cuda() // 1000 < _image_cuda():
        rest = os.environ.get("LD_LIBRARY_PATH", "")
        os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, [str(COMPAT), rest]))
        print(f"{driver()}: going on with {COMPAT}", flush=True)
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - this very program


def _driver_cuda() -> int:
    """Return the newest CUDA version that libcuda supports, as 13020 for 13.2; 0 without a driver."""
    version = ctypes.c_int(0)
    try:
        failed = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return 0
    return 0 if failed else version.value


def _image_cuda() -> int:
    """Return the major CUDA version that PyTorch was installed with, 0 for none; does not import it."""
    try:
        return int(metadata.version("nvidia-cuda-runtime").partition(".")[0])
    except (metadata.PackageNotFoundError, ValueError):
        return 0


def _torch_error() -> str:
    """Return PyTorch's own error about the GPUs, in one line; "" if there is none."""
    import torch

    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return f"PyTorch says: {str(error).partition(chr(10))[0][:200].rstrip('.')}. "
    return ""


def _remedy(image_has_cuda: bool) -> str:
    if not image_has_cuda:
        return (
            "Build the other image (`imgclf deploy image --gpu`) and set aws.gpu_image_uri, or "
            "choose an instance type without GPUs"
        )
    return (
        "Choose an instance type whose hosts have a newer driver, or one without GPUs; which "
        "drivers the image runs on is in docs/decisions.md"
    )


def _read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty if there is no such file."""
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}

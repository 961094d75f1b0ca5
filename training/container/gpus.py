"""Checks that a job on a machine with GPUs can use them, else it fails.

SageMaker chooses the host of a job and its NVIDIA driver. If PyTorch cannot use the driver, the job
would compute on the CPU at the price of the GPUs, and succeed. On a machine of one's own it would
compute for hours on the CPU.
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

DEVICES = Path("/dev")
"""Folder with a file for each GPU that the machine, or the container, has."""

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


def gpus_of_machine(root: Path) -> str:
    """Say which GPUs this machine has, as "ml.g5.xlarge has GPUs"; "" if it has none.

    Args:
        root: the container's ``/opt/ml``.
    """
    kind = instance_type(root)
    if has_gpus(kind):
        return f"{kind} has GPUs"
    if kind:  # a SageMaker instance without GPUs
        return ""
    # https://github.com/aws/sagemaker-training-toolkit/blob/master/ENVIRONMENT_VARIABLES.md
    told = os.environ.get("SM_NUM_GPUS", "")
    if told.isdigit() and int(told):
        return f"this machine has GPUs (SM_NUM_GPUS is {told})"
    found = sorted(path.name for path in DEVICES.glob("nvidia[0-9]*"))
    return f"this machine has NVIDIA GPUs ({', '.join(found)})" if found else ""


def require_gpus(root: Path | None = None, processes: int = 1) -> None:
    """Check that PyTorch sees a GPU for each process, if the machine has GPUs.

    Args:
        root: the container's ``/opt/ml``; default: from the environment.
        processes: of this machine, which need a GPU each.

    Raises:
        NoGpu: it does not; the message names the driver and the remedy.
    """
    having = gpus_of_machine(root or Path(os.environ.get(ROOT_VARIABLE, "/opt/ml")))
    if not having or _are_hidden():
        return
    import torch

    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if seen >= processes:
        return
    cuda = torch.version.cuda
    wants = f"PyTorch {torch.__version__} of this {_place(having)} ({f'CUDA {cuda}' if cuda else 'no CUDA'})"
    counts = f"sees {seen or 'none'} of them, and {processes} processes want one each"
    explanation = f"{wants} {counts if processes > 1 else 'sees no GPU'}"
    raise NoGpu(
        f"{having}, but {explanation}. {driver()}. {_torch_error()}The job stopped, so that "
        f"it does not use the CPU at the price of GPUs. {_remedy(having, bool(cuda))}"
    )


def _are_hidden() -> bool:
    """Whether the user hides all GPUs from CUDA programs, as -1 does."""
    # https://docs.nvidia.com/cuda/cuda-programming-guide: an invalid number hides all after it. An
    # empty text hides them, too, but comes from scripts that have failed to set it as well.
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() == "-1"


def _place(having: str) -> str:
    return "image" if having.startswith("ml.") else "environment"


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


def _remedy(having: str, has_cuda: bool) -> str:
    if not having.startswith("ml."):
        install = "install a PyTorch with CUDA (https://pytorch.org/get-started/locally)"
        update = "update the NVIDIA driver (nvidia-smi shows its version)"
        way = update if has_cuda else install
        return f"{way[0].upper()}{way[1:]}, or set CUDA_VISIBLE_DEVICES=-1 to compute on the CPU"
    if not has_cuda:
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

"""A machine with GPUs computes on them, or its job fails and names the driver."""

import ctypes
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from training import launcher
from training.container import gpus, hardware
from training.errors import PermanentFailure

pytestmark = pytest.mark.unit

OLD = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.148.08  Release Build\n"


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose driver runs CUDA 12.2 at most, and a PyTorch for 13.2 that sees no GPU."""
    (tmp_path / "version").write_text(OLD)
    monkeypatch.setattr(gpus, "DRIVER_VERSION", tmp_path / "version")
    monkeypatch.setattr(gpus, "COMPAT", tmp_path / "compat")
    monkeypatch.setattr(gpus, "DEVICES", tmp_path / "dev")
    monkeypatch.setenv("IMGCLF_ML_ROOT", str(tmp_path / "ml"))
    monkeypatch.delenv("SM_NUM_GPUS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    see(monkeypatch, 0)
    has_driver(monkeypatch, 12020)


def see(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    def init() -> None:
        if not count:
            raise RuntimeError("The NVIDIA driver on your system is too old (found version 12020).")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "init", init)


def has_driver(monkeypatch: pytest.MonkeyPatch, cuda: int) -> None:
    """libcuda as a driver brings it; 0 for none."""

    class Library:
        def cuDriverGetVersion(self, place: Any) -> int:  # NVIDIA's name
            place._obj.value = cuda
            return 0

    def load(name: str) -> Library:
        assert name == "libcuda.so.1"
        if not cuda:
            raise OSError("libcuda.so.1: cannot open shared object file")
        return Library()

    monkeypatch.setattr(ctypes, "CDLL", load)


def lay_out(root: Path, kind: str, instance_type: str) -> Path:
    """A container's configuration as SageMaker writes it for each kind of job."""
    if kind == "training":
        config = root / "input" / "config"
        texts: dict[str, Any] = {"current_host": "algo-1", "current_instance_type": instance_type}
    else:
        config = root / "config"
        texts = {"current_host": "algo-1"}
        config.mkdir(parents=True)
        cluster = {"ClusterConfig": {"InstanceType": instance_type, "InstanceCount": 1}}
        (config / "processingjobconfig.json").write_text(
            json.dumps({"ProcessingResources": cluster})
        )
    config.mkdir(parents=True, exist_ok=True)
    (config / "resourceconfig.json").write_text(json.dumps({**texts, "hosts": ["algo-1"]}))
    return root


@pytest.mark.parametrize("kind", ["training", "processing"])
@pytest.mark.parametrize("instance_type", ["ml.g5.12xlarge", "ml.g4dn.xlarge", "ml.gr6.4xlarge",
                                           "ml.p4d.24xlarge", "ml.p5en.48xlarge"])  # fmt: skip
def test_a_gpu_that_is_not_seen_is_a_permanent_failure(
    kind: str, instance_type: str, tmp_path: Path
) -> None:
    root = lay_out(tmp_path / "ml", kind, instance_type)
    with pytest.raises(PermanentFailure) as failed:
        gpus.require_gpus(root)
    text = str(failed.value)
    assert f"{instance_type} has GPUs, but PyTorch {torch.__version__}" in text
    assert "(CUDA 13.2) sees no GPU" in text
    assert "NVIDIA driver is 535.183.01, which runs CUDA 12.2 at most" in text
    assert "too old (found version 12020)" in text
    assert "Choose an instance type whose hosts have a newer driver" in text
    assert len(f"NoGpu: {text}") < 1000, "SageMaker keeps 1,024 characters"
    with pytest.raises(gpus.NoGpu):
        hardware.device()


@pytest.mark.parametrize("instance_type", ["ml.m5.xlarge", "ml.c6i.large", "ml.trn1.2xlarge", ""])
def test_other_machines_compute_on_their_cpu(instance_type: str, tmp_path: Path) -> None:
    gpus.require_gpus(lay_out(tmp_path / "ml", "training", instance_type))
    assert hardware.device().type == "cpu"


def test_a_laptop_has_no_resource_configuration(tmp_path: Path) -> None:
    gpus.require_gpus(tmp_path / "ml")
    assert hardware.device().type == "cpu"


@pytest.mark.parametrize("sign", ["device", "variable"])
def test_a_machine_of_ones_own_does_not_compute_on_the_cpu_beside_its_gpu(
    sign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sign == "device":
        (tmp_path / "dev").mkdir()
        for name in ("nvidia0", "nvidiactl"):
            (tmp_path / "dev" / name).touch()
    else:
        monkeypatch.setenv("SM_NUM_GPUS", "1")
    with pytest.raises(gpus.NoGpu) as failed:
        hardware.device()
    text = str(failed.value)
    named = "NVIDIA GPUs (nvidia0)" if sign == "device" else "GPUs (SM_NUM_GPUS is 1)"
    assert f"this machine has {named}, but PyTorch" in text
    assert "Update the NVIDIA driver" in text
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(gpus.NoGpu, match=r"\(no CUDA\).* Install a PyTorch with CUDA"):
        hardware.device()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")  # the way out that the message names
    assert hardware.device().type == "cpu"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    see(monkeypatch, 1)
    assert hardware.device().type == "cuda"


def test_every_process_gets_a_gpu_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = lay_out(tmp_path / "ml", "training", "ml.g5.12xlarge")
    see(monkeypatch, 2)
    gpus.require_gpus(root, 2)
    with pytest.raises(gpus.NoGpu, match="sees 2 of them, and 4 processes want one each"):
        gpus.require_gpus(root, 4)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")  # as torchrun tells its processes
    with pytest.raises(gpus.NoGpu):
        hardware.device()


def test_what_is_wrong_decides_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = lay_out(tmp_path / "ml", "training", "ml.g5.xlarge")
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(gpus.NoGpu, match=r"\(no CUDA\).*imgclf deploy image --gpu"):
        gpus.require_gpus(root)
    monkeypatch.setattr(gpus, "DRIVER_VERSION", tmp_path / "absent")
    with pytest.raises(gpus.NoGpu, match="The host has no NVIDIA driver"):
        gpus.require_gpus(root)


def test_both_kinds_of_kernel_module_tell_their_version(tmp_path: Path) -> None:
    (tmp_path / "version").write_text(OPEN)
    assert gpus.driver() == "The host's NVIDIA driver is 570.148.08, which runs CUDA 12.2 at most"


@pytest.mark.parametrize("kind", ["training", "processing"])
@pytest.mark.parametrize("module", ["training.train", "training.evaluate", "training.embed"])
def test_the_launcher_leaves_the_reason_where_sagemaker_looks(
    kind: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = lay_out(tmp_path / "ml", kind, "ml.g5.12xlarge")
    monkeypatch.setenv("IMGCLF_PROCESSES_PER_HOST", "4")
    monkeypatch.setattr(sys, "argv", ["launcher", module])
    monkeypatch.setattr(launcher.runpy, "run_module", lambda *_, **__: pytest.fail("it ran"))
    with pytest.raises(SystemExit, match="NoGpu: ml.g5.12xlarge has GPUs"):
        launcher.main()
    name = "failure" if kind == "training" else "message"
    assert (root / "output" / name).read_text().startswith("NoGpu: ml.g5.12xlarge has GPUs")


@pytest.mark.parametrize(
    ("driver", "image", "there", "taken"),
    [
        (12020, 13, True, True),  # an older driver: the package stands in
        (13000, 13, True, False),  # of the same series: CUDA's minor version compatibility
        (14010, 13, True, False),  # newer: the package would fail
        (12020, 13, False, False),  # the CPU image has no package
        (12020, 0, True, False),
        (0, 13, True, False),  # no driver at all
    ],
)
def test_the_images_own_libcuda_is_taken_on_older_drivers_only(
    driver: int, image: int, there: bool, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_driver(monkeypatch, driver)
    monkeypatch.setattr(gpus, "_image_cuda", lambda: image)
    if there:
        gpus.COMPAT.mkdir()
        (gpus.COMPAT / "libcuda.so.1").touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/local/nvidia/lib64")
    started: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(gpus.os, "execv", lambda path, words: started.append((path, words)))
    gpus.prefer_compat()
    assert bool(started) is taken
    if taken:
        assert started == [(sys.executable, sys.orig_argv)]
        assert gpus.os.environ["LD_LIBRARY_PATH"] == f"{gpus.COMPAT}:/usr/local/nvidia/lib64"
        gpus.prefer_compat()
        assert len(started) == 1, "and not for ever"


def test_the_cuda_of_the_image_is_that_of_its_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus.metadata, "version", lambda _: "13.2.86")
    assert gpus._image_cuda() == 13

    def absent(_: str) -> str:
        raise gpus.metadata.PackageNotFoundError

    monkeypatch.setattr(gpus.metadata, "version", absent)
    assert gpus._image_cuda() == 0

"""Training on several processes and machines: on CPUs, with gloo, through the job's launcher."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from tests.patience import WAIT_S, wait_for
from tests.ports import free_port
from tests.warm_programs import with_client
from tests.warm_programs.sitecustomize import JOB
from training.artefact.predictor import OnnxPredictor

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).parents[2]
PATH = with_client(str(REPOSITORY))
"""PYTHONPATH of the jobs: the repository, and copies of a process with PyTorch for all of them."""
HOSTS = ("algo-1", "algo-2")
EPOCHS, BATCH, TRAIN = 8, 16, 101
"""101 images in batches of 16: batches and shares of unequal length."""


def _colours() -> list[tuple[np.ndarray, list[str], str]]:
    draw = np.random.default_rng(0)
    images = []
    for index in range(TRAIN + 9 + 30):
        pixels = draw.integers(0, 120, (16, 16, 3), dtype=np.uint8)
        pixels[..., index % 3] += 120
        split = "train" if index < TRAIN else "val" if index < TRAIN + 9 else "test"
        images.append((pixels, [("red", "green", "blue")[index % 3]], split))
    return images


@dataclass
class Machine:
    """One container of a job, and its launcher while it runs."""

    root: Path
    environment: dict[str, str]
    process: subprocess.Popen[str] | None = None
    shell: tuple[str, ...] = ()

    def start(self, *command: str) -> None:
        with (self.root / "log").open("w") as log:
            self.process = subprocess.Popen(
                [
                    *self.shell,
                    *(sys.executable, "-m", "training.launcher"),
                    *(command or ["training.train"]),
                ],
                env={**os.environ, "PYTHONPATH": PATH, **self.environment},
                cwd=self.root,
                stdout=log,
                stderr=log,
                text=True,
            )

    @property
    def log(self) -> str:
        return (self.root / "log").read_text()

    @property
    def failure(self) -> str | None:
        path = self.root / "output" / "failure"
        return path.read_text() if path.exists() else None

    def left(self, folder: str) -> list[str]:
        return sorted(path.name for path in (self.root / folder).rglob("*") if path.is_file())

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(WAIT_S)

    def wait_for(self, words: str) -> None:
        assert self.process is not None
        process = self.process

        def has_logged() -> bool:
            ended = process.poll() is not None
            assert words in self.log or not ended, self.log
            return words in self.log

        wait_for(has_logged, lambda: self.log, every_s=0.01)

    def clear(self) -> None:
        """What a new container of the same job does not have: only checkpoints stay."""
        for name in ("model", "output", "scratch"):
            shutil.rmtree(self.root / name, ignore_errors=True)


@pytest.fixture
def machines(training_job: Callable[..., Path], tmp_path: Path):
    """``machines(hosts, processes)``: a job that learns colours, laid out on so many machines."""
    made: list[Machine] = []

    def lay_out(hosts: int, processes: int, **hyperparameters: object) -> list[Machine]:
        given = {
            "recipe": "scratch", "image_size": 16, "epochs": EPOCHS, "batch_size": BATCH,
            "learning_rate": 0.01, "augmentation": "none", **hyperparameters,
        }  # fmt: skip
        training_job(tmp_path / HOSTS[0], _colours(), **given)
        port = free_port()
        for host in HOSTS[:hosts]:
            root = tmp_path / host
            if host != HOSTS[0]:
                shutil.copytree(tmp_path / HOSTS[0], root)
            texts = {
                "current_host": host,
                "hosts": HOSTS[:hosts],
                "network_interface_name": "lo",
            }
            (root / "input/config/resourceconfig.json").write_text(json.dumps(texts))
            environment = {
                "IMGCLF_ML_ROOT": str(root),
                "IMGCLF_PROCESSES_PER_HOST": str(processes),
                "IMGCLF_MASTER_ADDRESS": "127.0.0.1",
                "IMGCLF_MASTER_PORT": str(port),
                "OMP_NUM_THREADS": "1",
            }
            made.append(Machine(root, environment))
        return made

    yield lay_out
    for machine in made:
        if machine.process and machine.process.poll() is None:
            machine.process.kill()


def _knows_colours(machine: Machine) -> bool:
    predictor = OnnxPredictor(machine.root / "model")
    tests = [image for image in _colours() if image[2] == "test"]
    decided = predictor.decide(predictor.predict_images([pixels for pixels, _, _ in tests]))
    return (
        np.mean([list(d) == labels for d, (_, labels, _) in zip(decided, tests, strict=True)])
        >= 0.9
    )


def _steps(machine: Machine) -> int:
    checkpoint = machine.root / "checkpoints" / "last.ckpt"
    return torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"]


def _process(machine: Machine, rank: int) -> psutil.Process:
    """By its variables: its parent is a copy of a warm process, none of the launcher's children."""
    wanted = {"IMGCLF_ML_ROOT": str(machine.root), "RANK": str(rank)}.items()
    every = psutil.process_iter(["environ"])
    return next(process for process in every if wanted <= (process.info["environ"] or {}).items())


def test_a_killed_process_is_named_and_the_job_resumes(machines) -> None:
    (machine,) = machines(hosts=1, processes=2)
    machine.start()
    machine.wait_for("epoch 2,")
    _process(machine, rank=1).kill()
    assert machine.wait() == 128 + signal.SIGKILL, machine.log
    assert machine.failure == "process 2 of 2 on algo-1 was killed by SIGKILL (out of memory?)"
    assert not machine.left("model")

    machine.clear()
    machine.start()
    assert machine.wait() == 0, machine.log
    assert "epoch 1," not in machine.log
    assert f"epoch {EPOCHS}," in machine.log
    assert machine.log.count("report_asset_materialization") == 1
    assert _steps(machine) == EPOCHS * -(-TRAIN // BATCH)  # as many as one process takes
    assert _knows_colours(machine)
    history = json.loads((machine.root / "output/data/history.json").read_text())
    assert [epoch["epoch"] for epoch in history] == list(range(1, EPOCHS + 1))
    # Nine validation images, five and four to a process: ninths, none counted twice.
    for epoch in history:
        assert epoch["val_accuracy"] * 9 == pytest.approx(round(epoch["val_accuracy"] * 9))


def test_machines_that_are_stopped_leave_together_and_resume(machines) -> None:
    first, second = machines(hosts=2, processes=1)
    for machine in (first, second):
        machine.start()
    first.wait_for("epoch 2,")
    first.process.terminate()  # the service does not stop them at the same instant
    time.sleep(0.2)
    second.process.terminate()
    assert [machine.wait() for machine in (first, second)] == [128 + signal.SIGTERM] * 2
    assert first.failure is None
    assert second.failure is None
    assert second.left("checkpoints") == []

    for machine in (first, second):
        machine.clear()
    (second.root / "checkpoints" / "last.ckpt").write_bytes(b"of another time")
    for machine in (first, second):
        machine.start()
    assert [machine.wait() for machine in (first, second)] == [0, 0], first.log + second.log
    assert "epoch 1," not in first.log
    assert _steps(first) == EPOCHS * -(-TRAIN // BATCH)
    assert _knows_colours(first)
    assert second.left("model") == second.left("output") == []
    assert (second.root / "checkpoints" / "last.ckpt").read_bytes() == b"of another time"


def test_what_is_wrong_on_one_machine_is_told_by_the_first(machines) -> None:
    first, second = machines(hosts=2, processes=1)
    for shard in (second.root / "input/data/dataset/shards").iterdir():
        shard.unlink()
    for machine in (first, second):
        machine.start()
    assert [machine.wait() for machine in (first, second)] == [1, 1]
    unread = f"{TRAIN} of {TRAIN} images of the train split cannot be read"
    assert first.failure.startswith(f"PermanentFailure: process 2 of 2: {unread}")
    assert second.failure.startswith(f"PermanentFailure: {unread}")
    assert "build the data set again" in first.failure
    assert second.failure.endswith("[process 2 of 2 on algo-2]")


SHARED = """
import json, sys
from pathlib import Path
import numpy as np
import torch
from training.config import Hyperparameters
from training.data.data import LabelledImages
from training.container.distributed import joined
from training.fitting.fit import fit
from training.fitting.sweep import sweep

def split(count):
    images = np.random.default_rng(count).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return LabelledImages(images, images[:, 0, 0, :].argmax(1).astype(np.int64), None)

def colours(batch):
    return batch.mean(dim=(2, 3))

folder = Path(sys.argv[1])
net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3))
torch.nn.init.zeros_(net[1].weight)
torch.nn.init.zeros_(net[1].bias)
job = Hyperparameters(
    recipe="scratch", image_size=8, epochs=3, batch_size=16, optimizer="sgd", learning_rate=1e-6,
    augmentation="none", precision="32",
)
normalised = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(192), torch.nn.Linear(192, 3))

def fitted(net, checkpoints):
    return fit(
        net, job, task="single_label", classes=3, train=split(100), val=split(1),
        checkpoints=checkpoints, scratch=folder, report=lambda epoch: None, team=team,
    ).epochs

with joined() as team:
    assert team.any(team.rank == team.size - 1) and not team.any(False)
    history = fitted(net, folder / "linear")
    fitted(normalised, folder / "normalised")
    np.save(folder / f"seen-{team.rank}.npy", normalised[1].running_mean.numpy())
    means = sweep(colours, split(100), 3, team=team)
    team.dismiss()
    np.savez(folder / "found.npz", means=means, weight=net[1].weight.detach().numpy())
    (folder / "history.json").write_text(json.dumps(history))
"""


def test_processes_do_together_what_one_does_alone(tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text(SHARED)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    starts = {"alone": [], "two": [*torchrun, "--nproc-per-node=2"]}
    path = os.pathsep.join([PATH, str(tmp_path)])
    running = {}
    for name, start in starts.items():
        (tmp_path / name).mkdir()
        running[name] = subprocess.Popen(
            [sys.executable, *start, "-m", "shared", name],
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", JOB: "shared"},
            cwd=tmp_path,
        )
    assert [process.wait(WAIT_S) for process in running.values()] == [0, 0]
    alone, two = (np.load(tmp_path / name / "found.npz") for name in starts)
    assert np.array_equal(alone["means"], two["means"])
    assert np.abs(alone["weight"]).max() > 1e-5
    # Batches of 15 and 14 images, shares of 8 and 7: the gradients are those of whole batches.
    assert two["weight"] == pytest.approx(alone["weight"], rel=1e-4, abs=1e-8)
    seen = [np.load(path) for path in (tmp_path / "two").glob("seen-*.npy")]
    assert len(seen) == 2
    assert all(np.array_equal(found, seen[0]) for found in seen)
    # One validation image: the second process has none.
    facts = [json.loads((tmp_path / name / "history.json").read_text()) for name in starts]
    assert facts[1] == [pytest.approx(epoch, rel=1e-4) for epoch in facts[0]]


def test_other_modules_work_on_the_first_machine_alone(machines) -> None:
    first, second = machines(hosts=2, processes=4)
    for machine in (first, second):
        (machine.root / "shout.py").write_text(
            "import os, sys\nprint(sys.argv[1:], __name__, os.getpid())\n"
        )
        machine.start("shout", "loud", "--very")
    assert [machine.wait() for machine in (first, second)] == [0, 0]
    assert first.log == f"['loud', '--very'] __main__ {first.process.pid}\n"
    assert second.log == "shout works on algo-1 alone; algo-2 has nothing to do\n"


@pytest.mark.parametrize("trap", ["-", "''"], ids=["by default", "ignored by its parent"])
def test_a_single_process_ends_on_sigterm_even_as_the_first_of_a_container(machines, trap) -> None:
    (machine,) = machines(hosts=1, processes=1)
    machine.shell = ("sh", "-c", f'trap {trap} TERM; exec "$@"', "sh")
    (machine.root / "wait.py").write_text(
        "import time\nprint('here', flush=True)\ntime.sleep(3600)\n"
    )
    machine.start("wait")
    machine.wait_for("here")
    machine.process.terminate()
    assert machine.wait() == 128 + signal.SIGTERM

"""The job that measures how fast a net trains: ``python -m training.step_time``.

Runs the very training loop of a fine-tuning on random images for two epochs and times the second: the
first one includes what happens once. No channel is needed: neither the weights nor the pictures change
the time of a step. Output: ``step_time.json``.
"""

import json
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from training.artefact.artefact import Task
from training.config import Hyperparameters
from training.container.container import JobContainer
from training.container.distributed import Team, ends_at_its_failure, joined, note_failure
from training.container.hardware import yield_cores
from training.container.leaving import leave
from training.container.pipes import open_pipes
from training.container.quick_imports import without_collection
from training.errors import PermanentFailure

if TYPE_CHECKING:
    from training.data.data import LabelledImages

STEP_TIME = "step_time.json"

BATCHES = 2
"""Batches of a measured epoch. A batch of 64 images of EfficientNet-Lite0 takes a few seconds on two
cores, and its time varies by some per cent."""

PARALLEL_SHARE = 0.8
"""Share of the cores' time in which they compute at once, as an allowance: data and optimizer have parts
for one core."""

LONG_EPOCH_S = 60.0
"""A first epoch that takes longer (seconds) is the measurement: what it does once counts for little."""


class StepTime(BaseModel):
    """What a training costs on the machine that measured it.

    Attributes:
        seconds: wall time of the measured epoch.
        cpu_seconds: CPU time of the measured epoch, of all threads of the process.
        cores: number of cores that a process can use.
        images: images that it was trained on.
        val_images: images of its validation.
        device: what computed, such as ``cpu``.
        processes: how many trained together.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    seconds: float
    cpu_seconds: float
    cores: int
    images: int
    val_images: int
    device: str
    processes: int = 1

    def epoch_s(self, images: int) -> float:
        """Return the seconds of an epoch where nothing else uses the cores.

        Args:
            images: to train on; the validation split is in the measured ratio to them.
        """
        # A busy machine multiplies the wall time, and the CPU time hardly.
        alone = self.cpu_seconds / self.cores / PARALLEL_SHARE
        seconds = min(self.seconds, alone) if self.device == "cpu" else self.seconds
        return seconds * images / self.images


class _EpochOver(Exception):
    """The first epoch was long enough."""


def main() -> None:
    """Run the job in this process's container; writes SageMaker's failure file if it fails."""
    yield_cores()
    with ends_at_its_failure(), open_pipes(silent=not Team.from_environment().leads) as pipes:
        container = JobContainer.from_environment()
        try:
            with joined() as team:
                found = _measured(container, team)
        except Exception as error:
            if not note_failure(error):
                container.write_failure(f"{type(error).__name__}: {error}")
            raise
        (container.output_dir / STEP_TIME).write_text(found.model_dump_json(), encoding="utf-8")
        pipes.report_asset_materialization(metadata=found.model_dump())


def _measured(container: JobContainer, team: Team) -> StepTime:
    """Measure as the container's hyperparameters say; returns only in the team's first process."""
    given = container.hyperparameters
    try:
        parameters = Hyperparameters.from_strings(given)
        task: Task = json.loads(given["task"])
        classes, val_share = json.loads(given["classes"]), json.loads(given["val_share"])
    except (KeyError, ValidationError, ValueError) as error:
        raise PermanentFailure(f"a hyperparameter of the job is wrong: {error}") from error
    with tempfile.TemporaryDirectory(dir=container.scratch_dir) as scratch:
        found = measure(parameters, task, classes, val_share, Path(scratch), team)
    team.dismiss()
    return found


def measure(
    parameters: Hyperparameters,
    task: Task,
    classes: int,
    val_share: float,
    scratch: Path,
    team: Team,
) -> StepTime:
    """Time an epoch of the training loop on random images.

    Args:
        parameters: of the training; recipe finetune or scratch.
        task: single_label or multi_label.
        classes: number of labels.
        val_share: images of the validation split, as a share of those that are trained on.
        scratch: an empty folder, for checkpoints.
        team: the processes that train together.
    """
    with without_collection("lightning.pytorch"):
        from training.container.hardware import device, usable_cores
        from training.fitting.architectures import build
        from training.fitting.fit import fit

    # Random pictures cannot be learnt, and a rate that is too high for them would end the training.
    parameters = parameters.model_copy(
        update={"weights": "none", "epochs": 2, "learning_rate": 1e-6}
    )
    net = build(parameters, classes)
    images = BATCHES * parameters.batch_size
    train = _noise(images, net.preprocessing.size, task, classes)
    val = _noise(max(1, round(images * val_share)), net.preprocessing.size, task, classes)
    ends = [_now()]
    with suppress(_EpochOver):
        fit(
            net,
            parameters,
            task=task,
            classes=classes,
            train=train,
            val=val,
            checkpoints=scratch,
            scratch=scratch,
            report=_clock(ends, alone=team.size == 1),
            team=team,
        )
    (wall, cpu), (wall_before, cpu_before) = ends[-1], ends[-2]
    return StepTime(
        seconds=wall - wall_before,
        cpu_seconds=cpu - cpu_before,
        cores=max(1, usable_cores() // team.local_size),
        images=len(train),
        val_images=len(val),
        device=str(device().type),
        processes=team.size,
    )


def _now() -> tuple[float, float]:
    """Return the seconds of a clock, and those of CPU time of this process."""
    return time.monotonic(), time.process_time()


def _clock(ends: list[tuple[float, float]], *, alone: bool) -> Callable[[object], None]:
    """Return what notes the end of each epoch, and stops after a long first one.

    Args:
        ends: of epochs so far, the first item being the beginning.
        alone: whether this is the only process; others of a team would wait for the one that stops.
    """

    def note(_: object) -> None:
        ends.append(_now())
        if alone and len(ends) == 2 and ends[1][0] - ends[0][0] > LONG_EPOCH_S:
            raise _EpochOver

    return note


def _noise(count: int, size: int, task: Task, classes: int) -> "LabelledImages":
    """Return random images with random labels."""
    import numpy as np
    import pyarrow as pa

    from training.data.data import LabelledImages

    generator = np.random.default_rng(0)
    targets: np.ndarray = np.arange(count) % classes
    if task == "multi_label":
        targets = np.eye(classes, dtype=np.float32)[targets]
    names = [str(number) for number in range(count)]
    rows = pa.table({"sha256": names, "group_id": names, "raw_key": names})
    pixels = generator.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return LabelledImages(pixels, targets, rows)


if __name__ == "__main__":
    main()
    leave()

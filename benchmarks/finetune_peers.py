"""``finetune`` against plain Lightning and timm's training recipe: CPU time to the same accuracy."""

import json
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.photos import MISSING, NAME, copy_photos
from benchmarks.processes import BenchmarkFailed, cpu_seconds, python_json
from benchmarks.result import Measurement, Result

NET, SIZE, EPOCHS = "tf_efficientnet_lite0", 160, 2
TRAINED_ON, TESTED_ON = 400, 400
LIMITS = {"lightning": 0.35, "timm": 0.5}
ARMS = ("ours", "lightning", "timm")

Point = tuple[float, float]
"""CPU seconds, and the accuracy on the test photos that was reached with them."""


def measure(scratch: Path) -> Result:
    """Train each arm in a process of its own, on the same photos from the same weights."""
    if not copy_photos(scratch / "photos"):
        return Result(skipped=MISSING)
    divide(scratch)
    curves: dict[str, list[Point]] = {
        arm: python_json("benchmarks.finetune_peers", arm, str(scratch)) for arm in ARMS
    }
    measurements = []
    for peer, limit in LIMITS.items():
        cpu, accuracy = curves[peer][-1]
        taken = seconds_to(curves["ours"], accuracy)
        measurements += [
            Measurement(
                what=f"CPU time to the accuracy that {peer} ends with, as a share of its own",
                value=taken / cpu,
                unit="",
                limit=limit,
                peer=1.0,
            ),
            Measurement(
                what=f"the same in seconds; peer: {peer}", value=taken, unit="CPU s", peer=cpu
            ),
        ]
    return Result(
        measurements=[*measurements, *(_end(arm, curves[arm]) for arm in ARMS)],
        peer="plain Lightning + ImageFolder; the recipe of timm's train.py",
        notes=[
            f"{NET} at {SIZE} pixels, {TRAINED_ON} photos of {NAME} to train on, {TESTED_ON} to test "
            f"on, {EPOCHS} epochs; the weights of ImageNet. Counted is the CPU time from the files on, "
            "without imports and without the tests after each epoch; a peer's is that of all its "
            "epochs.",
            "ours: the defaults of recipe finetune but for the epochs and no early stop. lightning: as "
            "in tutorials: ImageFolder, resize, flip, Adam at 0.001, batches of 32, float32. timm: "
            "random resized crop, flip, colour jitter, RandAugment, label smoothing, AdamW at 0.0005 "
            "with cosine and no warm-up, layer decay 0.75, moving average, batches of 32, bfloat16.",
            "Curves (CPU seconds: accuracy): "
            + "; ".join(
                f"{arm} " + ", ".join(f"{cpu:.0f}: {score:.1%}" for cpu, score in curve)
                for arm, curve in curves.items()
            ),
        ],
    )


def _end(arm: str, curve: list[Point]) -> Measurement:
    return Measurement(
        what=f"{arm}: accuracy at its end", value=100 * curve[-1][1], unit="%", bound="at least"
    )


def seconds_to(curve: list[Point], accuracy: float) -> float:
    """Return the CPU seconds at which a curve first reaches an accuracy.

    Raises:
        BenchmarkFailed: it does not reach it.
    """
    for cpu, score in curve:
        if score >= accuracy:
            return cpu
    raise BenchmarkFailed(f"ours ends below the peer's {accuracy:.1%}: {curve}")


def divide(scratch: Path) -> None:
    """Move photos to ``train/<class>/`` and ``test/<class>/``, at random."""
    files = sorted((scratch / "photos").rglob("*.jpg"))
    random.Random(0).shuffle(files)
    for number, path in enumerate(files[: TRAINED_ON + TESTED_ON]):
        part = "train" if number < TRAINED_ON else "test"
        target = scratch / part / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)


class Clock:
    """Notes the accuracy after each epoch; the CPU time of the tests does not count."""

    def __init__(self) -> None:
        self.curve: list[Point] = []
        self._began = cpu_seconds()

    def note(self, test: Callable[[], float]) -> None:
        """Test, and note the result."""
        now = cpu_seconds()
        self.curve.append((now - self._began, test()))
        self._began += cpu_seconds() - now


# --- ours ------------------------------------------------------------------------------------


def ours(scratch: Path) -> list[Point]:
    """Train with recipe finetune."""
    import torch

    from training.config import Hyperparameters
    from training.container.hardware import uses_bf16
    from training.fitting.architectures import build, load_weights
    from training.fitting.calibration import predict_logits
    from training.fitting.fit import fit
    from training.fitting.head_start import start_head

    job = Hyperparameters(
        recipe="finetune", architecture=NET, image_size=SIZE, epochs=EPOCHS, patience=0
    )
    torch.manual_seed(0)
    test = _labelled(scratch / "test", "bicubic")
    clock = Clock()
    net = build(job, len(_labels(scratch)), load_weights(job, [_weights()]))
    train = _labelled(scratch / "train", net.preprocessing.interpolation)

    def score() -> float:
        logits = predict_logits(net, test, len(_labels(scratch)))
        net.train()
        return float((logits.numpy().argmax(1) == test.targets).mean())

    def start() -> None:
        start_head(net, train, task="single_label", bf16=uses_bf16(job))
        clock.note(score)

    def epoch(numbers: dict[str, float]) -> None:
        clock.note(lambda: numbers["val_accuracy"])  # the test photos are given as validation

    fit(
        net,
        job,
        task="single_label",
        classes=len(_labels(scratch)),
        train=train,
        val=test,
        checkpoints=scratch / "checkpoints",
        scratch=scratch / "scratch",
        report=epoch,
        start=start,
    )
    return clock.curve


def _labels(scratch: Path) -> list[str]:
    return sorted(path.name for path in (scratch / "train").iterdir())


def _labelled(folder: Path, interpolation: Any) -> Any:
    """Decode photos as a training job does."""
    import pyarrow as pa

    from training.data.data import LabelledImages, resized_to_square
    from training.images.images import decode
    from training.images.preprocessing import Preprocessing

    how = Preprocessing(size=SIZE, interpolation=interpolation)
    files = sorted(folder.rglob("*.jpg"))
    names = sorted(path.name for path in folder.iterdir())
    images = [
        resized_to_square(np.asarray(decode(path.read_bytes(), fit=SIZE)), how) for path in files
    ]
    targets = np.array([names.index(path.parent.name) for path in files])
    return LabelledImages(np.stack(images), targets, pa.table({"raw_key": [p.name for p in files]}))


def _weights() -> Path | None:
    from training.backbones.weights import find_weights

    return find_weights(NET, None)


# --- the peers -------------------------------------------------------------------------------


def _pretrained(classes: int) -> Any:
    """Return timm's net with the weights of ImageNet and a new head."""
    import timm
    from torch import nn

    from training.backbones.sources import net_source, read_weights

    path = _weights()
    assert path is not None, "the extra weights is not installed"
    net = timm.create_model(NET, num_classes=classes)
    backbone = net_source(NET).build(SIZE, read_weights(NET, path))
    net.load_state_dict(backbone.state_dict(), strict=False)
    assert isinstance(net.classifier, nn.Linear)
    return net


def _mean_and_std() -> dict[str, tuple[float, float, float]]:
    return {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}


def lightning(scratch: Path) -> list[Point]:
    """Train as Lightning's tutorials do."""
    import lightning.pytorch as pl
    import torch
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    torch.manual_seed(0)
    last = [transforms.ToTensor(), transforms.Normalize(**_mean_and_std())]
    resize = transforms.Resize((SIZE, SIZE))
    shown = transforms.Compose([resize, transforms.RandomHorizontalFlip(), *last])
    train = ImageFolder(str(scratch / "train"), shown)
    test = ImageFolder(str(scratch / "test"), transforms.Compose([resize, *last]))
    clock = Clock()

    class Tutorial(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = _pretrained(len(train.classes))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            images, targets = batch
            return torch.nn.functional.cross_entropy(self.net(images), targets)

        def on_train_epoch_end(self) -> None:
            clock.note(lambda: _score(self.net, DataLoader(test, 32)))

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    trainer.fit(Tutorial(), DataLoader(train, 32, shuffle=True))
    return clock.curve


def timm(scratch: Path) -> list[Point]:
    """Train with the parts of timm's train.py and settings for fine-tuning."""
    import torch
    from timm import data, loss, optim, scheduler, utils

    torch.manual_seed(0)
    shapes: dict[str, Any] = {
        "input_size": (3, SIZE, SIZE),
        "batch_size": 32,
        "use_prefetcher": False,
    }
    shapes |= {**_mean_and_std(), "num_workers": 0, "interpolation": "bicubic"}
    train = data.ImageDataset(str(scratch / "train"))
    test = data.ImageDataset(str(scratch / "test"))
    given = data.create_loader(
        train, is_training=True, scale=(0.35, 1.0), auto_augment="rand-m7-mstd0.5-inc1", **shapes
    )
    held = data.create_loader(test, is_training=False, crop_pct=1.0, **shapes)
    clock = Clock()
    net = _pretrained(len(_labels(scratch))).to(memory_format=torch.channels_last)
    optimizer = optim.create_optimizer_v2(
        net, opt="adamw", lr=5e-4, weight_decay=0.05, layer_decay=0.75
    )
    rate, _ = scheduler.create_scheduler_v2(
        optimizer, "cosine", num_epochs=EPOCHS, warmup_epochs=0, step_on_epochs=False,
        updates_per_epoch=len(given),
    )  # fmt: skip
    average = utils.ModelEmaV3(net, decay=0.99, use_warmup=True)
    smoothed, step = loss.LabelSmoothingCrossEntropy(0.1), 0
    for _ in range(EPOCHS):
        net.train()
        for images, targets in given:
            with torch.autocast("cpu", torch.bfloat16):
                answer = net(images.contiguous(memory_format=torch.channels_last))
            optimizer.zero_grad()
            smoothed(answer.float(), targets).backward()
            optimizer.step()
            step += 1
            rate.step_update(step)
            average.update(net, step)
        clock.note(lambda: _score(average.module, held))
    return clock.curve


def _score(net: Any, batches: Iterator[Any]) -> float:
    """Return the accuracy of a net on batches of images and targets."""
    import torch

    net.eval()
    right = count = 0
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for images, targets in batches:
            right += int((net(images).argmax(1) == targets).sum())
            count += len(targets)
    net.train()
    return right / count


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](Path(sys.argv[2]))))

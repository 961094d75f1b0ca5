"""The data pipeline of training alone, against what the nets consume."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.photos import MISSING, NAME, copy_photos
from benchmarks.result import Measurement, Result

if TYPE_CHECKING:
    from training.config import Hyperparameters
    from training.data.data import DataSource, LabelledImages

TIMEOUT_S = 1200.0
PHOTOS = 384
ROUNDS = 3
LIMIT = 3.0
BATCHES, FIRST = 8, 2
"""Training steps of a round; the first ones include what happens once, and are not counted."""

LARGE = (4_000, 3_000)
LARGE_PHOTOS = 12


@dataclass(frozen=True)
class Pace:
    """What images cost.

    Attributes:
        images: how many there were.
        seconds: wall time of all.
        cpu_s: CPU time of all, of all cores.
    """

    images: int
    seconds: float
    cpu_s: float

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds of an image."""
        return 1e3 * self.cpu_s / self.images

    @property
    def per_second(self) -> float:
        """Images a second of wall time."""
        return self.images / self.seconds


def measure(scratch: Path) -> Result:
    """Time pipeline and nets in turn, in this process; compare medians."""
    if not copy_photos(scratch / "photos"):
        return Result(skipped=MISSING)
    from training.container.hardware import yield_cores

    yield_cores()  # as a job does, before PyTorch is imported
    from training.config import FINETUNED_NET, PROBED_NETS, Hyperparameters

    files = sorted((scratch / "photos").rglob("*.jpg"))
    photos = [path.read_bytes() for path in files[:: len(files) // PHOTOS][:PHOTOS]]
    tuned, probed = Hyperparameters(recipe="finetune"), Hyperparameters()
    first_net = probed.model_copy(update={"architecture": FINETUNED_NET})
    sources = _Sources(scratch, photos)
    split = sources.read()
    arms: dict[str, Callable[[], Pace]] = {
        "reading": lambda: timed(len(photos), sources.read),
        "large": _large_arm(scratch, photos),
        "batches": lambda: _batches(split, tuned),
        "step": lambda: _steps(split, tuned, scratch),
        "probed": _frozen(split, probed),
        "one": _frozen(split, first_net),
    }
    rounds: dict[str, list[Pace]] = {name: [] for name in arms}
    for number in range(ROUNDS + 1):  # the first one warms up
        for name, arm in arms.items():
            pace = arm()
            if number:
                rounds[name].append(pace)
    found = {name: middle(paces) for name, paces in rounds.items()}
    return Result(
        measurements=[
            _ratio("batches of a fine-tuning", found["batches"], found["step"]),
            *_rows("batches: read, augmented", found["batches"]),
            *_rows(f"training step of {FINETUNED_NET}, without its batch", found["step"]),
            _ratio("reading for a probe", found["reading"], found["probed"]),
            *_rows("reading: shard, hash, decoding, resizing, file", found["reading"]),
            *_rows(f"forward pass of {PROBED_NETS}", found["probed"]),
            _ratio(f"reading for {FINETUNED_NET} alone, frozen", found["reading"], found["one"]),
            *_rows(f"forward pass of {FINETUNED_NET}", found["one"]),
            *_rows(f"reading photos of {LARGE[0]} × {LARGE[1]} pixels", found["large"]),
        ],
        notes=_notes(rounds),
    )


def _notes(rounds: dict[str, list[Pace]]) -> list[str]:
    spread = "; ".join(
        f"{name} {min(pace.cpu_ms for pace in paces):.2f} to {max(pace.cpu_ms for pace in paces):.2f}"
        for name, paces in rounds.items()
    )
    large = times_faster(middle(rounds["large"]), middle(rounds["probed"]))
    return [
        f"{PHOTOS} photos of {NAME} (150 × 150), resized to 224 × 224; the large ones are "
        f"{LARGE_PHOTOS} of them, enlarged. {ROUNDS} rounds in turn, medians by CPU time.",
        "Ratios are of CPU time: the pipeline and a net share the cores, and the load of other "
        "programs does not count. 3 means that the pipeline takes a quarter of the time of both.",
        "A job reads each image once, into a memory-mapped file; a fine-tuning draws its batches "
        "from there in every epoch, and augments them (recipe finetune's defaults), on the same "
        "cores. The step is forward, backward, optimizer and moving average, by the product's "
        "training loop on batches that are ready. The forward pass is the probe's, with the "
        "conversion to float32 and without the conversion of the net for OpenVINO.",
        f"CPU ms an image, least to most: {spread}.",
        "What limits the reading is the resize in float32 with antialiasing: 1.7 of its 2.3 ms in one "
        "thread; decoding takes 0.6. So it is below 3 times one small net alone, which is "
        "no default: a fine-tuning of that net reads once for all epochs. Tried on 300 of the "
        "photos: planes of colours in a row, 0.3 ms less, but in 20 of 2,400 random sizes the "
        "result differs in its last bits; PyTorch's resize of bytes, 0.2 instead of 1.7 ms, but 18 % of the values "
        "differ, by up to 22. Neither is taken: pixels would not be those of the exported graph "
        "and of stored features, which every user would compute again.",
        f"Of photos of {LARGE[0]} × {LARGE[1]} pixels, {large:.2g} are read in the time in which the "
        "nets of a probe consume one: what limits a first pass there is decoding JPEG, of which "
        "libjpeg already leaves out what a smaller picture does not need. Each is read once.",
        "On a GPU nothing was measured: a thread prepares the next batches there while it computes.",
    ]


def _ratio(what: str, pipeline: Pace, net: Pace) -> Measurement:
    return Measurement(
        what=f"{what}: images of the pipeline for each that the net consumes",
        value=times_faster(pipeline, net),
        unit="",
        bound="at least",
        limit=LIMIT,
    )


def times_faster(pipeline: Pace, net: Pace) -> float:
    """Return how many images the pipeline prepares in the CPU time in which the net consumes one."""
    return net.cpu_ms / pipeline.cpu_ms


def _rows(what: str, pace: Pace) -> list[Measurement]:
    return [
        Measurement(what=what, value=pace.cpu_ms, unit="CPU ms an image"),
        Measurement(
            what=f"{what}: all cores", value=pace.per_second, unit="images/s", bound="at least"
        ),
    ]


def middle(paces: Sequence[Pace]) -> Pace:
    """Return the medians of wall and CPU time of rounds with the same images."""
    return Pace(
        paces[0].images,
        median(pace.seconds for pace in paces),
        median(pace.cpu_s for pace in paces),
    )


def timed(images: int, work: Callable[[], object]) -> Pace:
    """Run ``work``, which is of so many images."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Pace(images, time.perf_counter() - wall, time.process_time() - cpu)


# --- the pipeline ----------------------------------------------------------------------------


class _Sources:
    """A data set of photos, which each call of ``read`` decodes anew, as a job does."""

    def __init__(self, folder: Path, photos: Sequence[bytes]) -> None:
        self._folder, self._reads = folder, 0
        self._source = make_source(folder, photos)

    def read(self) -> "LabelledImages":
        """Read all photos into a memory-mapped file."""
        from dataclasses import replace

        from training.images.preprocessing import Preprocessing

        self._reads += 1
        cache = self._folder / f"cache-{self._reads}"
        how = Preprocessing(size=224, interpolation="bicubic")
        return replace(self._source, cache=cache).split("train", how, lambda done, total: None)


def make_source(folder: Path, photos: Sequence[bytes]) -> "DataSource":
    """Write a data set of photos with two classes in turn.

    Args:
        folder: gets the manifest and the shards.
        photos: contents of different files.
    """
    import hashlib
    from io import BytesIO

    import pyarrow as pa
    from PIL import Image

    from training.data.data import DataSource
    from training.data.manifest import MANIFEST_SCHEMA, build_shards, write_manifest

    files = {hashlib.sha256(data).hexdigest(): data for data in photos}
    rows: list[dict[str, Any]] = []
    (folder / "shards").mkdir(parents=True)
    (folder / "made").mkdir()
    for shard in build_shards(sorted(files.items())):
        (folder / shard.name).write_bytes(shard.data)
        for member in shard.members:
            width, height = Image.open(BytesIO(files[member.sha256])).size
            rows.append(
                {
                    "sha256": member.sha256,
                    "labels": ["ab"[len(rows) % 2]],
                    "split": "train",
                    "group_id": member.sha256,
                    "width": width,
                    "height": height,
                    "raw_key": f"raw/made/{len(rows)}.jpg",
                    "shard": shard.name,
                    "offset": member.offset,
                    "length": member.length,
                }
            )
    table = pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA)
    (folder / "made" / "manifest.parquet").write_bytes(write_manifest(table))
    return DataSource(folder, "made", "single_label", ("a", "b"), folder / "cache")


def _large_arm(scratch: Path, photos: Sequence[bytes]) -> Callable[[], Pace]:
    """Return what times the reading of large photos."""
    from io import BytesIO

    from PIL import Image

    enlarged = []
    for data in photos[:LARGE_PHOTOS]:
        buffer = BytesIO()
        Image.open(BytesIO(data)).convert("RGB").resize(LARGE).save(buffer, "JPEG", quality=90)
        enlarged.append(buffer.getvalue())
    sources = _Sources(scratch / "large", enlarged)
    return lambda: timed(len(enlarged), sources.read)


def _batches(split: "LabelledImages", job: "Hyperparameters") -> Pace:
    """Draw and augment the batches of an epoch, as the training loop does."""
    import torch

    from training.data.augmentation import augment
    from training.data.data import Batches

    def draw() -> None:
        for images, _, number in Batches(split, job.batch_size, shuffle_seed=job.seed):
            torch.manual_seed(number)
            augment(images, job.augmentation, images.shape[-1])

    return timed(len(split), draw)


# --- the nets --------------------------------------------------------------------------------


def _frozen(split: "LabelledImages", job: "Hyperparameters") -> Callable[[], Pace]:
    """Return what times the pass of images through a frozen backbone."""
    from training.backbones.weights import find_all_weights
    from training.container.hardware import uses_bf16
    from training.fitting.architectures import build, load_weights
    from training.fitting.extractor import FeatureExtractor

    weights = load_weights(job, find_all_weights(job.architecture, None))
    net = build(job, 2, weights)
    extract = FeatureExtractor(net, images=len(split), bf16=uses_bf16(job))
    return lambda: timed(len(split), lambda: extract(split))


def _steps(split: "LabelledImages", job: "Hyperparameters", scratch: Path) -> Pace:
    """Take training steps on batches that are ready and not augmented."""
    import shutil

    from training.backbones.weights import find_all_weights
    from training.fitting import fit
    from training.fitting.architectures import build, load_weights

    used = job.model_copy(update={"epochs": 1, "augmentation": "none"})
    net = build(used, 2, load_weights(used, find_all_weights(used.architecture, None)))
    some = split.only(np.arange(BATCHES * job.batch_size))
    times: list[tuple[float, float]] = []
    product, fit.Batches = fit.Batches, ready_batches()  # type: ignore[attr-defined]
    try:
        fit.fit(
            net,
            used,
            task="single_label",
            classes=2,
            train=some,
            val=split.only(np.arange(job.batch_size)),
            checkpoints=scratch / "checkpoints",
            scratch=scratch / "steps",
            report=lambda numbers: None,
            progress=lambda done, total: times.append((time.perf_counter(), time.process_time())),
        )
    finally:
        fit.Batches = product  # type: ignore[attr-defined]
        shutil.rmtree(scratch / "checkpoints", ignore_errors=True)
    return pace_of(times, FIRST, job.batch_size)


def pace_of(times: Sequence[tuple[float, float]], first: int, batch: int) -> Pace:
    """Return the pace of steps.

    Args:
        times: wall and CPU clock at the end of each step.
        first: steps that are not counted.
        batch: images of a step.
    """
    counted = times[first - 1 :]
    (wall, cpu), (wall_end, cpu_end) = counted[0], counted[-1]
    return Pace((len(counted) - 1) * batch, wall_end - wall, cpu_end - cpu)


def ready_batches() -> Any:
    """Return a class of batches that reads all of them before the first is asked for."""
    from training.data.data import Batches

    class ReadyBatches(Batches):
        """Batches that are in memory."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._ready = list(super().__iter__())

        def __iter__(self) -> Iterator[Any]:
            return iter(self._ready)

    return ReadyBatches

"""The accuracy of the default probe on photos that were held back, over several divisions by groups."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from benchmarks.photos import MISSING, copy_photos
from benchmarks.result import Measurement, Result
from benchmarks.scenes import Scenes, photo_features
from training.config import PROBED_NETS

if TYPE_CHECKING:
    from training.data.data import LabelledImages

REPEATS, FOLDS = 4, 5
"""Each fold of a repeat is the test split once: a fifth of the groups."""

TIMEOUT_S = 3600.0

VALIDATION_SHARE = 0.15 / 0.85
"""Share of the other groups that becomes the validation split, as the line's settings have it."""

ARMS = {
    "the default nets": PROBED_NETS,
    "Lite0 alone": "tf_efficientnet_lite0",
    "Lite0 + Lite1 + Lite2": "tf_efficientnet_lite0+tf_efficientnet_lite1+tf_efficientnet_lite2",
}


@dataclass(frozen=True)
class Arm:
    """Results of some nets.

    Attributes:
        accuracy: float64 [divisions].
        log_loss: float64 [divisions], in nats.
        cpu_s: CPU seconds to compute the features of all photos, decoding included.
    """

    accuracy: np.ndarray
    log_loss: np.ndarray
    cpu_s: float


def measure(scratch: Path) -> Result:
    """Fit the recipe ``probe`` on each division, and test it on the fifth that was held back."""
    if not copy_photos(scratch / "photos"):
        return Result(skipped=MISSING)
    paths = sorted((scratch / "photos").rglob("*.jpg"))
    photos = [(path.parent.name, path.read_bytes()) for path in paths]
    groups = groups_of([data for _, data in photos])
    arms = {name: measured(photos, nets, groups) for name, nets in ARMS.items()}
    default, *others = arms.values()
    measurements = [
        Measurement(
            what=f"accuracy of the default, mean of {REPEATS * FOLDS} divisions",
            value=100 * float(default.accuracy.mean()),
            unit="%",
            bound="at least",
            limit=92,
        )
    ]
    for name, arm in zip(list(ARMS)[1:], others, strict=True):
        difference = 100 * (arm.accuracy - default.accuracy)
        measurements.append(
            Measurement(
                what=f"{name}: accuracy less that of the default, ± {corrected_error(difference):.2f}",
                value=float(difference.mean()),
                unit="points",
            )
        )
    return Result(measurements=measurements, notes=[*_notes(arms, len(set(groups)))])


def _notes(arms: Mapping[str, Arm], groups: int) -> list[str]:
    default = next(iter(arms.values()))
    error = corrected_error(100 * default.accuracy)
    said = [
        f"{name}: accuracy {arm.accuracy.mean():.1%}, log-loss {arm.log_loss.mean():.3f}, "
        f"{arm.cpu_s:.0f} CPU seconds for the features of all photos"
        for name, arm in arms.items()
    ]
    return [
        f"{groups:,} groups of photos that show the same picture; {FOLDS} folds of groups, {REPEATS} "
        "times. ± is the corrected resampled standard error (Nadeau and Bengio 2003); that of the "
        f"default's accuracy is {error:.2f} points.",
        "; ".join(said) + ".",
    ]


def measured(photos: Sequence[tuple[str, bytes]], nets: str, groups: Mapping[str, str]) -> Arm:
    """Fit and test some nets on every division.

    Args:
        photos: the class and the file of each photo.
        nets: as the setting ``architecture`` has them.
        groups: group by sha256.
    """
    began = time.process_time()
    images = photo_features(photos, nets)
    cpu_s = time.process_time() - began
    of_group = np.array([groups[sha] for sha in images.sha256.tolist()])
    results = [
        tested(images, of_group, nets, repeat, fold)
        for repeat in range(REPEATS)
        for fold in range(FOLDS)
    ]
    accuracy, log_loss = np.array(results).T
    return Arm(accuracy, log_loss, cpu_s)


def tested(
    images: Scenes, groups: np.ndarray, nets: str, repeat: int, fold: int
) -> tuple[float, float]:
    """Fit on one division as a training job does; return accuracy and log-loss on its test split.

    Args:
        images: features and targets.
        groups: str [n], group of each image.
        nets: that computed the features.
        repeat: seed of the order of the groups.
        fold: that is the test split.
    """
    from scipy.special import log_softmax

    from training.config import Hyperparameters
    from training.fitting.architectures import build
    from training.fitting.probe import fit_probe

    names = np.random.default_rng(repeat).permutation(np.unique(groups))
    held, others = names[fold::FOLDS], np.delete(names, np.s_[fold::FOLDS])
    val = others[: round(VALIDATION_SHARE * len(others))]
    net = build(Hyperparameters(architecture=nets, weights="none"), len(images.labels))
    is_test, is_val = np.isin(groups, held), np.isin(groups, val)
    fit_probe(
        net,
        task="single_label",
        train=_known(images, groups, ~is_test & ~is_val),
        val=_known(images, groups, is_val),
        progress=lambda done, total: None,
        report=lambda numbers: None,
        bf16=False,
    )
    weight, bias = (value.detach().numpy() for value in (net.head.weight, net.head.bias))
    logits = images.features[is_test] @ weight.T + bias
    targets = images.targets[is_test]
    losses = -log_softmax(logits, axis=1)[np.arange(len(targets)), targets]
    return float((logits.argmax(1) == targets).mean()), float(losses.mean())


def _known(images: Scenes, groups: np.ndarray, chosen: np.ndarray) -> "LabelledImages":
    """Return images of which only the features are known."""
    from training.data.data import LabelledImages

    rows = pa.table({"sha256": images.sha256[chosen], "group_id": groups[chosen]})
    features = images.features[chosen].astype(np.float16)
    pixels = np.zeros((len(features), 1, 1, 3), np.uint8)
    return LabelledImages(pixels, images.targets[chosen], rows, features=features)


def groups_of(photos: Sequence[bytes]) -> dict[str, str]:
    """Group photos that show the same picture, as the line does: group by sha256."""
    import hashlib

    from training.groups.fingerprint import fingerprint
    from training.groups.groups import GROUPS_SCHEMA, assign_groups, current_rows
    from training.images.images import decode, inspect

    files = {hashlib.sha256(data).hexdigest(): data for data in photos}
    hashes = np.array([inspect(data).phash for data in files.values()], np.uint64)
    new = pa.table({"sha256": list(files), "phash": pa.array(hashes)})

    def fingerprints(wanted: Sequence[str]) -> dict[str, bytes]:
        return {sha: fingerprint(decode(files[sha])) for sha in wanted}

    known = GROUPS_SCHEMA.empty_table()
    rows = current_rows(assign_groups(known, new, max_distance=4, fingerprints=fingerprints))
    return dict(zip(rows["sha256"].to_pylist(), rows["group_id"].to_pylist(), strict=True))


def corrected_error(values: np.ndarray) -> float:
    """Return the corrected resampled standard error of a mean over divisions of the same images.

    Nadeau and Bengio (2003), Inference for the Generalization Error: the divisions share images, so
    the variance is that of independent ones times 1 + n · test / training.
    """
    shares = 1 / FOLDS / (1 - 1 / FOLDS)
    return float(np.sqrt((1 / len(values) + shares) * values.var(ddof=1)))

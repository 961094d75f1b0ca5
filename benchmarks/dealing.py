"""Dealing images to the splits: how many data sets a class without a split blocks, and how far scores on the test split are from those of all images."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.result import Measurement, Result
from training.groups.dealing import SPLITS, Group, Tally, deal
from training.groups.groups import at_place, founders_split, place_of

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}
FLOORS = {"train": 2, "val": 1, "test": 1}
"""The defaults under [gates] in imgclf.toml; validation has no setting."""

SETS = ((2, 4), (10, 4), (200, 4), (2, 10), (6, 20), (10, 20), (37, 30), (100, 30), (200, 30))
"""Classes, and images of each."""
SIMULATED = 40_000
"""Total images of the simulated data sets of a size; at least 20 sets."""

SIZES = (4, 6, 10, 16, 25, 40, 60, 100, 250, 500)
"""Images of the ten classes for which scores are compared."""
WORLDS = 300

GIVEN = ((6, 8, 4), (10, 3, 1), (10, 20, 10), (37, 10, 100))
"""Classes, and images per class in a source's training and test set."""


def measure(scratch: Path) -> Result:
    """Simulate data sets of each size, with batches of three kinds and, as the peer, by the hash
    alone."""
    rows = [_blocked_row(classes, images) for classes, images in SETS]
    return Result(
        measurements=[
            *(row for part in rows for row in part),
            *(_given_row(*sizes) for sizes in GIVEN),
            *_score_rows(),
        ],
        peer="each image's split is the hash of its bytes alone, as it was up to 884d3c5; the same "
        "images and the same floors",
        notes=[
            f"A data set is blocked if a class has fewer than {FLOORS['train']} images in train, "
            "or none in validation or test. Each image is a near-duplicate group of its own. "
            f"{SIMULATED:,} images in data sets of each size, 20 sets at least.",
            "At once: in one batch. One by one: in random order, a batch each. Class by class: a "
            "batch each.",
            "Given: a source brings a training and a test set (--keep-splits), and validation is dealt "
            "out of the training set, in one batch.",
            f"Scores: {WORLDS} worlds of ten classes of {', '.join(map(str, SIZES))} images. Each "
            "class and each image has a difficulty of its own, and images that come later are "
            "harder; a model is right or wrong on each image accordingly. Error is the score on "
            "the test split minus the score on all images. The mean of it is the bias; accuracy "
            "on a stratified test split counts small classes more than their share.",
        ],
    )


def _blocked_row(classes: int, images: int) -> list[Measurement]:
    sets = max(20, SIMULATED // (classes * images))
    ways = {"at once": at_once, "one by one": one_by_one, "class by class": by_class}
    blocked = dict.fromkeys([*ways, "hash"], 0)
    for number in range(sets):
        groups = [
            Group(_sha(f"{number} {label} {image}"), {f"{label:03}": 1})
            for label in range(classes)
            for image in range(images)
        ]
        for name, way in {**ways, "hash": by_hash}.items():
            blocked[name] += is_blocked(way(groups), groups)
    return [
        Measurement(
            what=f"{classes} classes of {images} images, {name}: blocked",
            value=100 * blocked[name] / sets,
            unit="%",
            limit=0,
            peer=100 * blocked["hash"] / sets,
        )
        for name in ways
    ]


def _given_row(classes: int, train: int, test: int) -> Measurement:
    sets = max(20, SIMULATED // (classes * (train + test)))
    blocked = {"ours": 0, "hash": 0}
    for number in range(sets):
        groups = [
            Group(_sha(f"{number} {label} {among} {image}"), {f"{label:03}": 1}, among)
            for label in range(classes)
            for among, images in ((("train", "val"), train), (("test",), test))
            for image in range(images)
        ]
        blocked["ours"] += is_blocked(at_once(groups), groups)
        blocked["hash"] += is_blocked(by_hash(groups), groups)
    return Measurement(
        what=f"{classes} classes, {train} images given to training and {test} to test: blocked",
        value=100 * blocked["ours"] / sets,
        unit="%",
        limit=0,
        peer=100 * blocked["hash"] / sets,
    )


def at_once(groups: Sequence[Group]) -> Tally:
    """Assign all groups in one batch."""
    tally = Tally()
    deal(groups, tally, SHARES)
    return tally


def one_by_one(groups: Sequence[Group]) -> Tally:
    """Assign each group in its own batch, in an order independent of the classes."""
    tally = Tally()
    for group in sorted(groups, key=lambda group: _sha(group.group_id)):
        deal([group], tally, SHARES)
    return tally


def by_class(groups: Sequence[Group]) -> Tally:
    """Assign one class after another."""
    tally = Tally()
    for name in sorted({name for group in groups for name in group.classes}):
        deal([group for group in groups if name in group.classes], tally, SHARES)
    return tally


def by_hash(groups: Sequence[Group]) -> Tally:
    """The peer: assign each image by its hash."""
    tally = Tally()
    for group in groups:
        shares = {split: SHARES[split] for split in group.among}
        tally.add(group.classes, at_place(place_of(group.group_id), shares))
    return tally


def is_blocked(tally: Tally, groups: Sequence[Group]) -> bool:
    """Whether a class has fewer images than a floor."""
    names = {name for group in groups for name in group.classes}
    return any(tally.images[name][split] < FLOORS[split] for name in names for split in SPLITS)


# --- scores on the test split --------------------------------------------------------------


def _score_rows() -> list[Measurement]:
    errors = {way: np.array([_errors(way, seed) for seed in range(WORLDS)]) for way in _WAYS}
    peer = errors.pop("hash")
    rows = []
    for place, score in enumerate(("accuracy", "mean recall of the classes")):
        for way, found in errors.items():
            known, its = found[:, place], peer[:, place]
            known, its = known[~np.isnan(known)], its[~np.isnan(its)]
            rows += [
                Measurement(
                    what=f"{score}, {way}: bias of the test split",
                    value=abs(float(known.mean())),
                    unit="points",
                    limit=3.0,
                    peer=abs(float(its.mean())),
                ),
                Measurement(
                    what=f"{score}, {way}: root mean square error",
                    value=float(np.sqrt((known**2).mean())),
                    unit="points",
                    peer=float(np.sqrt((its**2).mean())),
                ),
            ]
    return rows


def _errors(way: str, seed: int) -> tuple[float, float]:
    """Errors of accuracy and mean recall on the test split, in percentage points."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(SIZES)), SIZES)
    when = rng.random(len(labels))
    ease = rng.normal(1.5, 0.7, len(SIZES))[labels] + rng.normal(0, 1, len(labels)) - when
    right = rng.random(len(labels)) < 1 / (1 + np.exp(-ease))
    groups = [
        Group(_sha(f"{seed} {number}"), {f"{label:03}": 1})
        for number, label in enumerate(labels.tolist())
    ]
    test = _WAYS[way](groups, when)
    recall = [right[labels == label].mean() for label in range(len(SIZES))]
    there = [label for label in range(len(SIZES)) if (test & (labels == label)).any()]
    tested = [right[test & (labels == label)].mean() for label in there]
    return (
        100 * float(right[test].mean() - right.mean()),
        100 * float(np.mean(tested) - np.mean(recall)),
    )


def _dealt_at_once(groups: Sequence[Group], when: np.ndarray) -> np.ndarray:
    found = deal(groups, Tally(), SHARES)
    return np.array([found[group.group_id] == "test" for group in groups])


def _dealt_one_by_one(groups: Sequence[Group], when: np.ndarray) -> np.ndarray:
    tally, found = Tally(), np.zeros(len(groups), bool)
    for place in np.argsort(when).tolist():
        group = groups[place]
        found[place] = deal([group], tally, SHARES)[group.group_id] == "test"
    return found


def _hashed(groups: Sequence[Group], when: np.ndarray) -> np.ndarray:
    return np.array([founders_split(group.group_id, SHARES) == "test" for group in groups])


_WAYS: dict[str, Callable[[Sequence[Group], np.ndarray], np.ndarray]] = {
    "at once": _dealt_at_once,
    "one by one": _dealt_one_by_one,
    "hash": _hashed,
}


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

"""When to train again: what the newest data set has that the model was not trained on."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import dagster as dg
import numpy as np
import pyarrow as pa

from assets.annotations.label_index import LabelledView
from assets.dataset.versions import dataset_prefix, read_dataset_manifest
from assets.policies import RetrainPolicy
from assets.records.materializations import newest_materialization
from assets.records.trained_model import TrainedModelRecord
from labelling.columns import (
    LabelLists,
    labels_by_image,
    labels_table_of,
    of_images,
    positions,
    relabelled,
)
from labelling.labels.schema import NONE_OF_THEM
from labelling.report.words import count
from object_store.store import ObjectStore

SHARE_FLOOR = 5
"""New images of a class before their share of the class counts: of a class of ten images, every
single label would be a tenth.
"""

Labels = Mapping[str, Sequence[str]]
"""Image (sha256) to its labels."""


@dataclass(frozen=True)
class Retraining:
    """Whether a training is due.

    Attributes:
        due_at: time from which on it is due, seconds since the epoch; ``None``: nothing to train.
        reason: why, or what is missing.
    """

    due_at: float | None
    reason: str

    @property
    def sentence(self) -> str:
        """The reason as part of a sentence, for people."""
        return f"a training is {self.reason}" if self.reason.startswith("due: ") else self.reason

    def is_due(self, now: float) -> bool:
        """Whether it is due at ``now``, in seconds since the epoch."""
        return self.due_at is not None and self.due_at <= now


def decide_retraining(
    trained: Labels | None,
    newest: Labels,
    origins: Mapping[str, tuple[str, datetime]],
    policy: RetrainPolicy,
    now: float,
) -> Retraining:
    """Decide whether to train on ``newest``; pure.

    Args:
        trained: labels of the data set that the model was trained on; ``None``: there is no model.
        newest: labels of the newest data set.
        origins: image (sha256) to the source and time of its label, or of its withdrawal.
        policy: how many labels of annotators are enough.
        now: seconds since the epoch.
    """
    if trained is None:
        return Retraining(now, "due: nothing was trained yet")
    changed = _changed(trained, newest)
    if not changed:
        return Retraining(None, "no new labels since the last training")
    origins = of_images(origins, changed)
    waiting = [image for image in changed if origins.get(image, ("", None))[0] == "label_studio"]
    if others := len(changed) - len(waiting):
        return Retraining(
            now,
            f"due: {count(others, 'image was', 'images were')} added, removed or relabelled by an "
            "ingest or imgclf labels",
        )
    was, is_now = of_images(trained, waiting), of_images(newest, waiting)
    label, new, share = _most_changed(waiting, was, is_now, _images_of_classes(trained))
    so_far = (
        f"{len(waiting)} of {policy.new_labels} new labels, {new} of {label} ({share:.0%} of its "
        f"former number); {policy.new_labels}, or {policy.share_of_class:.0%} of a class, start a "
        "training"
    )
    if len(waiting) >= policy.new_labels or (new >= SHARE_FLOOR and share >= policy.share_of_class):
        return Retraining(now, f"due: {so_far}")
    oldest = min(origins[image][1] for image in waiting).timestamp()
    due_at, hours = oldest + policy.max_age_h * 3600, max(now - oldest, 0) / 3600
    due = "due: " if due_at <= now else ""
    age = f"the oldest has waited {hours:.1f} of {policy.max_age_h:g} h"
    return Retraining(due_at, f"{due}{so_far}; {age}")


def _kinds(labels: Labels, image: str) -> frozenset[str]:
    """Return the classes of an image: its labels, or "none of them"; empty if not in ``labels``."""
    given = labels.get(image)
    return frozenset() if given is None else frozenset(given or (NONE_OF_THEM,))


def _changed(trained: Labels, newest: Labels) -> list[str]:
    """Return the images that were added, removed, or have other classes."""
    before, after = labels_table_of(trained), labels_table_of(newest)
    numbers = dict[frozenset[str], int]()

    def kinds(rows: pa.Table) -> np.ndarray:
        lists = LabelLists.of(rows["labels"])
        sets = (frozenset(kind or (NONE_OF_THEM,)) for kind in lists.kinds)
        found = [numbers.setdefault(one, len(numbers)) for one in sets]
        return np.array(found, np.int64)[lists.codes]

    was, now = kinds(before), kinds(after)
    place = positions(after["sha256"], before["sha256"])
    known = place >= 0
    is_other = ~known
    is_other[known] = now[known] != was[place[known]]
    gone = np.ones(before.num_rows, bool)
    gone[place[known]] = False
    shas = [after["sha256"].filter(pa.array(is_other)), before["sha256"].filter(pa.array(gone))]
    return [sha for some in shas for sha in some.to_pylist()]


def _images_of_classes(labels: Labels) -> Counter[str]:
    """Count the images of each class."""
    lists = LabelLists.of(labels_table_of(labels)["labels"])
    counts = Counter[str]()
    for kind, images in zip(lists.kinds, lists.counts().tolist(), strict=True):
        for label in frozenset(kind or (NONE_OF_THEM,)):
            counts[label] += images
    return counts


def _most_changed(
    waiting: Iterable[str], trained: Labels, newest: Labels, had: Counter[str]
) -> tuple[str, int, float]:
    """Find the class with the largest share of changed images.

    A class with fewer than ``SHARE_FLOOR`` of them comes after all others.

    Returns:
        The class, its changed images, and their share of the images that it had.
    """
    new = Counter(
        label for image in waiting for label in _kinds(trained, image) ^ _kinds(newest, image)
    )
    shares = {label: count / max(had[label], 1) for label, count in new.items()}
    top = max(sorted(new), key=lambda label: (new[label] >= SHARE_FLOOR, shares[label]))
    return top, new[top], shares[top]


def dataset_labels(store: ObjectStore, version: str) -> Labels | None:
    """Return image (sha256) to labels of a data set; ``None`` if it is not in the store any more."""
    if not store.exists(f"{dataset_prefix(version)}manifest.parquet"):
        return None
    return labels_by_image(read_dataset_manifest(store, version))


def retraining(
    instance: dg.DagsterInstance,
    store: ObjectStore,
    newest_version: str,
    view: LabelledView,
    policy: RetrainPolicy,
    *,
    fresh: Iterable[str] = (),
) -> Retraining:
    """Decide whether to train on data set ``newest_version``.

    Args:
        instance: the Dagster instance, for the newest ``trained_model``.
        store: has the data sets.
        newest_version: data set version.
        view: the labels that count now.
        policy: how many labels of annotators are enough.
        fresh: images (sha256) labelled since that data set was made, counted as if in it.
    """
    now = time.time()
    model = newest_materialization(instance, store, TrainedModelRecord)
    trained = dataset_labels(store, model.dataset_version) if model else None
    newest = dataset_labels(store, newest_version) or {}
    disputed = {row["sha256"] for row in view.conflicts}
    if fresh := set(fresh):
        newest = relabelled(newest, fresh, of_images(view.labels, fresh - disputed))
    found = decide_retraining(trained, newest, view.origins, policy, now)
    if found.due_at is None and model and model.dataset_version != newest_version:
        return Retraining(now, "due: splits, task or the order of the labels changed")
    return found

"""Builds the pool that the labelling queue chooses from, out of the store's tables."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.annotations.label_index import LabelledView
from assets.dataset.versions import SPLITS
from assets.model.feature_store import (
    EmbeddedModel,
    embedded_model,
    read_probabilities,
)
from assets.model.models_in_use import ModelInUse
from assets.policies import LabellingPolicy
from labelling.labels.consensus import newest_snapshots
from labelling.labels.corrections import (
    CORRECTIONS_PREFIX,
    Correction,
    CorrectionError,
    parse_correction,
    parse_correction_key,
)
from labelling.labels.schema import LabelSchema, in_words
from labelling.selection.pool import TRAIN, Pool
from object_store.store import ObjectStore
from object_store.transfer import get_many

PACE_DAYS = 7


@dataclass(frozen=True)
class Images:
    """The images that may be labelled.

    Attributes:
        keys: sha256 to key of each readable image, in order of sha256.
        splits: sha256 to ``train``, ``val``, ``test`` or ``excluded``.
        groups: sha256 to near-duplicate group.
    """

    keys: dict[str, str]
    splits: dict[str, str]
    groups: dict[str, str]

    @classmethod
    def of(cls, images: pa.Table, groups: pa.Table) -> "Images":
        """Build it from the usable images (sorted by sha256) and the rows of groups, all with a split."""
        rows = {row["sha256"]: row for row in groups.to_pylist()}
        keys = dict(zip(images["sha256"].to_pylist(), images["key"].to_pylist(), strict=True))
        return cls(
            keys=keys,
            splits={sha: rows[sha]["split"] for sha in keys},
            groups={sha: rows[sha]["group_id"] for sha in keys},
        )


@dataclass(frozen=True)
class Doubts:
    """Label conflicts and users' corrections, by image (sha256).

    Attributes:
        conflicts: the contradicting labels, as text.
        corrections: the labels that a user of the predictor gave.
    """

    conflicts: dict[str, str]
    corrections: dict[str, tuple[str, ...]]

    @property
    def images(self) -> set[str]:
        """Images (sha256) with a conflict or a correction."""
        return {*self.conflicts, *self.corrections}

    def without(self, images: Collection[str]) -> "Doubts":
        """Return the doubts about other images than ``images``."""
        return Doubts(
            {sha: why for sha, why in self.conflicts.items() if sha not in images},
            {sha: labels for sha, labels in self.corrections.items() if sha not in images},
        )

    def of(self, images: Collection[str]) -> dict[str, str]:
        """Return a sentence about each of ``images`` in doubt: its conflict, else its correction."""
        corrected = {
            sha: f"a user of the predictor says: {in_words(labels)}"
            for sha, labels in self.corrections.items()
        }
        contradicted = {
            sha: f"its labels contradict each other: {why}" for sha, why in self.conflicts.items()
        }
        return {
            sha: why for sha, why in sorted((corrected | contradicted).items()) if sha in images
        }


def skipped_images(rows: pa.Table) -> set[str]:
    """Return the images that an annotator skipped and nobody labelled; they are not queued again."""
    rows = newest_snapshots(rows)
    standing = rows.filter(pc.invert(pc.fill_null(rows["cancelled"], False)))
    skips = pc.fill_null(standing["skipped"], False)
    skipped = set(standing.filter(skips)["sha256"].to_pylist())
    return skipped - set(standing.filter(pc.invert(skips))["sha256"].to_pylist())


def labels_per_day(rows: pa.Table, now: datetime) -> float:
    """Return the number of images labelled in Label Studio a day, in the last week.

    The days count from the first label of that week, at least one.
    """
    rows = newest_snapshots(rows)
    begin = now - timedelta(days=PACE_DAYS)
    theirs = pc.and_(
        pc.equal(rows["source"], "label_studio"), pc.invert(pc.fill_null(rows["cancelled"], False))
    )
    recent = pc.and_(theirs, pc.greater(rows["annotated_at"], pa.scalar(begin)))
    rows = rows.filter(recent)
    if not rows.num_rows:
        return 0.0
    days = (now - pc.min(rows["annotated_at"]).as_py()) / timedelta(days=1)
    return pc.count_distinct(rows["sha256"]).as_py() / max(days, 1.0)


def queue_length(policy: LabellingPolicy, pace: float) -> int:
    """Return the number of open tasks for annotators of ``pace`` (labels per day)."""
    return min(max(ceil(pace * policy.days_ahead), policy.batch_min), policy.batch_max)


def find_doubts(
    store: ObjectStore, view: LabelledView, images: Images, warn: Any = lambda text: None
) -> Doubts:
    """Find label conflicts, and corrections that are newer than the image's last statement.

    Corrections of validation and test images are ignored: users correct what a model got wrong, so
    those splits would become harder than the population (see ``labelling.selection.reviews``).

    Args:
        store: has the corrections.
        view: the labels that count, and the conflicts.
        images: the images that may be labelled.
        warn: called with a message about each object under ``corrections/`` that is no correction.
    """
    conflicts = {
        row["sha256"]: f"{in_words(row['labels_a'])} and {in_words(row['labels_b'])}"
        for row in view.conflicts
        if row["sha256"] in images.keys
    }
    corrections = {}
    for correction in _newest_corrections(store, images, warn):
        answered = view.origins.get(correction.sha256)
        if answered is None or answered[1] < correction.corrected_at:
            named = (view.aliases.get(label, label) for label in correction.labels)
            corrections[correction.sha256] = tuple(dict.fromkeys(named))
    return Doubts(conflicts, corrections)


def _newest_corrections(store: ObjectStore, images: Images, warn: Any) -> list[Correction]:
    newest: dict[str, tuple[int, str]] = {}
    for info in store.list(CORRECTIONS_PREFIX):
        try:
            sha, moment, _ = parse_correction_key(info.key)
        except CorrectionError as error:
            warn(str(error))
            continue
        if images.splits.get(sha) == TRAIN:  # not indexed yet: next time
            newest[sha] = max(newest.get(sha, (0, "")), (moment, info.key))
    found = []
    for key, data in get_many(store, sorted(key for _, key in newest.values())):
        try:
            if data is not None:
                found.append(parse_correction(data, key))
        except CorrectionError as error:
            warn(str(error))
    return found


@dataclass(frozen=True)
class Opinions:
    """The models whose predictions the queue uses.

    Attributes:
        backbone: the backbone whose features are used; empty: there are none.
        first: the model whose predictions annotators see (production's, if there is one).
    """

    backbone: str
    first: EmbeddedModel | None = None

    @classmethod
    def of(cls, store: ObjectStore, models: Sequence[ModelInUse], pretrained: str) -> "Opinions":
        """Build it from the models in use that have predicted images.

        Args:
            store: has the models' records.
            models: models in use, the first one first.
            pretrained: backbone to use if no model has predicted anything; empty: none.
        """
        known = [embedded_model(store, model.model_version) for model in models]
        first = next((model for model in known if model is not None), None)
        return cls(first.backbone, first) if first else cls(pretrained)


def build_pool(
    store: ObjectStore,
    images: Images,
    view: LabelledView,
    opinions: Opinions,
    doubts: Doubts,
    schema: LabelSchema,
    *,
    leave_out: Collection[str],
    limit: int,
    only: Collection[str] | None = None,
) -> Pool:
    """Build the pool: images without a label, in a split, not in ``leave_out``.

    Args:
        store: has the probabilities.
        images: the images that may be labelled.
        view: the labels that count.
        opinions: the models in use.
        doubts: label conflicts and corrections.
        schema: label schema, used if there is no model.
        leave_out: images (sha256) that have a task, were skipped, or cannot be shown.
        limit: most images of the pool; of more, those of the lowest sha256, which have been
            embedded.
        only: restrict the pool to these images (sha256); ``None``: no restriction.
    """
    left = (sha for sha in images.keys if sha not in view.labels and sha not in leave_out)
    free = [sha for sha in left if images.splits[sha] in SPLITS and (only is None or sha in only)]
    shas = free[:limit]
    first = opinions.first
    if first:
        labels = first.labels
    else:
        learnt = (view.labels[sha] for sha in view.labels if images.splits.get(sha) == TRAIN)
        labels = schema.names or tuple(sorted({label for given in learnt for label in given}))
    return Pool(
        sha256=np.array(shas, dtype=np.str_),
        split=np.array([images.splits[sha] for sha in shas], dtype=np.str_),
        group=np.array([images.groups[sha] for sha in shas], dtype=np.str_),
        probabilities=read_probabilities(store, first, shas) if first else None,
        labels=labels,
        task=first.task if first else schema.task,
        conflicts=doubts.conflicts,
        corrections=doubts.corrections,
        labelled_groups=frozenset(
            images.groups[sha] for sha in view.labels if sha in images.groups
        ),
        thresholds=first.thresholds if first else {},
        splits={sha: images.splits[sha] for sha in doubts.corrections},
    )


def now_utc() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)

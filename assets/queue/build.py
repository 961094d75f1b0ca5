"""Choosing a batch of images for the annotators, and its model predictions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from assets.annotations.label_index import LabelledView
from assets.dataset.versions import SPLITS
from assets.model.feature_store import EmbeddedModel, read_probabilities
from assets.policies import LabellingPolicy
from assets.queue.ledger import QueueBatch, QueuedImage, batch_id
from assets.queue.pool import Doubts, Images, Opinions, build_pool
from labelling.labels.schema import LabelSchema
from labelling.selection.choose import choose
from labelling.selection.pool import Choice
from labelling.selection.reviews import REVIEWED
from object_store.store import ObjectStore
from training.artefact.predictor import decide

TOP_UP_SHARE = 0.2
"""The queue is filled up when at least this share of it is missing. Small batches would be less
diverse, and each choice reads the whole pool.
"""

PROBABILITIES_KEPT = 20
"""Probabilities kept of each image, the highest: a task with a thousand would be too large."""

KEEP_THEIR_PLACE = {"exploration", *REVIEWED}
"""Reasons of open tasks that keep their priority under a new model: randomly drawn images would
otherwise come last, and images in doubt stay first.
"""


@dataclass(frozen=True)
class Situation:
    """The state from which the queue is decided.

    Attributes:
        images: the images that may be labelled.
        view: the labels that count.
        opinions: the models in use.
        doubts: label conflicts and corrections.
        pace: labels per day.
        wanted: open tasks that this pace requires.
        now: time of the choice, UTC.
        skipped: images that annotators skipped.
        open: images with an open task.
        done: images with a task that was labelled or skipped.
        hidden: image (sha256) to key, of images that Label Studio cannot show.
    """

    images: Images
    view: LabelledView
    opinions: Opinions
    doubts: Doubts
    pace: float
    wanted: int
    now: datetime
    skipped: Collection[str] = ()
    open: Collection[str] = ()
    done: Collection[str] = ()
    hidden: Mapping[str, str] = field(default_factory=dict)

    @property
    def with_task(self) -> set[str]:
        """Images that have a task in Label Studio."""
        return {*self.open, *self.done}

    @property
    def closed(self) -> set[str]:
        """Images that are not queued (again): they have a task, were skipped, or cannot be shown."""
        return {*self.with_task, *self.skipped, *self.hidden}

    @property
    def fresh_doubts(self) -> Doubts:
        """Doubts about images that can still be queued."""
        return self.doubts.without(self.closed)

    @property
    def left(self) -> set[str]:
        """Images in a split that are unlabelled and can still be queued."""
        known = {*self.closed, *self.view.labels}
        splits = self.images.splits
        return {sha for sha in self.images.keys if sha not in known and splits[sha] in SPLITS}

    @property
    def missing(self) -> int:
        """Number of tasks to add now; 0 if too few are missing (``TOP_UP_SHARE``)."""
        lacking = max(0, self.wanted - len(self.open))
        return lacking if lacking >= max(1, TOP_UP_SHARE * self.wanted) else 0

    def urgent(self, limit: int) -> int:
        """Return the number of new doubts to add now, whatever the length of the queue.

        It is all of them, as long as no more than ``limit`` doubts are open.
        """
        waiting = len(self.doubts.images & set(self.open))
        return min(len(self.fresh_doubts.images), max(0, limit - waiting))


def choose_batch(
    store: ObjectStore, situation: Situation, policy: LabellingPolicy, schema: LabelSchema
) -> QueueBatch | None:
    """Choose the next batch of images to label.

    Args:
        store: has the probabilities.
        situation: the state from which the queue is decided.
        policy: sizes of the queue, share of random images, limit of the pool.
        schema: label schema, used if there is no model.

    Returns:
        The batch, not written yet; ``None`` if the queue is long enough or no image is left.
    """
    size, urgent = situation.missing, situation.urgent(policy.batch_max)
    if not size + urgent:
        return None
    opinions, doubts = situation.opinions, situation.fresh_doubts
    pool = build_pool(
        store,
        situation.images,
        situation.view,
        opinions,
        doubts,
        schema,
        leave_out=situation.closed,
        limit=policy.pool_limit,
        only=None if size else doubts.images,  # the other images need not be read
    )
    choices = choose(
        pool,
        size,
        exploration_share=policy.exploration_share,
        seed=len(situation.with_task),
        doubts=urgent,
    )
    if not choices:
        return None
    images = [choice.sha256 for choice in choices]
    predicted = predictions(store, opinions.first, images, situation.view.aliases)
    version = opinions.first.model_version if opinions.first else ""
    return QueueBatch(
        batch=batch_id([choice.sha256 for choice in choices], version),
        created_at=situation.now,
        model_version=version,
        backbone=opinions.backbone,
        pace=round(situation.pace, 1),
        wanted=situation.wanted,
        open=len(situation.open),
        images=tuple(_queued(choice, situation.images, predicted) for choice in choices),
    )


@dataclass(frozen=True)
class StoredPrediction:
    """A model's prediction of an image: its labels, and its highest probabilities by label."""

    labels: tuple[str, ...]
    probabilities: dict[str, float]


def predictions(
    store: ObjectStore,
    model: EmbeddedModel | None,
    images: Sequence[str],
    aliases: Mapping[str, str] | None = None,
) -> dict[str, StoredPrediction]:
    """Return a model's stored predictions of images, under the present names of the classes.

    An image for which a multi_label model predicts no label gets the most likely one: Label Studio
    requires a label in a prediction, and orders tasks by their predictions.

    Args:
        store: has the probabilities.
        model: the model's record; ``None``: no predictions.
        images: images (sha256).
        aliases: former name of a class to its present one.

    Returns:
        Image (sha256) to prediction, of the images that have one.
    """
    if model is None or not images:
        return {}
    rows = read_probabilities(store, model, images)
    known = np.flatnonzero(np.isfinite(rows).all(axis=1))
    decided = decide(rows[known], model.labels, model.thresholds)
    called = aliases or {}
    found = {}
    for place, labels in zip(known.tolist(), decided, strict=True):
        best = np.argsort(-rows[place], kind="stable")[:PROBABILITIES_KEPT]
        shown: dict[str, float] = {}
        for index in best:
            label = called.get(model.labels[index], model.labels[index])
            # single_label: the probabilities of merged classes add up; multi_label: the maximum.
            merged = 0.0 if model.thresholds else shown.get(label, 0.0)
            shown.setdefault(label, 0.0)
            shown[label] = max(shown[label], round(float(rows[place, index]) + merged, 4))
        means = tuple(dict.fromkeys(called.get(label, label) for label in labels))
        found[images[place]] = StoredPrediction(means or (next(iter(shown)),), shown)
    return found


def ranked_again(
    store: ObjectStore,
    situation: Situation,
    queued: Mapping[str, QueuedImage],
    policy: LabellingPolicy,
    schema: LabelSchema,
) -> dict[str, float]:
    """Rank the open images under the present model.

    Images with a reason in ``KEEP_THEIR_PLACE``, and those with a label, keep their priority. The
    others are ranked among themselves and share out the priorities that they had.

    Args:
        store: has the probabilities.
        situation: the state from which the queue is decided.
        queued: open image (sha256) to its entry in the ledger.
        policy: limit of the pool.
        schema: label schema, used if there is no model.

    Returns:
        Image (sha256) to priority in [0, 1]; the lower, the sooner.
    """
    kept = {sha: image.priority for sha, image in queued.items()}
    chosen = {
        sha
        for sha, image in queued.items()
        if image.reason not in KEEP_THEIR_PLACE and sha not in situation.view.labels
    }
    pool = build_pool(
        store,
        situation.images,
        situation.view,
        situation.opinions,
        Doubts({}, {}),
        schema,
        leave_out=(),
        limit=policy.pool_limit,
        only=chosen,
    )
    choices = choose(pool, len(pool), exploration_share=0.0, seed=0)
    places = sorted(kept[choice.sha256] for choice in choices)
    order = sorted(choices, key=lambda choice: choice.priority)
    return kept | {choice.sha256: place for choice, place in zip(order, places, strict=True)}


def _queued(
    choice: Choice, images: Images, predicted: Mapping[str, StoredPrediction]
) -> QueuedImage:
    model = predicted.get(choice.sha256)
    return QueuedImage(
        sha256=choice.sha256,
        key=images.keys[choice.sha256],
        reason=choice.reason,
        reasons={name: round(float(score), 4) for name, score in choice.reasons.items()},
        score=round(float(choice.score), 4),
        why=choice.why,
        priority=round(float(choice.priority), 6),
        suggested=choice.suggested,
        labels=model.labels if model else (),
        probabilities=model.probabilities if model else {},
    )

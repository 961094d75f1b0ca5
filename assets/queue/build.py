"""Choosing a batch for the annotators, and what the model says of it beforehand."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from assets.annotations.label_index import LabelledView
from assets.dataset.build import SPLITS
from assets.model.feature_store import EmbeddedModel, read_probabilities
from assets.policies import LabellingPolicy
from assets.queue.ledger import QueueBatch, QueuedImage, batch_id
from assets.queue.pool import Doubts, Images, Opinions, build_pool
from labelling.labels.schema import LabelSchema
from labelling.selection.choose import choose
from labelling.selection.pool import Choice
from labelling.selection.reviews import REVIEWED
from resources.store.object_store import ObjectStore
from training.artefact.predictor import decide

TOP_UP_SHARE = 0.2
"""The queue is filled up when this much of it is missing: few at a time would be chosen worse, for
a choice spreads over the kinds of images, and each costs a look at the whole pool."""

PROBABILITIES_KEPT = 20
"""Of each image, the highest; a task with a thousand would be heavy, and nobody reads them."""

KEEP_THEIR_PLACE = {"exploration", *REVIEWED}
"""Reasons of open tasks that no other model ranks anew: what came by chance would come last, and what
is in doubt comes first."""


@dataclass(frozen=True)
class Situation:
    """What the queue is decided from.

    Attributes:
        pace: labels per day; ``wanted``: open tasks that it asks for.
        skipped: images that people skipped.
        open: images with a task that waits; ``done``: with one that was labelled or skipped.
        hidden: keys of images that Label Studio cannot show, by sha256.
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
        """Images that Label Studio knows."""
        return {*self.open, *self.done}

    @property
    def closed(self) -> set[str]:
        """Images that nobody is to be asked about any more, or can be."""
        return {*self.with_task, *self.skipped, *self.hidden}

    @property
    def fresh_doubts(self) -> Doubts:
        """Doubts about images that nobody is asked about yet."""
        return self.doubts.without(self.closed)

    @property
    def left(self) -> set[str]:
        """Images that nobody has labelled, skipped or is asked about, though somebody could be."""
        known = {*self.closed, *self.view.labels}
        splits = self.images.splits
        return {sha for sha in self.images.keys if sha not in known and splits[sha] in SPLITS}

    @property
    def missing(self) -> int:
        """Tasks to add now, if they are worth a choice."""
        lacking = max(0, self.wanted - len(self.open))
        return lacking if lacking >= max(1, TOP_UP_SHARE * self.wanted) else 0

    def urgent(self, limit: int) -> int:
        """New doubts to add now, however long the queue is: all, as long as no more than ``limit``
        wait for an answer."""
        waiting = len(self.doubts.images & set(self.open))
        return min(len(self.fresh_doubts.images), max(0, limit - waiting))


def choose_batch(
    store: ObjectStore, situation: Situation, policy: LabellingPolicy, schema: LabelSchema
) -> QueueBatch | None:
    """The next batch, or ``None`` if the queue is long enough or nothing is left to label."""
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
        only=None if size else doubts.images,  # which need no look at all the others
    )
    # With nothing to tell images apart by, every choice but chance would be a pretence.
    blind = not opinions.backbone
    choices = choose(
        pool,
        size,
        exploration_share=1.0 if blind else policy.exploration_share,
        weights=policy.weights.model_dump(),
        seed=len(situation.with_task),
        doubts=urgent,
    )
    if not choices:
        return None
    images = [choice.sha256 for choice in choices]
    said = predictions(store, opinions.first, images, situation.view.aliases)
    version = opinions.first.model_version if opinions.first else ""
    return QueueBatch(
        batch=batch_id([choice.sha256 for choice in choices], version),
        created_at=situation.now,
        model_version=version,
        backbone=opinions.backbone,
        pace=round(situation.pace, 1),
        wanted=situation.wanted,
        open=len(situation.open),
        images=tuple(_queued(choice, situation.images, said) for choice in choices),
    )


@dataclass(frozen=True)
class StoredPrediction:
    """What a model says of an image: ``probabilities`` are its highest, by label."""

    labels: tuple[str, ...]
    probabilities: dict[str, float]


def predictions(
    store: ObjectStore,
    model: EmbeddedModel | None,
    images: Sequence[str],
    aliases: Mapping[str, str] | None = None,
) -> dict[str, StoredPrediction]:
    """What ``model`` says of ``images`` (sha256), as far as it has looked at them; by the present
    names of classes that were renamed since it was trained (``aliases``).

    An image of which a multi_label model says nothing gets the likeliest label: Label Studio
    takes no prediction without one, and serves tasks by their predictions.
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
            # Of several labels each has a probability of its own; else merged classes share one.
            merged = 0.0 if model.thresholds else shown.get(label, 0.0)
            shown.setdefault(label, 0.0)
            shown[label] = max(shown[label], round(float(rows[place, index]) + merged, 4))
        means = tuple(dict.fromkeys(called.get(label, label) for label in labels))
        found[images[place]] = StoredPrediction(means or (next(iter(shown)),), shown)
    return found


def ranked_anew(
    store: ObjectStore,
    situation: Situation,
    queued: Mapping[str, QueuedImage],
    policy: LabellingPolicy,
    schema: LabelSchema,
) -> dict[str, float]:
    """The priority of each open image under the model of now: chosen among themselves, but for
    what keeps its place."""
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
    weights = policy.weights.model_dump()
    choices = choose(pool, len(pool), exploration_share=0.0, weights=weights, seed=0)
    places = sorted(kept[choice.sha256] for choice in choices)
    order = sorted(choices, key=lambda choice: choice.priority)
    return kept | {choice.sha256: place for choice, place in zip(order, places, strict=True)}


def _queued(choice: Choice, images: Images, said: Mapping[str, StoredPrediction]) -> QueuedImage:
    model = said.get(choice.sha256)
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

"""Overview of the splits, class by class, for ``imgclf splits``."""

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow.compute as pc

from assets.annotations.label_index import labelled_view
from assets.dataset.splits.generations import is_released, newest_generation, settings_changed
from assets.dataset.splits.given_splits import SPLITS, given_splits
from assets.dataset.splits.splitting import NO_CLASS, current_groups, given_too_late
from assets.policies import SplitPolicy
from labelling.labels.schema import LabelSchema
from object_store.store import ObjectStore
from training.groups.groups import EXCLUDED

SHOWN = 20


@dataclass(frozen=True)
class SplitOverview:
    """The state of the splits.

    Attributes:
        classes: class to its labelled images by split, and the number of its groups.
        images: split to number of images; ``""``: not dealt yet, as they have no label.
        groups: number of near-duplicate groups.
        largest: images of the largest group.
        excluded: reason to number of images that are in no split.
        generation: number of the generation (how often all images were dealt again).
        dealt_at: when the generation began, ISO 8601; empty: no record.
        reason: why the generation began.
        changed: settings that changed since then.
        released: whether a model was ever deployed to production.
        given: number of images with a given split.
        too_late: those of them that had been dealt to another split before.
    """

    classes: dict[str, dict[str, int]]
    images: dict[str, int]
    groups: int
    largest: int
    excluded: dict[str, int]
    generation: int
    dealt_at: str
    reason: str
    changed: list[str]
    released: bool
    given: int
    too_late: int

    def to_json(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        return asdict(self)


def split_overview(store: ObjectStore, schema: LabelSchema, policy: SplitPolicy) -> SplitOverview:
    """Summarize the splits from the tables; nothing is written.

    Args:
        store: has the tables and records.
        schema: label schema from the settings.
        policy: settings of the splits.
    """
    rows = current_groups(store)
    labels = labelled_view(store, schema).labels
    given = given_splits(store)
    dealt = newest_generation(store)
    sizes = Counter(rows["group_id"].to_pylist())
    out = rows.filter(pc.equal(rows["split"], EXCLUDED))["reason"].to_pylist()
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    groups: dict[str, set[str]] = defaultdict(set)
    columns = [rows[name].to_pylist() for name in ("sha256", "group_id", "split")]
    for sha, group_id, split in zip(*columns, strict=True):
        for label in labels.get(sha, ()) or ([NO_CLASS] if sha in labels else []):
            counts[label][split] += 1
            groups[label].add(group_id)
    return SplitOverview(
        classes={
            label: {split: counts[label][split] for split in SPLITS}
            | {"groups": len(groups[label])}
            for label in sorted(counts)
        },
        images=dict(Counter(rows["split"].to_pylist())),
        groups=len(sizes),
        largest=max(sizes.values(), default=0),
        excluded=dict(Counter(reason.partition(":")[0] for reason in out)),
        generation=dealt.generation if dealt else 0,
        dealt_at=dealt.at.isoformat() if dealt else "",
        reason=dealt.reason if dealt else "",
        changed=settings_changed(dealt.policy, policy) if dealt else [],
        released=is_released(store),
        given=len(given),
        too_late=len(given_too_late(rows, given)),
    )

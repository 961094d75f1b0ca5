"""Forecast of dealing all images of a data set again: images by class and split."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from assets.dataset.splits.splitting import NO_CLASS, Given, given_to
from assets.policies import SplitPolicy
from training.groups.dealing import SPLITS, Group, Tally, deal


def dealt_again(manifest: pa.Table, given: Given, split: SplitPolicy) -> Mapping[str, Counter[str]]:
    """Return the images of each class by split if all were dealt again; nothing is written.

    Args:
        manifest: ``sha256``, ``labels``, ``split`` and ``group_id`` of the images.
        given: given splits that would be kept.
        split: the shares.

    Returns:
        Class to split to number of images.
    """
    members: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in manifest.select(["sha256", "labels", "split", "group_id"]).to_pylist():
        members[row["group_id"]].append(row)
    groups = []
    for name, rows in sorted(members.items()):
        among, contradicted = given_to(rows, given)
        out = {row["sha256"] for row in contradicted}
        left = [row for row in rows if row["sha256"] not in out]
        classes = Counter(label for row in left for label in row["labels"] or [NO_CLASS])
        groups.append(Group(name, classes, among))
    tally = Tally()
    deal(groups, tally, {name: float(getattr(split, name)) for name in SPLITS})
    return tally.images

"""Groups and splits of the images: new images are grouped and dealt, the others keep theirs."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.annotations.label_index import LabelledView
from assets.dataset.splits.fingerprints import fingerprints_of
from assets.dataset.splits.generations import Say, current_generation, generation_number
from assets.dataset.splits.given_splits import given_splits
from assets.policies import SplitPolicy
from labelling.columns import (
    LabelLists,
    flat,
    is_true,
    labels_table_of,
    of_images,
    positions,
)
from object_store.contents.tables import Table
from object_store.store import ObjectStore
from training.groups.dealing import SPLITS, Group, Tally, deal
from training.groups.groups import (
    EXCLUDED,
    GROUPS_SCHEMA,
    assign_groups,
    current_rows,
    founders_split,
)

NO_CLASS = ""
"""Stands for the class of images that have none of the classes (multi_label)."""

Given = Mapping[str, tuple[str, tuple[str, ...]]]


def _silently(_: str) -> None:
    """Default of ``say``: ignore the message."""


def groups_table(store: ObjectStore, on_damage: Callable[[str], object] | None = None) -> Table:
    """Return the table of near-duplicate groups and their permanent splits.

    No asset passes ``on_damage``: without the lost rows an image could be dealt to another split,
    and test scores could not be compared any more. Only ``imgclf doctor --store --repair`` does,
    which restores the splits.
    """
    return Table(store, "groups", GROUPS_SCHEMA, on_damage=on_damage)


def current_groups(store: ObjectStore) -> pa.Table:
    """Return one row per grouped image, of the present generation."""
    return current_rows(groups_table(store).read(), generation_number(store))


def update_groups(
    store: ObjectStore, images: pa.Table, split: SplitPolicy, say: Say = _silently
) -> pa.Table:
    """Group every image that has no group yet.

    An image that joins a group with a split gets that split; nothing else is dealt
    (:func:`deal_groups`).

    Args:
        store: has the table of groups; gets the new rows.
        images: usable images, one row per sha256.
        split: the settings; if they changed before a release, all images are grouped again.
        say: called with each message: changed settings, progress, images that cannot be read.

    Returns:
        One row per grouped image, of the present generation.
    """
    table = groups_table(store)
    rows = table.read()
    earlier = partial(_earlier_policy, store, split) if rows.num_rows else None
    number = current_generation(store, split, earlier, say).generation
    known = current_rows(rows, number)
    is_new = positions(images["sha256"], known["sha256"]) < 0
    fresh = images.filter(pa.array(is_new, pa.bool_()))
    if not fresh.num_rows:
        return known

    def fingerprints(wanted: Sequence[str]) -> dict[str, bytes]:
        keys = dict(zip(images["sha256"].to_pylist(), images["key"].to_pylist(), strict=True))
        return fingerprints_of(store, keys, wanted, say)

    grouped = assign_groups(
        known,
        fresh.select(["sha256", "phash"]),
        max_distance=split.near_duplicate_distance,
        fingerprints=fingerprints,
    )
    grouped = _of_generation(_without_contradiction(grouped, given_splits(store)), number)
    table.append(grouped)
    table.compact()
    return current_rows(pa.concat_tables([rows, grouped]), number)


def deal_groups(
    store: ObjectStore, groups: pa.Table, view: LabelledView, split: SplitPolicy
) -> pa.Table:
    """Deal every group that has a labelled image and no split yet.

    Args:
        store: gets the new rows.
        groups: the present rows (:func:`update_groups`).
        view: the labels that count; groups are dealt by them, so that every class gets its share.
        split: the shares.

    Returns:
        ``groups`` with the new splits.
    """
    members = _waiting(groups, view)
    if not members:
        return groups
    given = given_splits(store)
    labels = _Statements.of(view, [row["sha256"] for among in members.values() for row in among])
    rows, dealing = list[dict[str, Any]](), list[Group]()
    for name in sorted(members):
        among, contradicted = given_to(members[name], given)
        rows += contradicted
        out = {row["sha256"] for row in contradicted}
        members[name] = [row for row in members[name] if row["sha256"] not in out]
        if group := _group(name, members[name], labels, among):
            dealing.append(group)
    shares = {name: float(getattr(split, name)) for name in SPLITS}
    for name, dealt in deal(dealing, _tally(groups, view), shares).items():
        rows += [row | {"split": dealt} for row in members[name]]
    number = generation_number(store)
    written = _of_generation(pa.Table.from_pylist(rows, schema=GROUPS_SCHEMA), number)
    table = groups_table(store)
    table.append(written)
    table.compact()
    return _dealt(groups, written)


def _dealt(groups: pa.Table, written: pa.Table) -> pa.Table:
    """Return ``groups`` with the splits and reasons of ``written``.

    The same as :func:`training.groups.groups.current_rows` of both, but for the order of rows.
    """
    places = np.flatnonzero(is_true(pc.is_in(groups["sha256"], value_set=flat(written["sha256"]))))
    found = positions(groups["sha256"].take(pa.array(places)), written["sha256"])
    source = np.arange(groups.num_rows)
    source[places] = groups.num_rows + found
    for name in ("split", "reason"):
        both = pa.concat_arrays([flat(groups[name]), flat(written[name])])
        place = groups.schema.get_field_index(name)
        groups = groups.set_column(place, name, both.take(pa.array(source)))
    return groups


def with_lots(groups: pa.Table, split: SplitPolicy) -> pa.Table:
    """Return the groups, those without a split with the one that chance alone would give them.

    The labelling queue uses these: which images annotators see must not depend on a model in the
    splits that models are tested on.
    """
    shares = {name: float(getattr(split, name)) for name in SPLITS}
    splits = [
        dealt or founders_split(group_id, shares)
        for group_id, dealt in zip(
            groups["group_id"].to_pylist(), groups["split"].to_pylist(), strict=True
        )
    ]
    place = groups.schema.get_field_index("split")
    return groups.set_column(place, "split", pa.array(splits, pa.string()))


def given_too_late(groups: pa.Table, given: Given) -> dict[str, tuple[str, str]]:
    """Return the images that were dealt before their source gave them another split.

    Returns:
        Image (sha256) to (given split, present split).
    """
    if not given:
        return {}
    there = groups.filter(
        pc.and_(
            pc.is_in(groups["sha256"], value_set=pa.array(list(given), pa.string())),
            pc.is_in(groups["split"], value_set=pa.array(SPLITS)),
        )
    )
    return {
        row["sha256"]: (given[row["sha256"]][0], row["split"])
        for row in there.to_pylist()
        if row["split"] not in given[row["sha256"]][1]
    }


def _waiting(groups: pa.Table, view: LabelledView) -> dict[str, list[dict[str, Any]]]:
    """Return the members of each group that has a labelled image and no split."""
    waiting = groups.filter(pc.equal(groups["split"], ""))
    if not waiting.num_rows:
        return {}
    has_label = positions(waiting["sha256"], labels_table_of(view.labels)["sha256"]) >= 0
    labelled = flat(waiting.filter(pa.array(has_label, pa.bool_()))["group_id"])
    members: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in waiting.filter(pc.is_in(waiting["group_id"], value_set=labelled)).to_pylist():
        members[row["group_id"]].append(row)
    return members


def _earlier_policy(store: ObjectStore, split: SplitPolicy) -> SplitPolicy:
    """Return the settings of an earlier version's splits, from its newest data set."""
    from assets.dataset.versions import DATASETS, read_card

    cards = [info for info in store.list(DATASETS) if info.key.endswith("/card.json")]
    for info in sorted(cards, key=lambda info: info.last_modified, reverse=True):
        with suppress(Exception):  # a damaged card is skipped
            return SplitPolicy.model_validate(
                read_card(store, info.key.split("/")[1])["split_policy"]
            )
    return split


def _of_generation(rows: pa.Table, number: int) -> pa.Table:
    column = pa.array([number] * rows.num_rows, pa.int32())
    return rows.set_column(rows.schema.get_field_index("generation"), "generation", column)


def _without_contradiction(rows: pa.Table, given: Given) -> pa.Table:
    """Exclude images that join a group of another split than the one given to them."""
    if not given:
        return rows
    found = []
    for row in rows.to_pylist():
        given_split, among = given.get(row["sha256"], ("", SPLITS))
        if row["split"] in SPLITS and row["split"] not in among:
            reason = f"given to {given_split}, near-duplicate of images in {row['split']}"
            row |= {"split": EXCLUDED, "reason": f"{reason}: group {row['group_id'][:12]}"}
        found.append(row)
    return pa.Table.from_pylist(found, schema=GROUPS_SCHEMA)


def given_to(
    members: Sequence[dict[str, Any]], given: Given
) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """Return the splits that a group may be dealt to, and the rows of the members it excludes.

    If the members' given splits differ, test precedes validation, which precedes train; members
    given to another split are excluded.
    """
    by_image = {row["sha256"]: given[row["sha256"]] for row in members if row["sha256"] in given}
    if not by_image:
        return SPLITS, []
    first = min((split for split, _ in by_image.values()), key=("test", "val", "train").index)
    among = [set(among) for split, among in by_image.values() if split == first]
    allowed = set.intersection(*among)
    out = []
    for row in members:
        split = by_image.get(row["sha256"], (first,))[0]
        if split != first:
            reason = f"given to {split}, near-duplicate of images given to {first}"
            reason = f"{reason}: group {row['group_id'][:12]}"
            out.append(row | {"split": EXCLUDED, "reason": reason})
    return tuple(one for one in SPLITS if one in allowed) or (first,), out


@dataclass(frozen=True)
class _Statements:
    """The labels of some images, and the source and time of their newest statement."""

    labels: dict[str, list[str]]
    origins: dict[str, tuple[str, datetime]]

    @classmethod
    def of(cls, view: LabelledView, images: Sequence[str]) -> "_Statements":
        """Build it for ``images`` (sha256)."""
        return cls(of_images(view.labels, images), of_images(view.origins, images))


def _group(
    name: str, members: Sequence[dict[str, Any]], statements: _Statements, among: tuple[str, ...]
) -> Group | None:
    """Return the group to deal; ``None`` if none of its images has a label."""
    labelled = [row["sha256"] for row in members if row["sha256"] in statements.labels]
    if not labelled:
        return None
    classes = Counter(label for sha in labelled for label in statements.labels[sha] or [NO_CLASS])
    asked = all(statements.origins.get(sha, ("ingest",))[0] != "ingest" for sha in labelled)
    return Group(name, classes, among, by_lot=asked)


def _tally(groups: pa.Table, view: LabelledView) -> Tally:
    """Count the labelled images that are dealt already, by class and split."""
    labelled = labels_table_of(view.labels)
    lists = LabelLists.of(labelled["labels"])
    place = positions(groups["sha256"], labelled["sha256"])
    tally = Tally()
    for split in SPLITS:
        dealt = is_true(pc.equal(groups["split"], split)) & (place >= 0)
        mine = lists.take(place[dealt])
        for kind, images in zip(mine.kinds, mine.counts().tolist(), strict=True):
            if images:
                counts = Counter(kind or [NO_CLASS])
                tally.add({name: images * each for name, each in counts.items()}, split)
    return tally

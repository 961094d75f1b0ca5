"""The present generation of splits, where its record is damaged: from what was made with it."""

from contextlib import suppress
from datetime import datetime
from typing import Any

import pyarrow.compute as pc
from pydantic import ValidationError

from assets.dataset.splits.generations import DEALT, Generation, read_generation
from assets.dataset.splits.splitting import groups_table
from assets.dataset.versions import DATASETS, read_card
from assets.policies import SplitPolicy
from object_store.contents.damage import DamagedObject
from object_store.contents.numbered import number_of
from object_store.errors import KeyMissing
from object_store.store import ObjectStore


def highest_generation(store: ObjectStore) -> int:
    """Return the number of the present generation, also if its record is damaged.

    Each record counts on from the one before it; rows of groups and cards of data sets have the
    number too.
    """
    number = -1
    for key in sorted(info.key for info in store.list(DEALT) if number_of(info.key) is not None):
        try:
            number = read_generation(store, key).generation
        except DamagedObject:
            number += 1
    return max(number, _dealt(store), *(_number(card) for card in _cards(store)), 0)


def lost_generation(store: ObjectStore, split: SplitPolicy) -> Generation | None:
    """Return what the damaged record of the present generation said, but for who asked and why.

    Args:
        store: has the records, the groups and the data sets.
        split: today's settings: those of a generation of which no image was dealt yet.

    Returns:
        ``None`` if images were dealt, and no data set tells under which settings.
    """
    number = highest_generation(store)
    if number > max(_dealt(store), *(_number(card) for card in _cards(store)), -1):
        return Generation(
            generation=number,
            at=datetime.now().astimezone(),
            policy=split,
            reason="its record was damaged; no image was dealt yet",
        )
    # The oldest: it was made in the run that dealt, and later ones may have changed settings.
    for card in sorted(_cards(store), key=lambda card: str(card.get("created_at"))):
        if _number(card) != number:
            continue
        with suppress(KeyError, ValidationError):  # a card of another version of imgclf
            return Generation(
                generation=number,
                at=card["created_at"],
                policy=SplitPolicy.model_validate(card["split_policy"]),
                reason=f"its record was damaged; data set {card['version']} has its settings",
            )
    return None


def _dealt(store: ObjectStore) -> int:
    """Return the highest generation among the readable rows of groups; -1 without rows."""
    numbers = groups_table(store, on_damage=lambda text: None).read(["generation"])["generation"]
    return int(pc.max(pc.fill_null(numbers, 0)).as_py()) if len(numbers) else -1


def _cards(store: ObjectStore) -> list[dict[str, Any]]:
    """Return the readable cards of data sets."""
    found = []
    for info in store.list(DATASETS):
        if info.key.endswith("/card.json"):
            with suppress(DamagedObject, KeyMissing):
                found.append(read_card(store, info.key.split("/")[1]))
    return found


def _number(card: dict[str, Any]) -> int:
    """Return the generation of a data set; -1 if it is unknown."""
    number = card.get("generation", 0)  # cards of earlier versions have none: it is the first, 0
    return -1 if number is None else int(number)

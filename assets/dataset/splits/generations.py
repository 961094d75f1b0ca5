"""Generations of splits: when all images were dealt again, and under which settings.

Dealing again rewrites nothing: a record under ``splits/dealt/`` begins a generation of groups and
splits, and the rows of the former one stay in the table.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict

from assets.policies import SplitPolicy
from object_store.contents.numbered import add_record, newest_key
from object_store.contents.reading import read_record
from object_store.store import ObjectStore
from serving.deployments import records_prefix

DEALT = "splits/dealt/"

Say = Callable[[str], object]


class Generation(BaseModel):
    """A time at which all images began to be dealt.

    Attributes:
        generation: its number; rows of the groups table have it.
        policy: the settings of that time.
        by: who asked for it; empty: the line itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    generation: int
    at: AwareDatetime
    policy: SplitPolicy
    reason: str
    by: str = ""


def read_generation(store: ObjectStore, key: str) -> Generation:
    """Read the record at ``key``.

    Raises:
        KeyMissing: there is none.
        DamagedObject: it cannot be read.
    """
    return read_record(store, key, Generation)


def newest_generation(store: ObjectStore) -> Generation | None:
    """Return the present generation; ``None`` if no record exists (an earlier version kept none).

    Raises:
        DamagedObject: its record cannot be read. An older one is never used in its place.
    """
    key = newest_key(store, DEALT)
    return None if key is None else read_generation(store, key)


def generation_number(store: ObjectStore) -> int:
    """Return the number of the present generation; 0 if there is no record."""
    found = newest_generation(store)
    return found.generation if found else 0


def is_released(store: ObjectStore) -> bool:
    """Whether a model was ever deployed to production."""
    return bool(store.list(records_prefix("prod")))


def begin_generation(
    store: ObjectStore, policy: SplitPolicy, reason: str, *, number: int, by: str = ""
) -> Generation:
    """Record a new generation: all images are dealt again by the next run.

    Args:
        store: gets the record.
        policy: settings of the splits.
        reason: why, for people.
        number: number of the generation.
        by: who asked for it; empty: the pipeline itself.
    """
    found = Generation(generation=number, at=datetime.now(UTC), policy=policy, reason=reason, by=by)
    add_record(store, DEALT, found.model_dump_json(indent=1).encode())
    return found


def deal_again(
    store: ObjectStore,
    policy: SplitPolicy,
    reason: str,
    *,
    by: str = "",
    number: int | None = None,
) -> Generation:
    """Begin the next generation: the next run groups and deals all images again.

    Args:
        store: gets the record.
        policy: settings of the splits.
        reason: why, for people.
        by: who asked for it; empty: the pipeline itself.
        number: number of the generation; ``None``: the one after the present, whose record must
            be readable.
    """
    if number is None:
        number = generation_number(store) + 1
    return begin_generation(store, policy, reason, number=number, by=by)


def current_generation(
    store: ObjectStore, policy: SplitPolicy, earlier: Callable[[], SplitPolicy] | None, say: Say
) -> Generation:
    """Return the generation of new images; begin one if the settings changed before any release.

    Args:
        store: has the records.
        policy: settings of the splits.
        earlier: returns the settings of splits that an earlier version dealt without a record;
            ``None``: there are no splits.
        say: called with a message if the settings changed.
    """
    found = newest_generation(store)
    if found is None:
        reason = "dealt by an earlier version" if earlier else "the first images"
        found = begin_generation(store, earlier() if earlier else policy, reason, number=0)
    if found.policy == policy:
        return found
    changed = ", ".join(settings_changed(found.policy, policy))
    if is_released(store):
        say(
            f"[split] changed since the images were dealt ({changed}). A model was released, so "
            "it applies only to new images; `imgclf splits deal-again` deals all again"
        )
        return found
    say(f"all images are dealt to the splits again: {changed}, and no model was released yet")
    return deal_again(store, policy, f"[split] changed: {changed}")


def settings_changed(before: SplitPolicy, now: SplitPolicy) -> list[str]:
    """List the settings that changed, as ``name = old → new``."""
    old, new = before.model_dump(), now.model_dump()
    return [f"{name} = {old[name]} → {new[name]}" for name in old if old[name] != new[name]]

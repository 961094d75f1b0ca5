"""When all images were dealt to the splits, and under which settings.

Dealing anew rewrites nothing: it is a record under ``splits/dealt/`` that begins a generation of
groups and splits, and the rows of the one before stay in the table.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict

from assets.policies import SplitPolicy
from resources.contents.numbered import add_record, newest_key
from resources.contents.reading import read_record
from resources.store.object_store import ObjectStore
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
    """The record at ``key``. Raises KeyMissing, DamagedObject."""
    return read_record(store, key, Generation)


def newest_generation(store: ObjectStore) -> Generation | None:
    """The generation that counts; ``None``: nothing was dealt, or only by an earlier version.

    Raises:
        DamagedObject: its record cannot be read. An older one never counts in its place.
    """
    key = newest_key(store, DEALT)
    return None if key is None else read_generation(store, key)


def generation_number(store: ObjectStore) -> int:
    """The number of the generation that counts."""
    found = newest_generation(store)
    return found.generation if found else 0


def is_released(store: ObjectStore) -> bool:
    """Whether a model ever went into production."""
    return bool(store.list(records_prefix("prod")))


def begin_generation(
    store: ObjectStore, policy: SplitPolicy, reason: str, *, number: int, by: str = ""
) -> Generation:
    """Record that all images are dealt anew from now on."""
    found = Generation(generation=number, at=datetime.now(UTC), policy=policy, reason=reason, by=by)
    add_record(store, DEALT, found.model_dump_json(indent=1).encode())
    return found


def deal_anew(store: ObjectStore, policy: SplitPolicy, reason: str, *, by: str = "") -> Generation:
    """Have the next run group and deal all images again, under ``policy``."""
    number = generation_number(store) + 1
    return begin_generation(store, policy, reason, number=number, by=by)


def current_generation(
    store: ObjectStore, policy: SplitPolicy, earlier: Callable[[], SplitPolicy] | None, say: Say
) -> Generation:
    """The generation that new images are dealt to. If the settings changed since it began and no
    model was ever released, a new one begins.

    Args:
        store: has the records.
        policy: the settings.
        earlier: if there are splits already: tells by which settings an earlier version, which
            kept no record, dealt them.
        say: told what happens and why.
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
            "only new images are dealt by it; `imgclf splits deal-anew` deals all again"
        )
        return found
    say(f"all images are dealt to the splits anew: {changed}, and no model was released yet")
    return deal_anew(store, policy, f"[split] changed: {changed}")


def settings_changed(before: SplitPolicy, now: SplitPolicy) -> list[str]:
    """Each setting that changed, as ``name = old → new``."""
    old, new = before.model_dump(), now.model_dump()
    return [f"{name} = {old[name]} → {new[name]}" for name in old if old[name] != new[name]]

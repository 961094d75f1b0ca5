"""Records of a job's attempts in the store: which SageMaker jobs belong to it.

SageMaker never lets a job's name be used again, so the n-th attempt has a name of its own:
``<job>``, ``<job>-2``, ``<job>-3``, … Under ``pipes/<job>/launches/`` lie

- ``<n>.json``, written create-only before attempt n is launched, with the key after which its Pipes
  messages begin. Of two orchestrators that launch at the same time, one writes it and both use it;
- ``<n>.taken.json``: the outputs were taken. If they are deleted later, the attempt does not count
  as complete;
- ``<n>.waited.json``: attempt n found no spot capacity in time, so the next one is on demand.
"""

import hashlib
import json
import time
from dataclasses import dataclass

from pydantic import BaseModel

from object_store.contents.reading import read_object
from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from resources.compute.pipes import last_message

_LONGEST_NAME = 63


class _Values(BaseModel):
    """The required fields of ``<n>.json``."""

    start_after: str | None


@dataclass(frozen=True)
class SageMakerLaunch:
    """One attempt of a job.

    Attributes:
        number: counted from 1.
        start_after: key of the last Pipes message before it, if any.
    """

    number: int
    start_after: str | None


def attempt_name(job: str, number: int) -> str:
    """Return the SageMaker job name of a job's n-th attempt, at most 63 characters."""
    suffix = f"-{number}" if number > 1 else ""
    if len(job) + len(suffix) <= _LONGEST_NAME:
        return job + suffix
    digest = hashlib.sha256(job.encode()).hexdigest()[:8]
    return f"{job[: _LONGEST_NAME - len(suffix) - 9].rstrip('-')}-{digest}{suffix}"


def newest_launch(store: ObjectStore, job: str) -> SageMakerLaunch | None:
    """Return the last recorded attempt; ``None`` if there is none."""
    numbers = [int(info.key[-11:-5]) for info in store.list(_prefix(job)) if _is_launch(info.key)]
    return read_launch(store, job, max(numbers)) if numbers else None


def read_launch(store: ObjectStore, job: str, number: int) -> SageMakerLaunch | None:
    """Read the record of an attempt.

    Args:
        store: holds the record.
        job: name of the job.
        number: of the attempt, counted from 1.

    Returns:
        The attempt; ``None`` if there is no record of it.
    """
    try:
        values = read_object(store, _key(job, number), _Values)
    except KeyMissing:
        return None
    return SageMakerLaunch(number, values["start_after"])


def write_launch(store: ObjectStore, job: str, number: int) -> SageMakerLaunch:
    """Record an attempt before it is launched; its messages come after all that exist now.

    Args:
        store: to write to.
        job: name of the job.
        number: of the attempt, counted from 1.

    Returns:
        The attempt as recorded, by this call or by another process before it.

    Raises:
        KeyMissing: the record was deleted right after it was written.
    """
    values = {"start_after": last_message(store, job), "launched_at": time.time()}
    store.create(_key(job, number), json.dumps(values).encode())
    found = read_launch(store, job, number)
    if found is None:
        raise KeyMissing(f"{_key(job, number)} was deleted as soon as it was written")
    return found


def is_taken(store: ObjectStore, job: str, number: int) -> bool:
    """Whether an attempt's outputs were taken.

    Args:
        store: holds the mark.
        job: name of the job.
        number: of the attempt, counted from 1.
    """
    return store.exists(_taken_key(job, number))


def mark_taken(store: ObjectStore, job: str, number: int) -> None:
    """Record that an attempt's outputs were taken; repeating it changes nothing.

    Args:
        store: to write to.
        job: name of the job.
        number: of the attempt, counted from 1.
    """
    store.create(_taken_key(job, number), b"{}")


def has_waited(store: ObjectStore, job: str, number: int) -> bool:
    """Whether an attempt was given up because SageMaker found no spot capacity in time.

    Args:
        store: holds the mark.
        job: name of the job.
        number: of the attempt, counted from 1; False for less.
    """
    return number >= 1 and store.exists(_waited_key(job, number))


def mark_waited(store: ObjectStore, job: str, number: int) -> None:
    """Record that an attempt is given up because SageMaker found no spot capacity in time.

    Args:
        store: to write to.
        job: name of the job.
        number: of the attempt, counted from 1.
    """
    store.create(_waited_key(job, number), b"{}")


def _prefix(job: str) -> str:
    return f"pipes/{job}/launches"


def _key(job: str, number: int) -> str:
    return f"{_prefix(job)}/{number:06d}.json"


def _taken_key(job: str, number: int) -> str:
    return f"{_prefix(job)}/{number:06d}.taken.json"


def _waited_key(job: str, number: int) -> str:
    return f"{_prefix(job)}/{number:06d}.waited.json"


def _is_launch(key: str) -> bool:
    return not key.endswith((".taken.json", ".waited.json"))

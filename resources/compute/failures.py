"""Why a job failed, and whether running it again can help."""

import re
from dataclasses import dataclass

import dagster as dg
from dagster_pipes import PipesException

from training.errors import PermanentFailure

Context = dg.AssetExecutionContext | dg.OpExecutionContext


class JobFailed(dg.Failure):
    """A job failed. Retries are allowed if the machine room is to blame, and not if the script is:
    it would fail again, and its time would be paid again."""


@dataclass(frozen=True)
class ScriptFailure:
    """Why a job's script failed, in its own words; ``stack`` is Python's, if Pipes carried it."""

    reason: str
    stack: str
    permanent: bool


def script_failure(exception: PipesException | None, failure_file: str) -> ScriptFailure | None:
    """What the script said of its failure, to Pipes or else in its failure file; None if nothing."""
    permanent = _is_permanent(exception) or failure_file.startswith(tuple(_permanent_names()))
    if exception:
        name = exception["name"] or "error"
        own = re.sub(rf"^([\w.]*\.)?{re.escape(name)}: ", "", exception["message"] or "")
        # A permanent failure's own message is written for people; its class tells them nothing.
        reason = own.strip() if name == PermanentFailure.__name__ else f"{name}: {own.strip()}"
        return ScriptFailure(reason, "".join(exception["stack"]), permanent)
    return ScriptFailure(failure_file, "", permanent) if failure_file else None


def _permanent_names() -> set[str]:
    """Names of PermanentFailure and what derives from it: Pipes carries exceptions by name."""
    found, pending = set(), [PermanentFailure]
    while pending:
        kind = pending.pop()
        found.add(kind.__name__)
        pending.extend(kind.__subclasses__())
    return found


def _is_permanent(exception: PipesException | None) -> bool:
    while exception:
        if exception["name"] in _permanent_names():
            return True
        exception = exception["cause"]
    return False

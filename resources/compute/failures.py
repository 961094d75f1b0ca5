"""Why a job failed, and whether running it again can help."""

import re
from dataclasses import dataclass

import dagster as dg
from dagster_pipes import PipesException

from training.errors import PermanentFailure

Context = dg.AssetExecutionContext | dg.OpExecutionContext


class JobFailed(dg.Failure):
    """A job failed.

    Retries are allowed after failures of the infrastructure, not after failures of the script,
    which would fail again at the same cost.
    """


@dataclass(frozen=True)
class ScriptFailure:
    """The reason that a job's script reported.

    Attributes:
        reason: the exception's name and text, or the failure file's text.
        stack: Python's stack trace if it came through Pipes, else "".
        permanent: the script would fail again.
    """

    reason: str
    stack: str
    permanent: bool


def script_failure(exception: PipesException | None, failure_file: str) -> ScriptFailure | None:
    """Return the script's failure from its Pipes exception, else from its failure file.

    Returns:
        ``None`` if there is neither.
    """
    permanent = _is_permanent(exception) or failure_file.startswith(tuple(_permanent_names()))
    if exception:
        name = exception["name"] or "error"
        own = re.sub(rf"^([\w.]*\.)?{re.escape(name)}: ", "", exception["message"] or "")
        # A permanent failure's own message is written for people; its class is of no use to them.
        reason = own.strip() if name == PermanentFailure.__name__ else f"{name}: {own.strip()}"
        return ScriptFailure(reason, "".join(exception["stack"]), permanent)
    return ScriptFailure(failure_file, "", permanent) if failure_file else None


def _permanent_names() -> set[str]:
    """Return the names of PermanentFailure and its subclasses: Pipes sends an exception's name."""
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

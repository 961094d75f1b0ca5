"""Failures that pass by themselves, told apart from those that somebody has to do something about."""

from collections.abc import Iterator

import dagster as dg

from resources.aws.errors import is_permanent
from resources.endpoints.endpoint_host import DeploymentFailed
from resources.store.errors import StoreError, StoreUnavailable

_UNREACHED = {"ConnectionError", "ConnectTimeout", "ReadTimeout", "TimeoutError", "TransportError"}
"""Names of what httpx, requests and the system raise without an answer; botocore's errors are told
apart by :func:`resources.aws.errors.is_permanent`."""

_OF_AWS = {"BotoCoreError", "ClientError"}


def is_transient(error: BaseException) -> bool:
    """Whether the same may work a little later, though nobody changes anything.

    Judged by the first of the error and its causes that says: a ``dagster.Failure`` by
    ``allow_retries``, a store's or AWS's error by its code, no answer by its kind. What nobody
    knows, a bug above all, is not transient: running it again would pay for the same failure.
    """
    for cause in _chain(error):
        verdict = _verdict(cause)
        if verdict is not None:
            return verdict
    return False


def _verdict(error: BaseException) -> bool | None:
    """What one error says of itself; None if nothing."""
    if isinstance(error, dg.Failure):
        return error.allow_retries
    if isinstance(error, StoreError):
        return isinstance(error, StoreUnavailable)
    if isinstance(error, DeploymentFailed):  # the records have returned to what was served before
        return False
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, Exception) and names & _OF_AWS:
        return not is_permanent(error)
    return True if names & _UNREACHED else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    step: BaseException | None = error
    while step is not None and id(step) not in seen:
        seen.add(id(step))
        yield step
        step = step.__cause__

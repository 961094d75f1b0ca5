"""Distinguishing transient failures from those that need a change."""

from collections.abc import Iterator

import dagster as dg

from object_store.errors import StoreError, StoreUnavailable
from resources.aws.errors import is_permanent
from resources.endpoints.endpoint_host import DeploymentFailed

_UNREACHED = {"ConnectionError", "ConnectTimeout", "ReadTimeout", "TimeoutError", "TransportError"}
"""Names of exceptions of httpx, requests and the system for a missing answer; botocore's errors are
classified by :func:`resources.aws.errors.is_permanent`."""

_OF_AWS = {"BotoCoreError", "ClientError"}


def is_transient(error: BaseException) -> bool:
    """Whether a later retry may succeed without any change.

    The first of the error and its causes that can be classified decides: a ``dagster.Failure`` by
    ``allow_retries``, an error of the store or of AWS by its code, a missing answer by its type.
    Unknown errors, such as bugs, are not transient: a retry would fail again at the same cost.
    """
    for cause in _chain(error):
        verdict = _verdict(cause)
        if verdict is not None:
            return verdict
    return False


def _verdict(error: BaseException) -> bool | None:
    """Classify one error as transient or not; ``None`` if it cannot be classified."""
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

"""Retries of transient failures within one Dagster run."""

from collections.abc import Callable
from functools import wraps
from time import sleep as pause
from typing import Concatenate, ParamSpec, TypeVar

import dagster as dg

from object_store.contents.damage import DamagedObject
from resources.transience import is_transient

Params = ParamSpec("Params")
Result = TypeVar("Result")

TRANSIENT = dg.RetryPolicy(
    max_retries=3,
    delay=30,
    backoff=dg.Backoff.EXPONENTIAL,
    jitter=dg.Jitter.PLUS_MINUS,
)
"""For failures that pass by themselves: SageMaker has no capacity, AWS throttles or has an internal
error, a host does not answer. The clients have retried for seconds to minutes before they raise,
hence pauses of about 30, 90 and 210 s, with jitter (runs that failed together would otherwise
retry together). After that the run fails, and a later run continues from there.
"""


def retried(
    compute: Callable[Concatenate[dg.AssetExecutionContext, Params], Result],
) -> Callable[Concatenate[dg.AssetExecutionContext, Params], Result]:
    """Retry an asset's function under :data:`TRANSIENT`; goes below ``@dg.asset``.

    A retry attaches to a job that is already running and skips what is done, so that nothing is
    paid for twice. Only transient errors are retried (:func:`resources.transience.is_transient`).
    ``DamagedObject`` becomes a ``dagster.Failure`` that is not retried.
    """

    # Not @dg.asset(retry_policy=…): that retries every exception, also an interrupt, so that a
    # cancelled run would launch its job again. The pause is made here, where an interrupt ends it.
    @wraps(compute)
    def attempt(
        context: dg.AssetExecutionContext, *args: Params.args, **kwargs: Params.kwargs
    ) -> Result:
        try:
            return compute(context, *args, **kwargs)
        except DamagedObject as damage:  # one sentence, without a stack trace
            named = {"key": damage.key, "remedy": damage.remedy}
            raise dg.Failure(str(damage), metadata=named, allow_retries=False) from damage
        except Exception as error:
            number = context.retry_number + 1
            if number > TRANSIENT.max_retries or not is_transient(error):
                raise
            seconds = max(0.0, float(TRANSIENT.calculate_delay(number)))
            context.log.warning(
                f"{_reason(error)}\nThis may be temporary: trying again in {seconds:.0f} s "
                f"(try {number + 1} of {TRANSIENT.max_retries + 1})"
            )
            pause(seconds)
            raise dg.RetryRequested(max_retries=TRANSIENT.max_retries) from error

    return attempt


def _reason(error: Exception) -> str:
    """Return the error message up to the first blank line."""
    text = error.description if isinstance(error, dg.Failure) else None
    return (text or f"{type(error).__name__}: {error}").partition("\n\n")[0]

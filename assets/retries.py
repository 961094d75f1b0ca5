"""Trying again what failed for a while: within one Dagster run, and for nothing else."""

from collections.abc import Callable
from functools import wraps
from time import sleep as pause
from typing import Concatenate, ParamSpec, TypeVar

import dagster as dg

from resources.contents.damage import DamagedObject
from resources.transience import is_transient

Params = ParamSpec("Params")
Result = TypeVar("Result")

TRANSIENT = dg.RetryPolicy(
    max_retries=3,
    delay=30,
    backoff=dg.Backoff.EXPONENTIAL,
    jitter=dg.Jitter.PLUS_MINUS,
)
"""For what passes by itself: SageMaker has no machine of the kind, AWS throttles or has an error of
its own, a host does not answer. Every client of ours has tried for seconds to minutes before it says
so, hence pauses of about 30, 90 and 210 s, unlike each other's (runs that failed together would
come back together). What is worse than six minutes of it is told, and a run later goes on from there.
"""


def retried(
    compute: Callable[Concatenate[dg.AssetExecutionContext, Params], Result],
) -> Callable[Concatenate[dg.AssetExecutionContext, Params], Result]:
    """An asset's function under :data:`TRANSIENT`; goes below ``@dg.asset``.

    A job that was launched is attached to by the next try, and what is done is skipped, so that no
    try pays for what another has paid. Of what is not transient nothing is tried again.

    Not ``@dg.asset(retry_policy=…)``: that retries every exception, and an interrupt, too, so that a
    cancelled run would launch its job anew. And the pause is made here, where an interrupt ends it.
    """

    @wraps(compute)
    def attempt(
        context: dg.AssetExecutionContext, *args: Params.args, **kwargs: Params.kwargs
    ) -> Result:
        try:
            return compute(context, *args, **kwargs)
        except DamagedObject as damage:  # said plainly, in one sentence
            named = {"key": damage.key, "remedy": damage.remedy}
            raise dg.Failure(str(damage), metadata=named, allow_retries=False) from damage
        except Exception as error:
            number = context.retry_number + 1
            if number > TRANSIENT.max_retries or not is_transient(error):
                raise
            seconds = max(0.0, float(TRANSIENT.calculate_delay(number)))
            context.log.warning(
                f"{_reason(error)}\nThis may pass by itself: trying again in {seconds:.0f} s "
                f"(try {number + 1} of {TRANSIENT.max_retries + 1})"
            )
            pause(seconds)
            raise dg.RetryRequested(max_retries=TRANSIENT.max_retries) from error

    return attempt


def _reason(error: Exception) -> str:
    """What happened, without the detail behind the first blank line."""
    text = error.description if isinstance(error, dg.Failure) else None
    return (text or f"{type(error).__name__}: {error}").partition("\n\n")[0]

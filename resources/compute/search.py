"""A search for hyperparameters that runs a training job for each trial."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from resources.compute.job_spec import JobSpec
from resources.compute.outputs import Metadata


@dataclass(frozen=True)
class SearchSpec:
    """A search.

    Attributes:
        trial: training job of a trial, with the hyperparameters that are not searched; its name is
            the search's.
        ranges: SageMaker's ``ParameterRanges`` of those that are.
        metric: name of a metric that the job prints after each epoch; the least value wins.
        trials: number of trials.
        seconds: after which no trial is started, and those under way are stopped.
        at_once: number of trials at the same time.
        seed: of the search.
    """

    trial: JobSpec
    ranges: Mapping[str, Any]
    metric: str
    trials: int
    seconds: int
    at_once: int
    seed: int


@dataclass(frozen=True)
class TrialResult:
    """A trial that was tried.

    Attributes:
        name: of its job.
        values: JSON literals by hyperparameter, of those that are searched.
        score: last value of the metric; ``None``: it has none.
        status: SageMaker's: Completed, Stopped (early), Failed.
    """

    name: str
    values: Mapping[str, str]
    score: float | None
    status: str


@dataclass(frozen=True)
class SearchOutcome:
    """What a search found.

    Attributes:
        trials: all trials, the best first.
        seconds: wall time.
        details: metadata from the adapter: links, times, cost.
    """

    trials: list[TrialResult]
    seconds: float
    details: Metadata = field(default_factory=dict)

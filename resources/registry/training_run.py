"""A training run, as it is logged in MLflow."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class Epoch:
    """The numbers of one epoch (of a probe: of one regularisation strength).

    Attributes:
        step: number of the epoch, from 1.
        at: when it ended; ``None``: unknown.
        numbers: by name.
    """

    step: int
    at: datetime | None
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class DatasetFacts:
    """The data set of a training run.

    Attributes:
        version: a hash of its content.
        source: key of its manifest in the store.
        profile: numbers and names that describe it.
    """

    version: str
    source: str
    profile: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """Everything about the training of one model version.

    Attributes:
        model_version: name of the model version; there is one run of it.
        params: hyperparameters as text.
        tags: what it was made from and by.
        epochs: the history.
        metrics: numbers of the finished model.
        dataset: that it was trained on.
        started_at: when the job began; ``None``: unknown.
        ended_at: when the job ended; ``None``: unknown.
        artifacts: local files by their name.
        failure: why the training failed; "" if it did not.
        title: shown instead of ``model_version``; "": that one.
        parent: ``model_version`` of the run below which it is shown, which is logged already; "":
            of none.
    """

    model_version: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    epochs: Sequence[Epoch]
    metrics: Mapping[str, float]
    dataset: DatasetFacts
    started_at: datetime | None
    ended_at: datetime | None
    artifacts: Mapping[str, Path] = field(default_factory=dict)
    failure: str = ""
    title: str = ""
    parent: str = ""


@contextmanager
def noted_failure(what: str, warn: Callable[[str], object]) -> Iterator[None]:
    """Turn any exception of a block that logs in MLflow into a warning.

    Args:
        what: is logged.
        warn: called with the warning.
    """
    # MLflow raises its own errors and those of databases, HTTP and AWS. A model does not depend on
    # its run in MLflow, and the next materialization logs it again.
    try:
        yield
    except Exception as error:  # noqa: BLE001 - see above
        flaw = str(error).partition("\n")[0][:500]
        warn(
            f"{what} is not logged in MLflow, and the line goes on: {type(error).__name__}: {flaw}"
        )

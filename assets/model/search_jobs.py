"""A search whose trials are jobs of their own, as SageMaker runs them; its result is kept in the store."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import BaseModel, ConfigDict

from assets.line import fingerprint
from assets.model.trained_model import dataset_channel, weights_channels, weights_identity
from assets.policies import TrainingPolicy, TuningPolicy
from object_store.contents.reading import read_object
from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from resources.compute.compute import Compute
from resources.compute.failures import JobFailed
from resources.compute.job_spec import JobSpec
from resources.compute.outputs import Metadata, metadata_values
from resources.compute.search import SearchOutcome, SearchSpec, TrialResult
from training.config import CODE_VERSION
from training.tune import SearchResult
from training.tuning.space import SearchSpace
from training.tuning.study import TRIALS

AT_ONCE = 2
"""Trials at the same time: each further one knows less of those before it."""

METRIC = "val_loss"


class _Kept(BaseModel):
    """What ``search.json`` must have."""

    model_config = ConfigDict(extra="allow")

    result: dict[str, Any]
    trials: list[dict[str, Any]]


class KeptSearch:
    """A search that is done.

    Attributes:
        spec: job of a trial, with the search's name.
        result: what it found.
        trials: each with number, state, values and validation loss.
        seconds: wall time of the search.
        reused: whether it was done before.
        details: links, times, cost.
    """

    def __init__(self, spec: JobSpec, kept: Mapping[str, Any], *, reused: bool) -> None:
        self.spec, self.reused = spec, reused
        self.result = SearchResult.model_validate(kept["result"])
        self.trials: list[dict[str, Any]] = kept["trials"]
        self.seconds = float(kept.get("seconds", 0.0))
        self.details: Metadata = {} if reused else metadata_values(kept.get("details", {}))

    def files(self, space: SearchSpace) -> dict[str, bytes]:
        """Draw it; returns the pictures and the table of trials by file name."""
        from training.tuning.pictures import draw_search
        from training.tuning.study import study_of

        pairs = [(trial["values"], trial["val_loss"]) for trial in self.trials]
        with tempfile.TemporaryDirectory(prefix="imgclf-") as scratch:
            draw_search(Path(scratch), study_of(space, pairs))
            found = {path.name: path.read_bytes() for path in Path(scratch).iterdir()}
        return {**found, TRIALS: json.dumps(self.trials).encode()}


def search_with_jobs(
    context: dg.AssetExecutionContext,
    store: ObjectStore,
    compute: Compute,
    asked: TuningPolicy,
    space: SearchSpace,
    training: TrainingPolicy,
    card: Mapping[str, Any],
    weights_dir: Path | None,
) -> KeptSearch:
    """Run a search, unless the same one is done.

    Args:
        context: Dagster's context, for logs and Pipes.
        store: object store of the project.
        compute: runs the jobs.
        asked: limits of the search.
        space: what is searched, with one net.
        training: what is not searched.
        card: the data set's card.
        weights_dir: the user's folder of pretrained weights; ``None``: there is none.

    Raises:
        JobFailed: the search failed, or no trial came to an end.
    """
    search = search_spec(asked, space, training, card, weights_dir)
    name = search.trial.name
    key = f"models/{name}/search.json"
    try:
        return KeptSearch(search.trial, read_object(store, key, _Kept), reused=True)
    except KeyMissing:
        pass
    context.log.info(f"search {name}: a training job for each of {asked.trials} trials")
    outcome = compute.search(context, search)
    kept = _kept(space, outcome)
    store.create(key, json.dumps(kept).encode())
    return KeptSearch(search.trial, kept, reused=False)


def search_spec(
    asked: TuningPolicy,
    space: SearchSpace,
    training: TrainingPolicy,
    card: Mapping[str, Any],
    weights_dir: Path | None,
) -> SearchSpec:
    """Describe a search; its name is a hash of everything that decides its result.

    Args:
        asked: limits of the search.
        space: what is searched, with one net.
        training: what is not searched.
        card: the data set's card.
        weights_dir: the user's folder of pretrained weights; ``None``: there is none.
    """
    base = training.challenger_job().model_copy(update=space.fixed)
    given = {**base.to_strings(), "dataset_version": card["version"]}
    ranges = space.parameter_ranges()
    seconds = round(asked.budget_minutes * 60)
    identity = {
        **given,
        "ranges": ranges,
        "trials": asked.trials,
        "seconds": seconds,
        "labels": card["labels"],
        "task": card["task"],
        "code": CODE_VERSION,
        "weights": weights_identity(base, weights_dir),
    }
    name = f"tune-{fingerprint(identity)}"  # roles allow tune-* (cloudformation/foundation.yaml)
    trial = JobSpec(
        name=name,
        kind="training",
        module="training.train",
        hyperparameters={**given, "model_version": name},
        channels={"dataset": dataset_channel(card)},
        local_channels=weights_channels(base, weights_dir),
    )
    return SearchSpec(
        trial=trial,
        ranges=ranges,
        metric=METRIC,
        trials=asked.trials,
        seconds=seconds,
        at_once=AT_ONCE,
        seed=base.seed,
    )


def _kept(space: SearchSpace, outcome: SearchOutcome) -> dict[str, Any]:
    """Return what is kept of a search.

    Raises:
        JobFailed: no trial came to an end.
    """
    done = [trial for trial in outcome.trials if trial.status == "Completed" and _has(trial)]
    if not done:
        raise JobFailed("no trial of the search came to an end", allow_retries=False)
    best = min(done, key=lambda trial: trial.score or 0.0)
    states = [trial.status for trial in outcome.trials]
    result = SearchResult(
        chosen={**space.fixed, **_values(best)},
        val_loss=best.score,
        trials=len(states),
        pruned=states.count("Stopped"),
        failed=states.count("Failed"),
        seconds=round(outcome.seconds, 1),
    )
    return {
        "result": result.model_dump(),
        "trials": [
            {
                "number": number,
                "job": one.name,
                "state": one.status.upper(),
                "values": {**space.fixed, **_values(one)},
                "val_loss": one.score,
                "epochs": {},
                "fault": "",
                "started_at": None,
                "ended_at": None,
            }
            for number, one in enumerate(outcome.trials, 1)
        ],
        "seconds": outcome.seconds,
        "details": {name: _plain(value) for name, value in outcome.details.items()},
    }


def _has(trial: TrialResult) -> bool:
    return trial.score is not None


def _values(trial: TrialResult) -> dict[str, Any]:
    """Return the values of a trial; SageMaker puts JSON literals into quotes, or not."""
    return {name: _parsed(text) for name, text in trial.values.items()}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _plain(value: Any) -> dict[str, Any]:
    raw = value.value if isinstance(value, dg.MetadataValue) else value
    return {"raw_value": raw, "type": "__infer__"}

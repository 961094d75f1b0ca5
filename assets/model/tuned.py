"""Hyperparameters that a search chose, in place of defaults; what the user set goes first."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from assets.policies import TrainingPolicy
from assets.records.hyperparameters import HyperparametersRecord
from assets.records.materializations import newest_materialization
from object_store.store import ObjectStore
from training.config import Hyperparameters

FINETUNE = "finetune"


@dataclass(frozen=True)
class Configured:
    """The hyperparameters of a job, and where each that is no default came from.

    Attributes:
        hyperparameters: of the job.
        sources: ``settings`` (or the launchpad), or the search, by hyperparameter.
        note: what a person must know of them; empty: nothing.
    """

    hyperparameters: Hyperparameters
    sources: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


def configured(
    hyperparameters: Hyperparameters, given: set[str], tuned: HyperparametersRecord | None
) -> Configured:
    """Put the values of a search where nobody set one.

    Args:
        hyperparameters: by the settings.
        given: names of the hyperparameters that the user set.
        tuned: what the newest search chose; ``None``: there was none.

    Returns:
        The same, for a recipe other than finetune: only for that is searched. Nor are the values
        used for another net than the one that they were found for.
    """
    sources = dict.fromkeys(sorted(given & Hyperparameters.model_fields.keys()), "settings")
    if tuned is None or hyperparameters.recipe != FINETUNE:
        return Configured(hyperparameters, sources)
    chosen = {name: one for name, one in tuned.chosen.items() if name not in given}
    net = tuned.chosen.get("architecture", hyperparameters.architecture)
    if "architecture" in given and net != hyperparameters.architecture:
        return Configured(
            hyperparameters,
            sources,
            f"the hyperparameters of {tuned.job} are not used: they were found for {net}, and "
            f"{hyperparameters.architecture} is set (imgclf tune searches for it)",
        )
    values = {**hyperparameters.model_dump(), **chosen}
    found = f"search {tuned.job} on data set {tuned.dataset_version}"
    return Configured(
        Hyperparameters.model_validate(values),
        {**sources, **dict.fromkeys(sorted(chosen), found)},
        f"by {found}: {', '.join(f'{name} {_short(one)}' for name, one in sorted(chosen.items()))}"
        if chosen
        else "",
    )


def newest_tuned(instance: dg.DagsterInstance, store: ObjectStore) -> HyperparametersRecord | None:
    """Return what the newest search chose; ``None`` if there was none."""
    return newest_materialization(instance, store, HyperparametersRecord)


def challenger_configured(
    policy: TrainingPolicy, tuned: HyperparametersRecord | None
) -> Configured:
    """Return the hyperparameters of a challenger by the settings and the newest search."""
    return configured(policy.challenger_job(), set(policy.model_fields_set), tuned)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

"""Hyperparameters of trainings by older code, which only Dagster's events have."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from imgclf_dagster.settings.root import Settings
from imgclf_dagster.status.training_runs import StoredRun

_EVENTS = 1_000
"""Newest materializations of ``trained_model`` that are looked through."""


def completed(settings: Settings, runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Return ``runs`` with what Dagster knows of those without hyperparameters.

    Args:
        settings: the user's settings.
        runs: training runs; Dagster is imported only if one has no hyperparameters.
    """
    wanted = {run.version for run in runs if not run.problem and not run.hyperparameters}
    known = _materialized(settings, wanted) if wanted else {}
    return [
        replace(
            run,
            hyperparameters=known[run.version]["configuration"],
            dataset_version=known[run.version]["dataset_version"],
        )
        if run.version in known
        else run
        for run in runs
    ]


def _materialized(settings: Settings, versions: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the metadata of the newest materialization of each version that Dagster knows."""
    import dagster as dg

    from assets.records.former_metadata import former_training
    from imgclf_dagster.home.home import prepare_home

    prepare_home(settings)
    found: dict[str, dict[str, Any]] = {}
    with dg.DagsterInstance.get() as instance:
        page = instance.fetch_materializations(dg.AssetKey("trained_model"), limit=_EVENTS)
    for record in page.records:
        values = former_training(record.asset_materialization)
        if values and values["model_version"] in versions:
            found.setdefault(values["model_version"], values)
    return found

"""Runs of the real definitions that are played event by event, in any order, and the daemon beside.

Nothing is executed: every asset *holds* what it read of its inputs, and a test compares.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.events import StepMaterializationData

from tests.dagster_costs import copied

INPUTS = {
    "dataset": ("raw_images", "annotations"),
    "trained_model": ("dataset",),
    "evaluation_report": ("trained_model",),
    "embeddings": ("raw_images", "evaluation_report", "staging_endpoint", "prod_endpoint"),
    "labelling_queue": ("annotations", "embeddings"),
    "labelling_report": ("annotations", "trained_model", "labelling_queue"),
}
"""What each asset that automation makes is made from."""

HEEDED = INPUTS | {"labelling_report": ("annotations", "trained_model")}
"""What automation makes it again for."""

SOURCES = ("raw_images", "annotations", "staging_endpoint")
PARTITIONS = {"staging_endpoint": "train-a", "prod_endpoint": "train-a"}
CHECKS = {
    "raw_images": ("images_readable",),
    "annotations": ("labels_known",),
    "dataset": ("no_label_conflicts", "no_split_leakage", "class_floor_met"),
    "trained_model": ("export_matches_training",),
    "evaluation_report": ("beats_champion", "no_slice_regression", "calibration_within_bound"),
}
START = datetime(2026, 3, 2, 8, 0, 30, tzinfo=UTC)
TICK_S = 600
"""Seconds from tick to tick, in which each of the schedules that conditions heed comes by."""


@dataclass
class PlayedRun:
    """A run of some assets, one step after the other."""

    run: dg.DagsterRun
    left: list[str]
    asked_with: dict[str, Any] = field(default_factory=dict)
    """By asset, what its inputs held when automation asked for the run."""
    tags: dict[str, str] = field(default_factory=dict)
    read: tuple[Any, ...] | None = None


class Theatre:
    """The daemon, played runs, and what every asset holds."""

    def __init__(self, definitions: dg.Definitions) -> None:
        self.definitions = definitions
        self.instance = dg.DagsterInstance.ephemeral()
        self.job = definitions.get_repository_def().get_implicit_global_asset_job_def()
        self.cursor: Any = None
        self.now = START
        self.holds: dict[str, Any] = {}
        self.running: list[PlayedRun] = []
        self.failing: set[str] = set()
        """Checks that fail."""
        self.instance.add_dynamic_partitions("model_version", ["train-a"])

    def copy(self) -> "Theatre":
        """Another one in the same state, in which no run is in progress."""
        assert not self.running
        other = Theatre.__new__(Theatre)
        vars(other).update(vars(self), instance=copied(self.instance))
        other.holds, other.running, other.failing = dict(self.holds), [], set(self.failing)
        return other

    # --- the daemon ------------------------------------------------------------------------

    def tick(self) -> set[str]:
        """What is asked for; the run is there at once, as with the daemon."""
        self.now += timedelta(seconds=TICK_S)
        found = dg.evaluate_automation_conditions(
            defs=self.definitions,
            instance=self.instance,
            asset_selection=dg.AssetSelection.assets(*INPUTS),
            cursor=self.cursor,
            evaluation_time=self.now,
        )
        self.cursor = found.cursor
        asked = [name for name in INPUTS if found.get_num_requested(dg.AssetKey(name))]
        if asked:
            self.launch(asked).asked_with = {name: self.inputs(name) for name in asked}
        return set(asked)

    # --- events ----------------------------------------------------------------------------

    def change(self, source: str, content: int) -> None:
        """A source was looked at and holds ``content``, which may be nothing new."""
        self.holds[source] = content
        partition = PARTITIONS.get(source)
        event = dg.AssetMaterialization(source, partition=partition, tags=_tags(content))
        self.instance.report_runless_asset_event(event)
        self._pass_checks(source)

    def launch(self, assets: Iterable[str]) -> PlayedRun:
        """A run that has not begun."""
        keys = frozenset(dg.AssetKey(name) for name in assets)
        run = self.instance.create_run_for_job(
            job_def=self.job.get_subset(asset_selection=set(keys)), asset_selection=keys
        )
        self._report(run, "PIPELINE_START")
        played = PlayedRun(run, [name for name in INPUTS if dg.AssetKey(name) in keys])
        self.running.append(played)
        return played

    def advance(self, played: PlayedRun) -> None:
        """One event on: the step starts, the asset reads, the asset is there (and the run ends)."""
        asset = played.left[0]
        if not played.tags:
            played.tags = self._seen_by_dagster(asset)
        elif played.read is None:
            played.read = self.inputs(asset)
        else:
            self.holds[asset] = played.read
            tags = _tags(played.read) | played.tags
            data = StepMaterializationData(dg.AssetMaterialization(asset, tags=tags))
            self._report(played.run, "ASSET_MATERIALIZATION", data)
            self._pass_checks(asset, played.run)
            played.left.pop(0)
            played.tags, played.read = {}, None
            if not played.left:
                self._end(played, "PIPELINE_SUCCESS")

    def finish(self, played: PlayedRun) -> None:
        """To its end."""
        while played.left:
            self.advance(played)

    def fail(self, played: PlayedRun) -> None:
        """The run fails where it is."""
        self._end(played, "PIPELINE_FAILURE")

    def cancel(self, played: PlayedRun) -> None:
        """A person ends the run where it is."""
        self._end(played, "PIPELINE_CANCELED")

    # --- what is so ------------------------------------------------------------------------

    def inputs(self, asset: str) -> tuple[Any, ...]:
        """What the inputs of ``asset`` hold now, as far as it is made again for them."""
        return tuple(self.holds.get(name) for name in HEEDED[asset])

    def stale(self) -> set[str]:
        """Assets that are not made from what their inputs hold."""
        return {name for name in INPUTS if self.holds.get(name) != self.inputs(name)}

    # --- inside ----------------------------------------------------------------------------

    def _end(self, played: PlayedRun, event: str) -> None:
        self._report(played.run, event)
        self.running.remove(played)

    def _report(self, run: dg.DagsterRun, event: str, data: Any = None) -> None:
        reported = dg.DagsterEvent(
            event_type_value=event, job_name=run.job_name, event_specific_data=data
        )
        self.instance.report_dagster_event(reported, run_id=run.run_id)

    def _pass_checks(self, asset: str, run: dg.DagsterRun | None = None) -> None:
        for name in CHECKS.get(asset, ()):
            verdict = dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(asset),
                check_name=name,
                passed=name not in self.failing,
                metadata={},
            )
            if run is None:
                self.instance.report_runless_asset_event(verdict)
            else:
                self._report(run, "ASSET_CHECK_EVALUATION", verdict)

    def _seen_by_dagster(self, asset: str) -> dict[str, str]:
        """The tags that Dagster prepares when a step starts."""
        keys = [dg.AssetKey(name) for name in INPUTS[asset]]
        found = {
            record.asset_entry.asset_key: record.asset_entry.last_materialization_record
            for record in self.instance.get_asset_records(keys)
        }
        tags = {"dagster/code_version": "1"}
        for key in keys:
            record, name = found.get(key), key.to_user_string()
            version = (record.event_log_entry.tags or {}) if record else {}
            tags[f"dagster/input_event_pointer/{name}"] = (
                str(record.storage_id) if record else "NULL"
            )
            tags[f"dagster/input_data_version/{name}"] = version.get(
                "dagster/data_version", "INITIAL"
            )
        return tags


def _tags(content: Any) -> dict[str, str]:
    return {"dagster/data_version": repr(content)}

"""When a challenger is trained by itself, and what does not wait for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.records.challenger_model import ChallengerModelRecord
from assets.records.materialization_record import MATERIALIZATIONS

pytestmark = pytest.mark.graph

CHECKS = {
    "raw_images": ("images_readable",),
    "annotations": ("labels_known",),
    "dataset": ("no_label_conflicts", "no_split_leakage", "class_floor_met"),
    "trained_model": ("export_matches_training",),
    "evaluation_report": ("beats_champion", "no_slice_regression", "calibration_within_bound"),
}


class Daemon:
    """Evaluates the conditions over reported events."""

    def __init__(self, world: Any) -> None:
        self.world, self.cursor = world, None
        for source in ("raw_images", "annotations", "dataset"):
            self.happened(source, "1")
        self.asked()

    def asked(self) -> set[str]:
        """The assets of the way of a model that are asked for."""
        found: Any = dg.evaluate_automation_conditions(
            defs=self.world.definitions, instance=self.world.instance, cursor=self.cursor
        )
        self.cursor = found.cursor
        names = ("trained_model", "challenger_model", "evaluation_report")
        return {name for name in names if found.get_num_requested(dg.AssetKey(name))}

    def happened(
        self, asset: str, version: str, failing: tuple[str, ...] = (), **metadata: str
    ) -> None:
        self.world.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset, tags={"dagster/data_version": version}, metadata=metadata
            )
        )
        for name in CHECKS.get(asset, ()):
            self.world.instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(
                    asset_key=dg.AssetKey(asset),
                    check_name=name,
                    passed=name not in failing,
                    metadata={},
                )
            )

    def trained(self, version: str, recipe: str = "auto") -> None:
        made = {"model_version": version, "dataset_version": "d", "digest": version}
        self.happened("trained_model", version, **made, recipe_asked=recipe)

    def evaluated(self, version: str, failing: tuple[str, ...] = ()) -> None:
        made = {"model_version": version, "digest": version, "job": f"eval-{version}"}
        self.happened("evaluation_report", f"e-{version}", failing, **made)

    def started(self, asset: str) -> None:
        """A run of an asset has begun."""
        job = self.world.definitions.get_repository_def().get_implicit_global_asset_job_def()
        keys = frozenset([dg.AssetKey(asset)])
        run = self.world.instance.create_run_for_job(
            job_def=job.get_subset(asset_selection=set(keys)), asset_selection=keys
        )
        begun = dg.DagsterEvent(event_type_value="PIPELINE_START", job_name=run.job_name)
        self.world.instance.report_dagster_event(begun, run_id=run.run_id)


@pytest.fixture
def daemon(world: Any) -> Daemon:
    return Daemon(world)


def test_a_challenger_follows_the_evaluation_of_each_new_model(daemon: Daemon) -> None:
    daemon.trained("a")
    assert daemon.asked() == {"evaluation_report"}  # first, so that nothing waits for a fine-tuning
    daemon.evaluated("a")
    assert daemon.asked() == {"challenger_model"}
    assert daemon.asked() == set()
    daemon.happened("challenger_model", "a2")
    assert daemon.asked() == {"evaluation_report"}
    daemon.evaluated("a2")
    assert daemon.asked() == set()
    daemon.trained("b")
    assert daemon.asked() == {"evaluation_report"}
    daemon.evaluated("b", failing=("beats_champion",))  # a fine-tuned champion is not beaten so
    assert daemon.asked() == {"challenger_model"}


def test_a_model_of_newer_data_does_not_wait_for_a_challenger(daemon: Daemon) -> None:
    daemon.trained("a")
    daemon.evaluated("a")
    assert daemon.asked() == {"challenger_model"}
    daemon.started("challenger_model")
    daemon.happened("dataset", "2")
    assert daemon.asked() == {"trained_model"}
    daemon.trained("b")
    assert daemon.asked() == {"evaluation_report"}
    daemon.evaluated("b")
    assert daemon.asked() == set()  # the first challenger is not ended for it


def test_newer_data_goes_before_a_challenger(daemon: Daemon) -> None:
    daemon.trained("a")
    daemon.asked()
    daemon.evaluated("a")
    daemon.happened("dataset", "2")
    assert daemon.asked() == {"trained_model"}
    daemon.trained("b")
    daemon.asked()
    daemon.evaluated("b")
    assert daemon.asked() == {"challenger_model"}


@pytest.mark.parametrize(
    "training", [{"budget_minutes": 0}, {"recipe": "probe"}, {"weights": "none"}]
)
def test_settings_without_a_challenger_ask_for_none(
    empty_world: Callable[..., Any], tmp_path: Path, training: dict[str, Any]
) -> None:
    daemon = Daemon(empty_world(tmp_path / "home", training=training))
    daemon.trained("a")
    daemon.evaluated("a")
    assert daemon.asked() == set()


def test_a_model_that_a_person_trained_otherwise_has_no_challenger(daemon: Daemon) -> None:
    daemon.trained("a", recipe="finetune")
    daemon.evaluated("a")
    assert daemon.asked() == set()


def test_a_record_is_kept_where_those_of_all_assets_are() -> None:
    assert f"{MATERIALIZATIONS}{ChallengerModelRecord.asset}" == "materializations/challenger_model"

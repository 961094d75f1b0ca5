"""What `imgclf run` says besides its steps."""

from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.pipes.context import PipesMessageHandler

from assets.release.verdicts import record_verdict
from imgclf_dagster.cli.run import _remedies
from imgclf_dagster.line.progress import OF_DAGSTER
from imgclf_dagster.status.checks import REMEDIES, WITHOUT_CHAMPION

pytestmark = pytest.mark.graph


def test_a_run_that_a_check_blocks_ends_with_the_remedy_of_the_status(world: Any) -> None:
    metadata = {"model_version": "train-1", "dataset_version": "d1", "digest": "d" * 64}
    event = dg.AssetMaterialization("trained_model", metadata=metadata)
    world.instance.report_runless_asset_event(event)
    for check, numbers in (
        ("beats_champion", {"majority_baseline_accuracy": 0.5}),
        ("calibration_within_bound", {}),
    ):
        record_verdict(
            world.store,
            subject="trained_model/train-1",
            check=check,
            digest="d" * 64,
            passed=False,
            reason="it is worse",
            numbers=numbers,
        )
    assert _remedies(world, {"beats_champion": "it is worse"}) == WITHOUT_CHAMPION
    both = f"{WITHOUT_CHAMPION}\n    → {REMEDIES['calibration_within_bound']}"
    assert _remedies(world) == both
    assert _remedies(world, {"raw_images": "no disk"}) == ""


def test_a_message_of_dagster_on_each_job_is_not_printed() -> None:
    told: list[str] = []
    reader = SimpleNamespace(on_opened=lambda _: None)
    log = SimpleNamespace(info=told.append)
    handler: Any = SimpleNamespace(
        _opened_count=0, _context=SimpleNamespace(log=log), _message_reader=reader
    )
    PipesMessageHandler._handle_opened(handler, {})
    assert [text.startswith(OF_DAGSTER) for text in told] == [True]

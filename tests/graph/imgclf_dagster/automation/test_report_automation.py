"""When the labelling report is made by itself: seldom, and only where people label."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

pytestmark = pytest.mark.graph

NOON = datetime(2026, 3, 2, 12, 1, tzinfo=UTC)


class Clock:
    """Evaluates the conditions at times of its own."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.now = NOON
        self.cursor: Any = None
        self.asked(minutes=0)

    def asked(self, *, minutes: int) -> bool:
        """Whether the report is asked for, so many minutes later."""
        self.now += timedelta(minutes=minutes)
        found = dg.evaluate_automation_conditions(
            defs=self.world.definitions,
            instance=self.world.instance,
            cursor=self.cursor,
            evaluation_time=self.now,
        )
        self.cursor = found.cursor
        key = dg.AssetKey("labelling_report")
        return bool(found.get_requested_partitions(key))

    def happened(self, asset: str, version: str) -> None:
        self.world.instance.report_runless_asset_event(
            dg.AssetMaterialization(asset, tags={"dagster/data_version": version})
        )


@pytest.fixture
def clock(empty_world: Callable[..., Any], tmp_path: Path) -> Clock:
    access = {"url": "http://127.0.0.1:1", "token": "t" * 40}
    return Clock(empty_world(tmp_path / "home", label_studio=access))


def test_new_labels_are_reported_at_the_next_tenth_minute(clock: Clock) -> None:
    assert not clock.asked(minutes=5)  # no labels
    clock.happened("annotations", "1")
    assert not clock.asked(minutes=1)
    assert clock.asked(minutes=9)
    clock.happened("labelling_report", "1")
    assert not clock.asked(minutes=10)
    clock.happened("annotations", "2")
    assert clock.asked(minutes=10)


def test_a_new_model_is_and_another_queue_is_not(clock: Clock) -> None:
    clock.happened("annotations", "1")
    clock.asked(minutes=10)
    clock.happened("labelling_report", "1")
    clock.asked(minutes=10)
    clock.happened("labelling_queue", "1")
    clock.asked(minutes=1)
    clock.happened("labelling_queue", "2")
    assert not clock.asked(minutes=10)
    clock.happened("trained_model", "1")
    clock.asked(minutes=1)
    clock.happened("trained_model", "2")
    assert clock.asked(minutes=10)


def test_without_label_studio_nobody_is_asked(
    empty_world: Callable[..., Any], tmp_path: Path
) -> None:
    clock = Clock(empty_world(tmp_path / "home"))
    clock.happened("annotations", "1")
    assert not clock.asked(minutes=10)

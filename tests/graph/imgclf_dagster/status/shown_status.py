"""The status of a world as the command gathers and prints it."""

from typing import Any

import dagster as dg
from rich.text import Text

from imgclf_dagster.cli.status import _lines
from imgclf_dagster.status.status import gather_status


def status(world: Any) -> dict[str, Any]:
    return gather_status(world.settings, world.instance)


def shown(facts: dict[str, Any]) -> str:
    return "\n".join(Text.from_markup(line).plain for line in _lines(facts))


def materialized(world: Any, asset: str, **metadata: Any) -> None:
    if asset == "trained_model":
        metadata = {"dataset_version": "d1", "digest": "d" * 64, **metadata}
    if asset == "evaluation_report":
        metadata = {"job": "eval-1", "digest": "d" * 64, **metadata}
    event = dg.AssetMaterialization(asset, metadata=metadata)
    world.instance.report_runless_asset_event(event)

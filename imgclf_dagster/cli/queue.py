"""``imgclf queue``: fill the labelling queue now."""

import json
from typing import TYPE_CHECKING

from rich.table import Column, Table

from imgclf_dagster.cli.common import AsJson, console, errors, fail, plainly
from imgclf_dagster.console import escape
from imgclf_dagster.settings.root import load_settings
from labelling.labels.foreign_text import visible

if TYPE_CHECKING:
    from assets.records.labelling_queue import LabellingQueueRecord


@plainly
def queue_command(as_json: AsJson = False) -> None:
    """Fill the labelling queue: embed new images, choose some, and make tasks in Label Studio.

    `imgclf up` does it by itself. Without a Label Studio it shows which images it would ask about.
    """
    import dagster as dg

    from assets.records.labelling_queue import LabellingQueueRecord
    from assets.records.materializations import require_materialization
    from imgclf_dagster.line.progress import ConsoleNarrator
    from imgclf_dagster.line.runner import line_runner
    from imgclf_dagster.runs.jobs import LABELLING, LINE

    came = [dg.AssetKey("raw_images"), dg.AssetKey("annotations")]
    narrator = ConsoleNarrator(errors if as_json else console)
    with line_runner(load_settings(), narrator, hosted=False) as runner:
        runner.stay_out_of_the_way("labelling_queue", LABELLING)
        for job, assets in ((LINE, came), (LABELLING, None)):
            outcome = runner.execute(job, assets=assets)
            if not outcome.success:
                lines = (f"{name}: {reason}" for name, reason in outcome.failures.items())
                raise fail("\n".join(lines) or "the run failed")
        found = require_materialization(runner.instance, runner.store, LabellingQueueRecord)
    if as_json:
        print(json.dumps(_facts(found), indent=1, ensure_ascii=False))
    else:
        console.print(_table(found))
        console.print(_chosen(found))
    if found.problems and found.is_connected:  # without a Label Studio, that is no failure
        raise fail(f"the queue could not be filled as requested:\n{_problems(found)}")


def _facts(found: "LabellingQueueRecord") -> dict[str, object]:
    """Return what is shown, by name; what there is nothing of is left out."""
    facts: dict[str, object] = {
        "open": found.open,
        "wanted": found.wanted,
        "added": found.added,
        "withdrawn": found.withdrawn,
        "left to label": found.left,
        "in doubt": found.in_doubt,
        "labels_per_day": found.labels_per_day,
        "batch": found.batch or None,
        "model_version": found.model_version or "none",
        "project": found.project,
        "labels in doubt": found.review_link or None,
        "problems": _problems(found) or None,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _problems(found: "LabellingQueueRecord") -> str:
    return "\n".join(f"- {visible(text)}" for text in found.problems)


def _table(found: "LabellingQueueRecord") -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    for name, value in _facts(found).items():
        table.add_row(name.replace("_", " "), escape(str(value)))
    return table


def _chosen(found: "LabellingQueueRecord") -> Table | str:
    """Return the first chosen images and their reasons."""
    from assets.records.labelling_queue import NOTHING_CHOSEN

    if not found.chosen:
        return NOTHING_CHOSEN
    table = Table(Column("image", overflow="fold"), "why", Column("score", justify="right"))
    for image in found.first:
        table.add_row(escape(visible(image.key)), escape(visible(image.why)), f"{image.score:.2f}")
    if (more := found.chosen - len(found.first)) > 0:
        table.add_row(f"… and {more} more", "", "")
    return table

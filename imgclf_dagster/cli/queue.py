"""``imgclf queue``: fill the labelling queue now."""

import json
from collections.abc import Mapping
from typing import Any

from rich.markdown import Markdown
from rich.table import Table

from imgclf_dagster.cli.common import AsJson, console, errors, fail, plainly
from imgclf_dagster.console import escape
from imgclf_dagster.settings.root import load_settings

NUMBERS = ("open", "wanted", "added", "withdrawn", "left to label", "in doubt", "labels_per_day")
TEXTS = ("batch", "model_version", "project", "labels in doubt", "problems")


@plainly
def queue_command(as_json: AsJson = False) -> None:
    """Fill the labelling queue: embed new images, choose some, and make tasks in Label Studio.

    `imgclf up` does it by itself. Without a Label Studio it shows which images it would ask about.
    """
    import dagster as dg

    from assets.line import latest_metadata
    from assets.queue.labelling_queue import NOT_CONNECTED
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
        found = latest_metadata(runner.instance, "labelling_queue")
    if as_json:
        shown = {name: found[name] for name in (*NUMBERS, *TEXTS) if name in found}
        print(json.dumps(shown, indent=1, ensure_ascii=False))
    else:
        console.print(_table(found))
        # The asset's own Markdown table, as on its page in Dagster.
        console.print(Markdown(found["first" if "first" in found else "reasons"]))
    problems = str(found.get("problems", ""))
    if problems and NOT_CONNECTED not in problems:  # without a Label Studio, that is no failure
        raise fail(f"the queue could not be filled as requested:\n{problems}")


def _table(found: Mapping[str, Any]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    for name in (*NUMBERS, *TEXTS):
        if name in found:
            table.add_row(name.replace("_", " "), escape(str(found[name])))
    return table

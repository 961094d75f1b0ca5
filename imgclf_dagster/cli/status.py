"""``imgclf status``: the line on one screen."""

import json
from typing import Any

from rich.markup import escape
from rich.table import Table

from imgclf_dagster.cli.common import AsJson, console, plainly
from imgclf_dagster.settings import load_settings


@plainly
def status_command(as_json: AsJson = False) -> None:
    """Show images, labels, data set, candidate, staging, production, and what waits for whom."""
    import dagster as dg

    from imgclf_dagster.home import prepare_home
    from imgclf_dagster.status import gather_status

    settings = load_settings()
    prepare_home(settings)
    with dg.DagsterInstance.get() as instance:
        facts = gather_status(settings, instance)
    if as_json:
        print(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    console.print(_table(facts))
    for item in facts["waiting"]:
        console.print(f"[yellow]•[/] {escape(item)}")
    if not facts["waiting"]:
        console.print("[green]nothing waits[/]")


def _table(facts: dict[str, Any]) -> Table:
    images, labels, dataset = facts["images"], facts["labels"], facts["dataset"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    table.add_row("home", f"{escape(facts['home'])} [dim](profile {facts['profile']})[/]")
    table.add_row("images", f"{images['usable']} usable, {images['rejected']} rejected")
    table.add_row("labels", f"{labels['labelled']} labelled, {labels['conflicts']} in conflict")
    table.add_row(
        "data set",
        f"{dataset['version']}: {dataset['images']} images, {dataset['classes']} classes"
        if dataset
        else "[dim]none[/]",
    )
    candidate = facts["candidate"]
    table.add_row(
        "candidate",
        _model(candidate, candidate["approval_status"] or "not registered")
        if candidate
        else "[dim]none[/]",
    )
    for name, key in (("staging", "staging"), ("production", "prod")):
        stage = facts[key]
        table.add_row(name, _deployed(stage) if stage else "[dim]nothing deployed[/]")
    return table


def _model(item: dict[str, Any], note: str) -> str:
    metrics = item["metrics"]
    numbers = (
        f"accuracy {metrics['accuracy']:.3f}, macro-F1 {metrics['macro_f1']:.3f}" if metrics else ""
    )
    return f"{escape(item['model_version'])}  {numbers}  [dim]{escape(note)}[/]"


def _deployed(stage: dict[str, Any]) -> str:
    since = stage["since"].replace("T", " ").replace("+00:00", " UTC")
    note = f"since {since} by {stage['deployed_by']} ({stage['reason']}); {stage['endpoint']}"
    return _model(stage, note)

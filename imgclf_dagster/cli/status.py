"""``imgclf status``: the state of the line on one screen."""

import json
from collections.abc import Iterator
from typing import Any

from rich.table import Table

from assets.evaluation.scores import sentence
from imgclf_dagster.cli.common import AsJson, console, plainly
from imgclf_dagster.cli.without_pandas import keep_pandas_out
from imgclf_dagster.console import escape
from labelling.report.words import count
from training.container.quick_imports import without_collection


@plainly
def status_command(as_json: AsJson = False) -> None:
    """Show images, labels, data set, candidate, staging, production, and what waits for a person."""
    with without_collection("dagster"):
        import dagster as dg

        from imgclf_dagster.home.home import prepare_home
        from imgclf_dagster.settings.root import load_settings
        from imgclf_dagster.status.status import gather_status

        keep_pandas_out()
        settings = load_settings()
        prepare_home(settings)
        instance = dg.DagsterInstance.get()
    with instance:
        facts = gather_status(settings, instance)
    if as_json:
        print(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    console.print(_table(facts))
    for line in _lines(facts):
        console.print(line)
    if not any(facts[name] for name in ("damaged", "blocking", "runs", "jobs", "waiting")):
        console.print("[green]nothing waits[/]")
    console.print(f"[bold]next:[/] {escape(facts['next'])}")


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    """Yield the lines on blocking checks, unfinished runs, waiting items and what was last refused."""
    for item in facts["damaged"]:
        yield f"[red]✗[/] {escape(item['key'])} is damaged ({escape(item['flaw'])})"
        yield f"    → {escape(item['remedy'])}"
    for check in facts["blocking"]:
        yield f"[red]✗[/] {escape(check['check'])} blocks {escape(check['subject'])}: " + escape(
            check["reason"]
        )
        numbers = ", ".join(f"{name} {_rounded(value)}" for name, value in check["numbers"].items())
        if numbers:
            yield f"    [dim]{escape(numbers)}[/]"
        yield f"    → {escape(check['remedy'])}"
    for run in facts["runs"]:
        at = f", at {run['step']} since {_time(run['step_since'])}" if run["step"] else ""
        of = f"of the job {run['job']}" if run["job"] else f"makes {', '.join(run['makes'])}"
        yield (
            f"[cyan]▸[/] run {run['run_id'][:8]} {escape(of)} "
            f"({run['status'].replace('_', ' ')}, since {_time(run['since'])}{escape(at)})"
        )
        if run["said"]:
            yield f"    [dim]{escape(run['said'])}[/]"
    for job in facts["jobs"]:
        mark = "[cyan]▸[/]" if job["alive"] else "[yellow]![/]"
        yield f"{mark} job {escape(job['job'])}: {escape(job['said'])}"
    for item in facts["waiting"]:
        yield f"[yellow]•[/] {escape(item)}"
    shown_above = {check["subject"] for check in facts["blocking"]}
    for item in facts["refused"]:
        if f"trained_model/{item['what']}" in shown_above:
            continue
        yield (
            f"[dim]last {_REFUSED[item['kind']]}: {escape(item['what'])}{_who(item)}:[/] "
            + escape(item["why"])
        )


def _rounded(value: Any) -> Any:
    """Return a value with each of its floats at four significant digits, for people."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_rounded(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(str(_rounded(one)) for one in value)
    return value


_REFUSED = {
    "candidate": "candidate held back",
    "package": "package rejected",
    "run": "run that failed",
}


def _who(item: dict[str, Any]) -> str:
    by = f" by {escape(item['by'])}" if item.get("by") else ""
    return by + (f", {_time(item['at'])}" if item.get("at") else "")


def _time(moment: str) -> str:
    return moment.replace("T", " ").replace("+00:00", " UTC")


def _table(facts: dict[str, Any]) -> Table:
    images, labels, dataset = facts["images"], facts["labels"], facts["dataset"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    table.add_row("home", f"{escape(facts['home'])} [dim](profile {facts['profile']})[/]")
    table.add_row("images", f"{images['usable']} usable, {images['rejected']} rejected in raw/")
    table.add_row("labels", f"{labels['labelled']} labelled, {labels['conflicts']} in conflict")
    table.add_row(
        "data set",
        f"{dataset['version']}: {count(dataset['images'], 'image')}, "
        + count(dataset["classes"], "class", "classes")
        if dataset
        else _nothing(facts, "dataset"),
    )
    candidate = facts["candidate"]
    table.add_row(
        "candidate",
        _model(candidate, candidate["approval_status"] or "not registered")
        if candidate
        else _nothing(facts, "evaluation_report"),
    )
    for name, key in (("staging", "staging"), ("production", "prod")):
        stage = facts[key]
        table.add_row(name, _deployed(stage) if stage else "[dim]nothing deployed[/]")
    return table


def _nothing(facts: dict[str, Any], asset: str) -> str:
    """Say that there is none of an asset, or that its record cannot be read."""
    kinds = (f"materializations/{asset}/", *(("models/",) if asset != "dataset" else ()))
    damaged = any(item["key"].startswith(kinds) for item in facts["damaged"])
    return "[red]unknown: its record is damaged (below)[/]" if damaged else "[dim]none[/]"


def _model(item: dict[str, Any], note: str) -> str:
    metrics = item["metrics"]
    numbers = f"[dim]{escape(item['no_scores'])}[/]"
    if metrics:
        images = f"{item['test_images']} test images of data set {item['scored_on']}"
        numbers = f"{sentence(metrics, item['task'])} on {images}"
    return f"{escape(item['model_version'])}  {numbers}  [dim]{escape(note)}[/]"


def _deployed(stage: dict[str, Any]) -> str:
    if not stage["digest"]:
        return f"[red]{escape(stage['problem'])}[/]"
    since = _time(stage["since"])
    note = f"since {since} by {stage['deployed_by']} ({stage['reason']}); {stage['endpoint']}"
    return _model(stage, note)

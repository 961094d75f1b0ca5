"""``imgclf doctor``: check that a run will find what it needs."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from imgclf_dagster.cli.common import AsJson, console, fail, plainly
from imgclf_dagster.console import escape
from imgclf_dagster.settings.root import load_settings

MARKS = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "failed": "[red]✗[/]"}


@plainly
def doctor_command(
    as_json: AsJson = False,
    store: Annotated[
        bool,
        typer.Option("--store", help="Read every object of the store and list the damaged ones."),
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="With --store: rebuild what can be rebuilt; damaged objects are moved to "
            "damaged/ in the store.",
        ),
    ] = False,
) -> None:
    """Check settings, disk, store, weights, ports, Label Studio and the code location, and on AWS
    credentials, clock, bucket, queue, key, image, roles, quotas and endpoints; print a remedy for
    each problem.

    Exit code 1 if something would make a run fail; with --store, if an object is damaged.

    \f
    Args:
        as_json: print JSON.
        store: check every object of the store.
        repair: with ``store``: rebuild what can be rebuilt.
    """
    if repair and not store:
        raise fail("--repair goes with --store")
    if store:
        from imgclf_dagster.cli.doctor.store import look_at_store

        look_at_store(load_settings(), as_json=as_json, repair=repair)
        return
    from imgclf_dagster.doctor.examine import examine

    findings = examine(load_settings())
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            console.print(
                f"{MARKS[finding.health]} [bold]{finding.what}[/]  {escape(finding.detail)}"
            )
            if finding.remedy:
                console.print(f"    → {escape(finding.remedy)}")
    if any(finding.health == "failed" for finding in findings):
        raise typer.Exit(1)

"""``imgclf doctor``: is everything there that a run will need?"""

import json
from dataclasses import asdict

import typer
from rich.markup import escape

from imgclf_dagster.cli.common import AsJson, console, plainly
from imgclf_dagster.settings import load_settings

MARKS = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "failed": "[red]✗[/]"}


@plainly
def doctor_command(as_json: AsJson = False) -> None:
    """Check settings, disk, store, weights, ports, Label Studio and the code location, and on AWS
    credentials, clock, bucket, queue, key, image, roles, quotas and endpoints; name each remedy.

    Exit code 1 if something would make a run fail.
    """
    from imgclf_dagster.doctor import examine

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

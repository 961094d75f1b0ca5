"""``imgclf ingest``: bring images and their labels into the store."""

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from imgclf_dagster.cli.common import current_user, errors, fail, plainly

if TYPE_CHECKING:
    from imgclf_dagster.ingest import IngestReport

SHOWN_REJECTIONS = 20


@plainly
def ingest_command(
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder with a sub-folder for each class, a flat folder (no labels), a CSV of "
            "file,labels (several labels as a|b), a .zip or .tar of any of these, or one image."
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON, with every rejection.")
    ] = False,
) -> None:
    """Bring images, and the labels that come with them, into the store.

    Doing it again changes nothing; after an interruption it does what is left. Unreadable files
    are named with the reason, and the rest goes on. Exit code 1: nothing in it could be used.
    """
    from imgclf_dagster.home import prepare_home
    from imgclf_dagster.ingest import ingest
    from imgclf_dagster.settings import load_settings

    # Pillow warns about EXIF blocks; what matters about an image is in the report.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    settings = load_settings()
    store = prepare_home(settings)
    with _progress(errors) as progress:
        task = progress.add_task("reading the list of files", total=None)
        report = ingest(
            source,
            store=store,
            policy=settings.ingestion,
            schema=settings.labels,
            annotator=current_user(),
            on_progress=lambda done, total: progress.update(
                task, description="ingesting", completed=done, total=total
            ),
        )
    if as_json:
        typer.echo(_json(report))
    else:
        _show(Console(), report)
    if report.new + report.known == 0:
        raise fail(f"nothing in {source} could be used")


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _json(report: "IngestReport") -> str:
    return json.dumps(
        {
            "new": report.new,
            "known": report.known,
            "labelled": report.labelled,
            "rejected": [{"name": name, "reason": reason} for name, reason in report.rejected],
            "seconds": round(report.seconds, 3),
        },
        ensure_ascii=False,
    )


def _show(console: Console, report: "IngestReport") -> None:
    counts = Table("new", "known", "rejected", "labels written", "seconds")
    counts.add_row(
        f"{report.new:,}",
        f"{report.known:,}",
        f"{len(report.rejected):,}",
        f"{report.labelled:,}",
        f"{report.seconds:.1f}",
    )
    console.print(counts)
    if not report.rejected:
        return
    reasons = Table("rejected", "reason")
    for name, reason in report.rejected[:SHOWN_REJECTIONS]:
        reasons.add_row(_plain(name), _plain(reason))
    console.print(reasons)
    more = len(report.rejected) - SHOWN_REJECTIONS
    if more > 0:
        console.print(f"… and {more:,} more (use --json to see all)")


def _plain(text: str) -> str:
    """File names come from anywhere: neither rich's markup nor control characters act."""
    return escape("".join(char if char.isprintable() else repr(char)[1:-1] for char in text))

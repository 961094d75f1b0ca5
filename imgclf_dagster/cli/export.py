"""``imgclf export``: write a data set in a format that other programs read."""

import json
import shlex
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from imgclf_dagster.cli.common import AsJson, console, errors, fail, given_path, plainly
from imgclf_dagster.console import escape
from labelling.labels.foreign_text import visible

if TYPE_CHECKING:
    from imgclf_dagster.export.run import ExportReport

SHOWN = 20


class FormatName(StrEnum):
    """Values of the option ``--format``."""

    folder = "folder"
    huggingface = "huggingface"
    coco = "coco"
    yolo_classify = "yolo-classify"
    label_studio = "label-studio"


@plainly
def export_command(
    format_name: Annotated[
        FormatName,
        typer.Option(
            "--format",
            help="folder: a folder for each split and class (torchvision, Keras); huggingface: "
            "imagefolder of datasets and the Hub; coco: image-level labels in COCO files; "
            "yolo-classify: Ultralytics; label-studio: tasks with their annotations.",
        ),
    ],
    to: Annotated[
        Path,
        typer.Option(
            "--to",
            metavar="DIR|ZIP",
            parser=given_path,
            help="A new or empty folder, or a .zip that is not there yet.",
        ),
    ],
    dataset: Annotated[
        str | None,
        typer.Argument(
            help="Version of a data set, or its first characters; default: the newest.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Export a data set: images as they were ingested, with labels and splits.

    DIR or ZIP shows nothing before all is there; interrupted, the same command goes on. Exit code 1:
    it could not be made, or an image could not be read (it is named, and the rest is there).

    \f
    Args:
        format_name: format of the export.
        to: a new or empty folder, or a new ``.zip``.
        dataset: first characters of a version; ``None``: the newest.
        as_json: print JSON.
    """
    # An empty argument comes from an unset shell variable; it does not ask for the newest version.
    if dataset is not None and not dataset.strip():
        raise typer.BadParameter("DATASET is empty; give a version, or leave it out for the newest")
    report = _export(dataset or "", format_name, to)
    if as_json:
        print(json.dumps(_as_dict(report), indent=1, ensure_ascii=False))
    else:
        _show(report)
    if report.aside:
        raise fail(
            f"{len(report.aside):,} of {report.asked:,} images could not be exported; "
            f"{report.written:,} are in {report.place}"
        )


def _export(version: str, format_name: FormatName, to: Path) -> "ExportReport":
    """Export a data set to ``to``; ``version`` "" means the newest one."""
    import dagster as dg

    from assets.records.dataset import DatasetRecord
    from assets.records.materializations import newest_materialization
    from imgclf_dagster.export.choice import choose_dataset
    from imgclf_dagster.export.run import export_dataset
    from imgclf_dagster.home.home import prepare_home
    from imgclf_dagster.settings.root import load_settings
    from labelling.exports.formats import FORMATS

    settings = load_settings()
    store = prepare_home(settings)
    with dg.DagsterInstance.get() as instance:
        made = newest_materialization(instance, store, DatasetRecord)
    chosen = choose_dataset(store, version, made.dataset_version if made else None)
    with _progress() as progress:
        task = progress.add_task("exporting", total=None)
        return export_dataset(
            chosen,
            FORMATS[format_name.value],
            to,
            store=store,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
    )


def _as_dict(report: "ExportReport") -> dict[str, object]:
    return {
        "dataset": report.version,
        "format": report.format,
        "to": str(report.place),
        "asked": report.asked,
        "written": report.written,
        "kept": report.kept,
        "bytes": report.size,
        "splits": report.splits,
        "counts": report.counts,
        "set_aside": [{"image": name, "reason": reason} for name, reason in report.aside],
        "renamed": report.renamed,
        "notes": report.notes,
        "damaged_shards": report.mended,
        "seconds": round(report.seconds, 3),
    }


def _show(report: "ExportReport") -> None:
    from imgclf_dagster.export.target import size_words

    console.print(_counts(report))
    for line in _note_lines(report):
        console.print(line)
    if report.aside:
        console.print(_aside(report))
    mark = "[green]✓[/]" if report.written == report.asked else "[yellow]•[/]"
    kept = f", {report.kept:,} of them by an earlier run" if report.kept else ""
    console.print(
        f"{mark} {report.written:,} of {report.asked:,} images of data set {report.version} as "
        f"{report.format} in {escape(str(report.place))}{kept} ({size_words(report.size)}, "
        f"{report.seconds:.1f} s)"
    )
    console.print("read it:")
    for line in report.reading.splitlines():
        console.print(f"  {escape(line)}")
    place = escape(shlex.quote(str(report.place)))
    console.print(f"bring it back: imgclf ingest {place} (with these splits: --keep-splits)")


def _counts(report: "ExportReport") -> Table:
    table = Table("class", *(Column(split, justify="right") for split in report.splits))
    for label, row in list(report.counts.items())[:SHOWN]:
        table.add_row(escape(label), *(f"{row.get(split, 0):,}" for split in report.splits))
    if (more := len(report.counts) - SHOWN) > 0:
        table.add_row(f"… and {more:,} more (--json)", *("" for _ in report.splits))
    table.add_section()
    table.add_row("images", *(f"{number:,}" for number in report.splits.values()))
    return table


def _note_lines(report: "ExportReport") -> Iterator[str]:
    for note in report.notes:
        yield f"[yellow]•[/] {escape(note)}"
    if report.mended:
        some = ", ".join(report.mended[:3])
        yield (
            f"[yellow]•[/] {len(report.mended)} damaged shards ({escape(some)}): their images came "
            "out of raw/; `imgclf doctor --store --repair` builds them again"
        )


def _aside(report: "ExportReport") -> Table:
    table = Table(Column("set aside", overflow="fold"), Column("reason", overflow="fold"))
    for name, reason in report.aside[:SHOWN]:
        table.add_row(escape(visible(name)), escape(visible(reason)))
    if (more := len(report.aside) - SHOWN) > 0:
        table.add_row(f"… and {more:,} more (--json)", "")
    return table

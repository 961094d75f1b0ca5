"""How ``imgclf ingest`` reports labels that changed, with the commands that undo the change."""

import shlex
from typing import TYPE_CHECKING

from rich.console import Console

from imgclf_dagster.console import escape
from labelling.labels.foreign_text import visible

if TYPE_CHECKING:
    from imgclf_dagster.ingest.changes import LabelChange
    from imgclf_dagster.ingest.ingest import IngestReport
    from imgclf_dagster.ingest.scratch import Labels

_SHOWN = 10
_COMMANDS = 3


def show_changes(console: Console, report: "IngestReport", source: str) -> None:
    """Print which images had another label before, and the commands that undo the change.

    Args:
        console: the console to print on.
        report: the result of the ingest.
        source: name under which the images are stored (``raw/<source>/``).
    """
    images = sum(change.images for change in report.changed)
    if not images:
        return
    are = "images have other labels" if images > 1 else "image has another label"
    console.print(f"[yellow]changed:[/] {images:,} {are} than an earlier ingest gave")
    for change in report.changed[:_SHOWN]:
        console.print(f"  {_change(change, source)}", soft_wrap=True)
    if len(report.changed) > _SHOWN:
        console.print(f"  … and {len(report.changed) - _SHOWN:,} more changes (--json has them)")
    for line in _undoing(report, source):
        console.print(f"  {escape(visible(line))}", soft_wrap=True)


def show_readings(console: Console, report: "IngestReport", source: str) -> None:
    """Print which labels count as a class of another name, and which have two meanings.

    A label has two meanings if its name was given to another class after it was recorded.

    Args:
        console: the console to print on.
        report: the result of the ingest.
        source: name under which the images are stored (``raw/<source>/``).
    """
    renamed = [one for one in report.read_as if one.label != one.counts]
    if renamed:
        readings = [f"{one.label} as {one.counts}: {one.images:,}" for one in renamed[:_SHOWN]]
        more = f" and {len(renamed) - _SHOWN:,} more" if len(renamed) > _SHOWN else ""
        console.print(escape(visible(f"read as: {'; '.join(readings)}{more}")), soft_wrap=True)
    former = [one for one in report.read_as if one.counts != one.now]
    if not former:
        return
    words = [
        f"{one.label} as {one.counts} ({one.images:,} image{'' if one.images == 1 else 's'})"
        for one in former[:_SHOWN]
    ]
    today = ", ".join(f"{one.label} is {one.now}" for one in former[:_SHOWN])
    text = (
        f"{', '.join(words)} was used before the name was given to another class, and counts in "
        f"its former meaning; used now, {today}. To read the whole source by the present names: "
        f"imgclf labels withdraw --source {shlex.quote(source)}, then ingest it again"
    )
    console.print(f"[yellow]two meanings:[/] {escape(visible(text))}", soft_wrap=True)


def _change(change: "LabelChange", source: str) -> str:
    if not change.new:
        return f"{change.images:,} in other ways"
    old = " and ".join(map(_labels_text, change.old)) or "other labels"
    new = " and ".join(map(_labels_text, change.new))
    names = [key.removeprefix(f"raw/{source}/") for key in change.examples]
    more = " …" if change.images > len(names) else ""
    text = f"{old} → {new}: {change.images:,} ({', '.join(names)}{more})"
    return escape(visible(text))


def _labels_text(labels: "Labels") -> str:
    return "|".join(labels) or "none of the labels"


def _undoing(report: "IngestReport", source: str) -> list[str]:
    """Return the lines that say how to undo the changed labels.

    No command withdraws the labels of a single ingest; ``imgclf labels withdraw`` works by class.
    Where the class was also given to other images of the source, the advice is to ingest the former
    labels again.
    """
    now: dict[str, int] = {}
    for change in report.changed:
        if len(change.new) != 1 or len(change.new[0]) != 1:
            return [_AGAIN]
        now[change.new[0][0]] = now.get(change.new[0][0], 0) + change.images
    if len(now) > _COMMANDS or any(report.classes[label] > count for label, count in now.items()):
        return [_AGAIN]
    where = f"imgclf labels withdraw --source {shlex.quote(source)}"
    commands = [f"{where} --class {shlex.quote(label)}" for label in now]
    return [f"to take it back (earlier labels count again): {'; '.join(commands)}"]


_AGAIN = "to take it back: ingest the source again with its former labels; the newest count"

"""What ``imgclf ingest`` prints: the contents of the source before writing, and the result after."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Column, Table

from imgclf_dagster.cli.ingest.changes import show_changes, show_readings
from imgclf_dagster.console import escape
from labelling.labels.foreign_text import visible
from labelling.sources.containers.containers import Rejection
from labelling.sources.doubt import Doubt
from labelling.sources.findings.facts import SourceFacts, grouped
from labelling.sources.reading import Ignored

if TYPE_CHECKING:
    from imgclf_dagster.ingest.ingest import IngestReport

SHOWN_CLASSES = 20
SHOWN_GROUPS = 20


def show_facts(console: Console, facts: SourceFacts, split_notes: Sequence[str]) -> None:
    """Print what was found in a source.

    Args:
        console: the console to print on.
        facts: what was found.
        split_notes: sentences about the splits that the source gives.
    """
    layout = f"{_images(facts.images)}, labels still open" if facts.is_open else facts.layout
    console.print(f"[bold]{_shown(facts.source)}[/]: {_shown(layout)}", soft_wrap=True)
    if not facts.is_open:
        _show_labels(console, facts)
    _show_groups(console, "rejected", facts.refused)
    _show_groups(console, "ignored", facts.ignored)
    for sentence in (*split_notes, *facts.warnings):
        console.print(f"[yellow]note:[/] {_shown(sentence)}", soft_wrap=True)


def _show_labels(console: Console, facts: SourceFacts) -> None:
    if facts.classes:
        console.print(_class_table(facts))
        more = facts.classes[SHOWN_CLASSES:]
        if more:
            images = sum(one.images for one in more)
            console.print(f"… and {len(more):,} more classes with {images:,} images")
    if facts.several:
        console.print(f"{_images(facts.several)} with several labels")
    if facts.negatives:
        console.print(f"{_images(facts.negatives)} with none of the labels")
    if facts.unlabelled:
        names = _some(facts.unlabelled_examples, facts.unlabelled)
        console.print(f"{_images(facts.unlabelled)} without labels: {names}", soft_wrap=True)


def show_doubt(console: Console, doubt: Doubt, *, numbered: bool) -> None:
    """Print a question and its answers.

    Args:
        console: the console to print on.
        doubt: the question.
        numbered: number the answers for a prompt, and add the answer "stop here"; else list them as
            options of the command.
    """
    console.print(f"[yellow]?[/] {_shown(doubt.question)}", soft_wrap=True)
    for number, (option, then) in enumerate(doubt.answers, start=1):
        mark = f"{number})" if numbered else "-"
        console.print(f"  {mark} [bold]{_shown(option)}[/]: {_shown(then)}", soft_wrap=True)
    if numbered:
        console.print(f"  {len(doubt.answers) + 1}) stop here: nothing is written")


def show_report(
    console: Console,
    report: "IngestReport",
    next_command: str,
    source: str,
    known_reasons: Collection[str] = (),
) -> None:
    """Print the result of an ingest.

    Args:
        console: the console to print on.
        report: the result.
        next_command: the command that continues the work.
        source: name under which the images are stored (``raw/<source>/``).
        known_reasons: reasons of rejections that were printed before and are not repeated.
    """
    counts = {
        "new": f"{report.new:,}",
        "known": f"{report.known:,}",
        "rejected": f"{len(report.rejected) - report.rejected_entries:,}",
        "lines of lists rejected": f"{report.rejected_entries:,}",
        "labels written": f"{report.labelled:,}",
        "seconds": f"{report.seconds:.1f}",
    }
    if not report.rejected_entries:
        del counts["lines of lists rejected"]
    table = Table(*counts)
    table.add_row(*counts.values())
    console.print(table)
    rejected = grouped([Rejection(name, reason) for name, reason in report.rejected])
    _show_groups(
        console, "rejected", [group for group in rejected if group.reason not in known_reasons]
    )
    if report.classes:
        shown = [f"{_shown(name)} ({count:,})" for name, count in sorted(report.classes.items())]
        more = len(shown) - SHOWN_CLASSES
        ending = f" and {more:,} more" if more > 0 else ""
        console.print(f"classes: {', '.join(shown[:SHOWN_CLASSES])}{ending}", soft_wrap=True)
    show_readings(console, report, source)
    _show_duplicates(console, report)
    show_changes(console, report, source)
    for conflict in report.split_conflicts:
        console.print(f"[yellow]two splits:[/] {_shown(conflict)}; test counts", soft_wrap=True)
    if report.new + report.known:
        console.print(f"[dim]next:[/] {escape(next_command)}")


def as_json(
    facts: SourceFacts, split_notes: Sequence[str], report: "IngestReport | None", following: str
) -> str:
    """Return the facts and the result as JSON text.

    Args:
        facts: what was found in the source.
        split_notes: sentences about the splits that the source gives.
        report: the result; ``None`` if nothing was written.
        following: the next command.
    """
    result: dict[str, object] = {"understood": {**asdict(facts), "notes": list(split_notes)}}
    if report is None:
        result["written"] = False
    else:
        result |= {
            "written": True,
            "new": report.new,
            "known": report.known,
            "labelled": report.labelled,
            "classes": dict(sorted(report.classes.items())),
            "read_as": [asdict(one) for one in report.read_as],
            "negatives": report.negatives,
            "unlabelled": report.unlabelled,
            "rejected": [{"name": name, "reason": reason} for name, reason in report.rejected],
            "rejected_files": len(report.rejected) - report.rejected_entries,
            "rejected_entries": report.rejected_entries,
            "images": report.images,
            "changed": [asdict(change) for change in report.changed],
            "byte_identical": {
                "files": report.doubled,
                "contradictions": report.contradictions,
                "examples": [asdict(group) for group in report.duplicates],
            },
            "splits_kept": report.splits_kept,
            "split_conflicts": report.split_conflicts,
            "next": following,
            "seconds": round(report.seconds, 3),
        }
    return json.dumps(result, ensure_ascii=False)


def _class_table(facts: SourceFacts) -> Table:
    # Names may differ only at their ends, so long ones are folded and not truncated.
    table = Table(
        Column("class", overflow="fold"),
        Column("images", justify="right"),
        Column("for example", overflow="fold"),
    )
    for one in facts.classes[:SHOWN_CLASSES]:
        table.add_row(_shown(one.name), f"{one.images:,}", _shown(one.example))
    return table


def _show_groups(console: Console, what: str, groups: Sequence[Ignored]) -> None:
    for group in groups[:SHOWN_GROUPS]:
        names = _some(group.examples, group.count)
        console.print(f"{what}: {group.count:,} × {_shown(group.reason)}: {names}", soft_wrap=True)
    more = groups[SHOWN_GROUPS:]
    if more:
        files = sum(group.count for group in more)
        console.print(f"{what}: {files:,} more for {len(more):,} other reasons (--json has all)")


def _show_duplicates(console: Console, report: "IngestReport") -> None:
    if not report.doubled:
        return
    are = "s are byte-identical copies of others"
    are = are if report.doubled > 1 else " is a byte-identical copy of another"
    console.print(f"{_images(report.images)}: {report.doubled:,} file{are}")
    for group in report.duplicates:
        if len(group.labels) > 1:
            differing = " and ".join(
                _shown("|".join(labels) or "no label") for labels in group.labels
            )
            names = _some(group.names, group.count)
            console.print(f"  [yellow]labelled {differing}:[/] {names}", soft_wrap=True)
    if report.contradictions:
        console.print(
            f"  {_images(report.contradictions)} with contradictory labels, which "
            f"{'is' if report.contradictions == 1 else 'are'} in no data set until all files of an "
            "image have one label. Correct them and ingest again",
            soft_wrap=True,
        )
    elif report.duplicates:
        console.print(f"  {_some(report.duplicates[0].names, report.duplicates[0].count)}")


def _some(names: Sequence[str], count: int) -> str:
    shown = ", ".join(map(_shown, names))
    return f"{shown} …" if count > len(names) else shown


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"


def _shown(text: str) -> str:
    return escape(visible(text))

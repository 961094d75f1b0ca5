"""Tables that ``imgclf labels`` prints."""

import shlex
from typing import TYPE_CHECKING

from rich.table import Column, Table

from imgclf_dagster.cli.common import console
from imgclf_dagster.console import escape
from labelling.report.words import count

if TYPE_CHECKING:
    from assets.annotations.label_overview import Overview
    from labelling.labels.form import LookAlikes


def show_overview(found: "Overview") -> None:
    """Print the tables of classes, sources and events, and notes on the labels."""
    if not found.classes and not found.unknown:
        console.print("there are no labels yet (imgclf ingest SRC adds some)")
        return
    console.print(_class_table(found))
    text = count(found.labelled, "image is labelled", "images are labelled")
    if found.negatives:
        text += f", {found.negatives:,} of them with none of the labels"
    if found.conflicts:
        text += f"; {count(found.conflicts, 'is', 'are')} in conflict"
    console.print(text)
    for old, new in found.aliases.items():
        console.print(f"{escape(old)} counts as {escape(new)}")
    for group in found.look_alikes:
        colour = "yellow" if group.is_doubt else "dim"
        names = " and ".join(group.labels)
        console.print(
            f"[{colour}]{escape(names)} differ only in {group.reason}; if they are one class:[/] "
            + escape(merge_line(group, found))
        )
    for typo in found.typos:
        merge = f"imgclf labels merge {shlex.quote(typo.label)} --into {shlex.quote(typo.meant)}"
        console.print(
            f"{escape(typo.label)} ({count(found.images(typo.label), 'image')}) is one letter from "
            f"{escape(typo.meant)}; if it is a typing error: {escape(merge)}"
        )
    for label, images in found.unknown.items():
        console.print(
            f"[red]{escape(label)}[/] ({count(images, 'image')}) is not among the names under "
            "\\[labels] in imgclf.toml: add it there, or imgclf labels rename "
            + escape(f"{shlex.quote(label)} CLASS")
        )
    console.print(_source_table(found))
    if found.decided:
        console.print(_event_table(found))


def merge_line(group: "LookAlikes", found: "Overview") -> str:
    """Return the command that merges labels that look alike.

    They are merged into a label that the settings list, else into the one with most images.
    """
    listed = set(found.names)
    into = max(group.labels, key=lambda label: (label in listed, found.images(label), label))
    others = [label for label in group.labels if label != into]
    return f"imgclf labels merge {shlex.join(others)} --into {shlex.quote(into)}"


def _class_table(found: "Overview") -> Table:
    disputed = ["in conflict"] if found.conflicts else []
    heads = ["images", *disputed, "superseded", "withdrawn"]
    table = Table(Column("class", overflow="fold"), *heads)
    for one in found.classes:
        if one.is_listed or one.images or one.in_conflict:
            counts = (one.images, *([one.in_conflict] if disputed else ()))
            numbers = (f"{n:,}" for n in (*counts, one.superseded, one.withdrawn))
            table.add_row(escape(one.label), *numbers)
    return table


def _source_table(found: "Overview") -> Table:
    table = Table(Column("source", overflow="fold"), "statements")
    for source, statements in found.sources.items():
        table.add_row(escape(source), f"{statements:,}")
    return table


def _event_table(found: "Overview") -> Table:
    table = Table("event", "when", "by", Column("what", overflow="fold"), "counts")
    for one in found.decided:
        counts = "yes" if one.in_force else "no effect" if one.is_idle else "no"
        table.add_row(one.id, one.at, escape(one.by), escape(one.says), counts)
    return table

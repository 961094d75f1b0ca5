"""``imgclf labels``: list labels; rename, merge, withdraw and restore them."""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from imgclf_dagster.cli.common import AsJson, console, current_user, fail, plainly
from imgclf_dagster.console import escape
from imgclf_dagster.settings.root import Settings, load_settings, settings_file

if TYPE_CHECKING:
    import pyarrow as pa

    from assets.annotations.label_changes import Change, Event
    from assets.annotations.label_overview import Overview
    from object_store.store import ObjectStore

labels_app = typer.Typer(
    name="labels",
    help="List the labels; rename, merge, take back and restore them.",
    invoke_without_command=True,
)

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the changes, and change nothing.")]


@labels_app.callback()
@plainly
def labels_command(context: typer.Context, as_json: AsJson = False) -> None:
    """List classes, former names, labels that look alike, and labels that the settings do not list.

    Labels are never rewritten: `rename`, `merge`, `withdraw` and `restore` add an event to the
    store, and which labels count is computed from labels and events.
    """
    if context.invoked_subcommand is not None:
        return
    from assets.annotations.label_changes import all_rows
    from assets.annotations.label_overview import overview

    settings, store = _opened()
    found = overview(all_rows(store), settings.labels)
    if as_json:
        print(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
        return
    from imgclf_dagster.cli.labels.shown import show_overview

    show_overview(found)


@labels_app.command("rename")
@plainly
def rename_command(
    old: Annotated[str, typer.Argument(help="The present name of the class.")],
    new: Annotated[str, typer.Argument(help="The new name of the class.")],
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Give a class another name, in all labels so far and in later ones with the old name.

    If the new name is a class already, both become one class.

    \f
    Args:
        old: present name of the class.
        new: new name of the class.
        yes: do not ask for confirmation.
        dry_run: show the changes and make none.
    """
    _rename((old,), new, yes=yes, dry_run=dry_run)


@labels_app.command("merge")
@plainly
def merge_command(
    labels: Annotated[list[str], typer.Argument(help="Classes to merge.")],
    into: Annotated[str, typer.Option("--into", help="The name of the merged class.")],
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Make one class of several. An image that had two of them has the one.

    \f
    Args:
        labels: classes to merge.
        into: name of the merged class.
        yes: do not ask for confirmation.
        dry_run: show the changes and make none.
    """
    from labelling.labels.form import normal_label

    old = [label for label in labels if normal_label(label) != normal_label(into)]
    if not old:
        raise fail(f"{into!r} is the only class given; give the classes that are merged into it")
    _rename(tuple(old), into, yes=yes, dry_run=dry_run)


@labels_app.command("withdraw")
@plainly
def withdraw_command(
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            help="The folder under raw/ that an ingest wrote to, or an annotator, as `imgclf "
            "labels` lists them.",
        ),
    ] = None,
    label: Annotated[str | None, typer.Option("--class", help="A class.")] = None,
    file: Annotated[
        list[str] | None,
        typer.Option(
            "--file", help="An image: a file here, or its key under raw/. May be repeated."
        ),
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Withdraw the labels that a source, a class or images have so far.

    With several options, only labels that match all of them. What counted before a withdrawn label
    counts again, and labels given later count as usual.

    \f
    Args:
        source: folder of an ingest under ``raw/``, or an annotator.
        label: a class.
        file: images, as files or keys.
        yes: do not ask for confirmation.
        dry_run: show the changes and make none.
    """
    if source is None and label is None and not file:
        raise fail("give what is taken back: --source NAME, --class NAME or --file PATH")
    _decide(
        lambda settings, store, rows: _withdrawal(settings, store, rows, source, label, file or []),
        yes=yes,
        dry_run=dry_run,
    )


def _withdrawal(
    settings: Settings,
    store: "ObjectStore",
    rows: "pa.Table",
    source: str | None,
    label: str | None,
    files: list[str],
) -> "Event":
    """Build the withdrawal event.

    Raises:
        typer.Exit: the source, the class or an image is not known.
    """
    from assets.annotations.label_changes import next_number, now_after, sources_of, spellings
    from assets.annotations.label_overview import overview
    from labelling.labels.counted import counted
    from labelling.labels.events import Withdrawal

    if source is not None:
        _require_source(source, sources_of(counted(rows, settings.labels).rows))
    if label is not None:
        label = _known_class(label, overview(rows, settings.labels))
    images = {path: _image(store, rows, path) for path in files}
    labelled = set(rows["sha256"].to_pylist()) if images else set()
    for path, image in images.items():
        if image not in labelled:
            raise fail(f"{path}: this image never had a label, so nothing can be taken back")
    _say_copies(rows, images)
    others = spellings(rows, settings.labels, [label])[1:] if label is not None else []
    return Withdrawal(
        at=now_after(rows),
        by=current_user(),
        number=next_number(rows),
        source=source or "",
        label=label or "",
        spellings=tuple(others) or None,
        images=tuple(images.values()),
    )


@labels_app.command("restore")
@plainly
def restore_command(
    event: Annotated[str, typer.Argument(help="Its id, as `imgclf labels` lists it.")],
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Undo a rename, a merge or a withdrawal, as if it had never been.

    \f
    Args:
        event: id of the event.
        yes: do not ask for confirmation.
        dry_run: show the changes and make none.
    """
    _decide(lambda _, __, rows: _restoral(rows, event), yes=yes, dry_run=dry_run)


def _restoral(rows: "pa.Table", event: str) -> "Event":
    """Build the event that undoes ``event``.

    Raises:
        typer.Exit: no event in force has this id.
    """
    from assets.annotations.label_changes import next_number, now_after
    from assets.annotations.label_overview import event_id
    from labelling.labels.events import Restoral
    from labelling.labels.table import history_of

    standing = [key for key, _ in history_of(rows).standing()]
    found = [key for key in standing if event in (key, event_id(key))]
    if len(found) != 1:
        known = ", ".join(event_id(key) for key in standing) or "there is none"
        raise fail(f"no event that counts has the id {event!r}; those that do: {known}")
    return Restoral(at=now_after(rows), by=current_user(), number=next_number(rows), event=found[0])


def _opened() -> "tuple[Settings, ObjectStore]":
    from imgclf_dagster.home.home import prepare_home

    settings = load_settings()
    return settings, prepare_home(settings)


def _rename(old: tuple[str, ...], new: str, *, yes: bool, dry_run: bool) -> None:
    from labelling.labels.events import Rename

    settings, event = _decide(
        lambda settings, _, rows: _renaming(settings, rows, old, new), yes=yes, dry_run=dry_run
    )
    if settings.labels.names and isinstance(event, Rename) and not dry_run:
        _say_names(settings, event.old, event.new)


def _renaming(settings: Settings, rows: "pa.Table", old: tuple[str, ...], new: str) -> "Event":
    """Build the rename event, and print what else is known about the new name.

    Raises:
        typer.Exit: a name cannot be used.
    """
    from assets.annotations.label_changes import next_number, now_after, spellings
    from assets.annotations.label_overview import overview
    from labelling.labels.events import Rename
    from labelling.labels.foreign_text import label_flaw
    from labelling.labels.form import look_alikes, normal_label
    from labelling.report.words import count

    found = overview(rows, settings.labels)
    new = normal_label(new)
    if flaw := label_flaw(new):
        raise fail(flaw)
    names = [_known_class(label, found) for label in old]
    if new in names:
        raise fail(f"{new!r} is its name already")
    if images := found.images(new):
        console.print(
            f"{escape(new)} is a class of {count(images, 'image')} already: they become one class"
        )
    elif new in found.aliases:
        console.print(
            f"{escape(new)} was renamed to {escape(found.aliases[new])} before; it is a class of "
            "its own again"
        )
    classes = {one.label for one in found.classes if one.images or one.in_conflict} - {*names, new}
    for group in look_alikes({*classes, new}, new=[new]):
        others = ", ".join(sorted({*group.labels} - {new}))
        console.print(
            f"[yellow]{escape(new)} looks like {escape(others)}: they differ in {group.reason}[/]"
        )
    groups = spellings(rows, settings.labels, names)
    return Rename(
        at=now_after(rows),
        by=current_user(),
        number=next_number(rows),
        old=tuple(groups),
        new=new,
    )


def _say_names(settings: Settings, old: tuple[str, ...], new: str) -> None:
    """Print the line of ``imgclf.toml`` with the new names; changing the file is optional."""
    # Optional, because the configured names are read through the rename events.
    names = dict.fromkeys(new if name in old else name for name in settings.labels.names)
    if tuple(names) != settings.labels.names:
        line = ", ".join(json.dumps(name, ensure_ascii=False) for name in names)
        console.print(
            f"{escape(str(settings_file()))} may have the new name, too (it is read as if it had): "
            f"names = \\[{escape(line)}] under \\[labels]"
        )


def _known_class(label: str, found: "Overview") -> str:
    """Return the name under which class ``label`` is counted.

    Raises:
        typer.Exit: there is no such class.
    """
    import difflib

    from labelling.labels.form import normal_label
    from labelling.labels.schema import LabelSchema

    known = {one.label for one in found.classes} | found.unknown.keys()
    written = LabelSchema(task="multi_label", names=found.names).taken_for(normal_label(label))
    if written in known:
        return written
    if written in found.aliases:
        present = found.aliases[written]
        raise fail(f"{written!r} was renamed before: it is called {present!r} now")
    near = difflib.get_close_matches(written, sorted(known), n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]!r}?" if near else "; `imgclf labels` lists them"
    raise fail(f"there is no class {written!r}{hint}")


def _require_source(source: str, known: dict[str, int]) -> None:
    kinds = {"ingest", "label_studio", "predictor"}
    if source not in known and source not in kinds:
        raise fail(
            f"no label that counts is from a source {source!r}; sources: "
            f"{', '.join(known) or 'there is none'}"
        )


def _image(store: "ObjectStore", rows: "pa.Table", path: str) -> str:
    from assets.annotations.label_changes import image_of

    if Path(path).is_file():
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    image = image_of(store, path, rows)
    if image is None:
        raise fail(f"{path}: there is no such file, and no labelled image under raw/ has this name")
    return image


def _say_copies(rows: "pa.Table", images: dict[str, str]) -> None:
    """Print under which name an image was labelled, where it is another than the given one.

    Args:
        rows: of the label table.
        images: given path to image (sha256).
    """
    from assets.annotations.label_changes import keys_of

    keys = keys_of(rows, set(images.values()))
    for path, image in images.items():
        key = keys.get(image, "")
        if key and Path(key).name != Path(path).name:
            console.print(
                f"{escape(path)} has the same bytes as {escape(key)}: they are one image, which "
                "was labelled under that name"
            )


def is_asked() -> bool:
    """Whether a user can answer a question: stdin is a terminal."""
    return sys.stdin.isatty()


def _decide(
    decision: "Callable[[Settings, ObjectStore, pa.Table], Event]", *, yes: bool, dry_run: bool
) -> "tuple[Settings, Event]":
    """Build an event from the present label table, show its effect, confirm it, and write it.

    Args:
        decision: builds the event from the settings, the store and the rows of the label table. It
            is called again if another process has changed the labels in the meantime; it may raise
            ``typer.Exit``.
        yes: do not ask.
        dry_run: write nothing.

    Returns:
        The settings and the event.

    Raises:
        typer.Exit: the user declined or cannot be asked; or, with ``yes``, the effect has changed
            since it was shown.
    """
    from assets.annotations.label_changes import OvertakenError, all_rows, preview

    settings, store = _opened()
    before = None
    while True:
        rows = all_rows(store)
        event = decision(settings, store, rows)
        change = preview(rows, event, settings.labels)
        if yes and before not in (None, change):
            _show_change(change)
            raise fail(
                "nothing was changed, because the labels have changed meanwhile: these would be "
                "the changes now; run it again to apply them"
            )
        before = change
        try:
            _write(store, rows, event, change, yes=yes, dry_run=dry_run)
        except OvertakenError:
            console.print(
                "[yellow]not written:[/] somebody else has changed the labels meanwhile; the "
                "changes are computed again"
            )
        else:
            return settings, event


def _write(
    store: "ObjectStore",
    rows: "pa.Table",
    event: "Event",
    change: "Change",
    *,
    yes: bool,
    dry_run: bool,
) -> None:
    """Print what ``event`` changes, have it confirmed, and write it.

    Raises:
        OvertakenError: another process has changed the labels in the meantime.
        typer.Exit: the user declined or cannot be asked.
    """
    from assets.annotations.label_changes import keys_of, write_event
    from assets.annotations.label_overview import event_id, images_named, words_of

    console.print(f"[bold]{escape(words_of(event, keys_of(rows, images_named([event]))))}[/]")
    _show_change(change)
    if event.kind == "rename":
        console.print("later labels under the old name count as the new one")
    if dry_run:
        console.print("nothing was changed (--dry-run)")
        return
    if not yes and not is_asked():
        raise fail("nothing was changed; add --yes to do it without confirmation")
    if not yes and not typer.confirm("Do it?"):
        raise fail("nothing was changed")
    key = write_event(store, event)
    console.print(f"[green]✓[/] written: {escape(key)}")
    undo = "" if event.kind == "restore" else f" `imgclf labels restore {event_id(key)}` undoes it."
    console.print(
        f"`imgclf run` makes a data set with it (`imgclf up` does this automatically).{undo}"
    )


def _show_change(change: "Change") -> None:
    if not change.images and not change.classes:
        console.print("no label that counts changes")
        return
    console.print(
        f"images that change: {change.images:,} ({change.relabelled:,} to another label, "
        f"{change.unlabelled:,} to none)"
    )
    table = Table("class", "images now", "then")
    for label, (now, then) in change.classes.items():
        table.add_row(escape(label), f"{now:,}", f"{then:,}")
    console.print(table)
    for file, was, will in change.examples:
        console.print(f"  {escape(file)}: {escape(was)} → {escape(will)}")
    now, then = change.conflicts
    if now != then:
        console.print(f"images in conflict: {now:,} now, {then:,} then")

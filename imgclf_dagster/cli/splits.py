"""``imgclf splits``: show how images are assigned to the splits; assign all of them again."""

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from imgclf_dagster.cli.common import AsJson, console, current_user, fail, plainly
from imgclf_dagster.cli.labels.labels import is_asked
from imgclf_dagster.console import escape
from labelling.report.words import count

if TYPE_CHECKING:
    from assets.dataset.splits.overview import SplitOverview
    from imgclf_dagster.settings.root import Settings
    from object_store.store import ObjectStore

splits_app = typer.Typer(
    name="splits",
    help="Show how the images are dealt to training, validation and test; deal them again.",
    invoke_without_command=True,
)

DEAL_AGAIN = (
    "All images are grouped and dealt to the splits again, under the settings under \\[split] in "
    "imgclf.toml and {given} the splits that sources gave (ingest --keep-splits).\n- The test "
    "images change: scores from before and afterwards cannot be compared.\n- A model in "
    "production that was trained on images of the new test split counts as no champion until "
    "another one is released: the next candidate is compared with always predicting the "
    "commonest label, and evaluation and gates say so.\n- Nothing is rewritten: existing data "
    "sets, models and their scores do not change."
)


@splits_app.callback()
@plainly
def splits_command(context: typer.Context, as_json: AsJson = False) -> None:
    """Show each class's images by split, near-duplicate groups, and what is in no split."""
    if context.invoked_subcommand is not None:
        return
    from assets.dataset.splits.overview import split_overview
    from imgclf_dagster.settings.root import load_settings

    settings = load_settings()
    found = split_overview(_store(settings), settings.labels, settings.split)
    if as_json:
        print(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    else:
        _show(found)


# The hidden name is that of former versions, which scripts of users may call.
@splits_app.command("deal-again")
@splits_app.command("deal-anew", hidden=True)
@plainly
def deal_again_command(
    without_given: Annotated[
        bool,
        typer.Option("--without-given", help="Drop the splits that sources gave (--keep-splits)."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    r"""Let the next run deal all images to the splits again.

    Use it when `class_floor_met` says so, or to apply a change under \[split] after a model was
    released; before that, a change under \[split] deals again automatically.
    """
    from assets.dataset.splits.generations import deal_again
    from assets.dataset.splits.given_splits import withdraw_given_splits
    from assets.dataset.splits.lost_generation import highest_generation
    from imgclf_dagster.settings.root import load_settings

    settings = load_settings()
    store = _store(settings)
    given = "without" if without_given else "with"
    console.print(DEAL_AGAIN.format(given=given))
    if not yes and not is_asked():
        raise fail("nothing was changed; add --yes to do it without confirmation")
    if not yes and not typer.confirm("Do it?"):
        raise fail("nothing was changed")
    user = current_user()
    if without_given:
        console.print(f"{withdraw_given_splits(store):,} given splits are taken back")
    # Also over a damaged record, of which this is a remedy.
    number = highest_generation(store) + 1
    found = deal_again(store, settings.split, f"asked for by {user}", by=user, number=number)
    console.print(
        f"[green]✓[/] written: dealing {found.generation}. `imgclf run` deals the images and "
        "makes a data set with it"
    )


def _store(settings: "Settings") -> "ObjectStore":
    from imgclf_dagster.home.home import prepare_home

    return prepare_home(settings)


def _show(found: "SplitOverview") -> None:
    if not found.images:
        console.print("no image was dealt to a split yet (imgclf ingest SRC, then imgclf run)")
        return
    table = Table(Column("class", overflow="fold"), "train", "validation", "test", "groups")
    for label, counts in found.classes.items():
        cells = (f"{counts[name]:,}" for name in ("train", "val", "test", "groups"))
        table.add_row(escape(label) or "[dim]none[/]", *cells)
    console.print(table)
    total = sum(found.images.values())
    text = (
        f"{count(total, 'image')} in {count(found.groups, 'near-duplicate group')}, the largest of "
    )
    text += f"{found.largest:,}"
    if waiting := found.images.get("", 0):
        text += f"; {count(waiting, 'is', 'are')} not dealt yet, for lack of a label"
    console.print(text)
    for reason, images in found.excluded.items():
        console.print(f"[yellow]{images:,} in no split:[/] {escape(reason)}")
    if found.given:
        console.print(f"{count(found.given, 'has', 'have')} a split that the source gave")
    if found.too_late:
        console.print(
            f"[yellow]{found.too_late:,} of them had been dealt to another split before, which "
            "stays:[/] `imgclf splits deal-again` applies the given splits"
        )
    if found.generation:
        console.print(
            f"dealt again {count(found.generation, 'time')}, last: {escape(found.reason)}"
        )
    if found.changed:
        changed = escape(", ".join(found.changed))
        then = (
            "it applies to new images only; `imgclf splits deal-again` applies it to all"
            if found.released
            else "the next `imgclf run` applies it to all images, as no model was released yet"
        )
        console.print(f"\\[split] changed since ({changed}): {then}")

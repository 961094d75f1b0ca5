"""``imgclf label-studio``: install Label Studio, set up its project, show the login."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from errors.base import ImgclfError
from imgclf_dagster.cli.common import AsJson, console, errors, plainly
from imgclf_dagster.console import escape
from imgclf_dagster.settings.root import load_settings

if TYPE_CHECKING:
    from imgclf_dagster.label_studio.install import Installation, InstallProgress
    from imgclf_dagster.label_studio.setup import SetUp

label_studio_app = typer.Typer(
    name="label-studio",
    help="Label Studio, where people label images: `imgclf up --label-studio` runs one.",
    no_args_is_help=True,
)


@label_studio_app.command("install")
@plainly
def install_command() -> None:
    """Install Label Studio into an environment of its own, once for all homes of this user.

    `imgclf up --label-studio` does it by itself; do it beforehand to work without a network.
    """
    installation = install_shown(errors)
    console.print(f"Label Studio {installation.version} at {installation.python.parents[1]}")


@label_studio_app.command("setup")
@plainly
def setup_command(as_json: AsJson = False) -> None:
    """Make the project in Label Studio, show it the images, connect ML backend and webhook.

    On the server that `imgclf up --label-studio` runs, or the one that label_studio.url names. Done
    again, it changes nothing; a changed label schema is taken over, but a class that annotations
    use is never dropped. Exit code 1: something is missing; it says what and what to do.
    """
    from imgclf_dagster.home.home import prepare_home
    from imgclf_dagster.label_studio.setup import set_up

    try:
        settings = load_settings()
        prepare_home(settings)
        done = set_up(settings)
    except ImgclfError as error:
        if not as_json:
            raise
        print(json.dumps({"problems": [str(error)]}))
        raise typer.Exit(1) from None
    if as_json:
        print(json.dumps(asdict(done), ensure_ascii=False))
    else:
        _show(done)
    if done.problems:
        raise typer.Exit(1)


@label_studio_app.command("login")
@plainly
def login_command(as_json: AsJson = False) -> None:
    """Show address, user and password of the Label Studio that `imgclf up --label-studio` runs."""
    from imgclf_dagster.label_studio.access import own_server
    from imgclf_dagster.label_studio.server import USERNAME

    server = own_server(load_settings())
    login = {"url": server.url, "user": USERNAME, "password": server.password()}
    if as_json:
        print(json.dumps(login))
        return
    for name, value in login.items():
        console.print(f"{name:8}  {escape(value)}")


def install_shown(shown_on: Console) -> "Installation":
    """Return the installation of Label Studio; install it if missing, with a progress bar.

    Raises:
        LabelStudioNotInstalled: it could not be installed.
    """
    from imgclf_dagster.label_studio.install import find_installation, install

    found = find_installation()
    if found is not None:
        return found
    with _progress(shown_on) as report:
        return install(report)


@contextmanager
def _progress(shown_on: Console) -> Iterator["InstallProgress"]:
    shown_on.print("Label Studio is installed once into an environment of its own (0.7 GB).")
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=shown_on, transient=True) as progress:
        task = progress.add_task("installing Label Studio", total=1.0)
        furthest = 0.0

        def report(what: str, share: float) -> None:
            nonlocal furthest
            furthest = max(furthest, share)
            progress.update(task, description=escape(what[:60].ljust(60)), completed=furthest)

        yield report


def _show(done: "SetUp") -> None:
    mark = "[yellow]![/]" if done.problems else "[green]✓[/]"
    console.print(f"{mark} {escape(done.title)}  [bold]{done.link}[/]")
    console.print(f"  labels: {escape(', '.join(done.labels))}")
    for problem in done.problems:
        console.print(f"[yellow]![/] {escape(problem)}")

"""What the commands share: how they speak, how they fail, and who is asking."""

import functools
import getpass
from collections.abc import Callable
from typing import Annotated, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

P = ParamSpec("P")
R = TypeVar("R")

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON for a script to read.")]


def fail(message: str, code: int = 1) -> typer.Exit:
    """Say what is wrong on stderr; the exit to raise."""
    errors.print(f"[red]error:[/] {escape(message)}")
    return typer.Exit(code)


def plainly(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors that a user can do something about into one message and exit code 1.

    Anything else is a defect of ours and keeps its traceback.
    """

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        from imgclf_dagster.decisions import DecisionError
        from imgclf_dagster.runner import RunInProgress
        from imgclf_dagster.settings import SettingsError
        from resources.endpoint_host import DeploymentFailed, HostUnavailable
        from resources.model_registry import RegistryError
        from resources.object_store import StoreError
        from serving.launch import HostNotStarted

        expected = (
            SettingsError,
            StoreError,
            RunInProgress,
            DecisionError,
            RegistryError,
            HostUnavailable,
            HostNotStarted,
            DeploymentFailed,
        )
        try:
            return command(*args, **kwargs)
        except expected as error:
            raise fail(str(error)) from error
        except KeyboardInterrupt:
            raise fail(
                "interrupted; what was complete is kept, run it again to go on", 130
            ) from None

    return wrapped


def current_user() -> str:
    """The name a decision is signed with when none is given."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a passwd entry
        return "unknown"

"""What the commands of ``imgclf deploy`` share: show a stack's changes, confirm, execute, report."""

import functools
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer

from imgclf_dagster.cli.common import console, errors, fail, plainly
from imgclf_dagster.console import escape

if TYPE_CHECKING:
    from resources.stacks.plan import StackPlan, StackRequest, StackResult
    from resources.stacks.stacks import Stacks

P = ParamSpec("P")
R = TypeVar("R")

Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A parameter of the template, as Name=Value; may be repeated."),
]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Show the changes, and stop.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def speaking(command: Callable[P, R]) -> Callable[P, R]:
    """Decorate a command as ``plainly`` does, and translate boto3 errors for the user."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        from botocore.exceptions import BotoCoreError, ClientError

        from resources.aws.errors import explained

        try:
            return command(*args, **kwargs)
        except (ClientError, BotoCoreError) as error:
            message, remedy = explained(error, "deploying")
            raise fail(message, remedy=remedy) from error

    return plainly(wrapped)


def deploy_stack(
    request: "StackRequest",
    stacks: "Stacks",
    *,
    plan_only: bool,
    yes: bool,
    as_json: bool,
    timeout_s: float = 7200,
) -> "StackResult | None":
    """Plan the changes of a stack, have them confirmed, and execute them.

    Args:
        request: the stack's name, template, parameters and tags.
        stacks: CloudFormation of the account and region.
        plan_only: show the changes, discard the change set and execute nothing.
        yes: execute without asking.
        as_json: print nothing but JSON on stdout; progress goes to stderr.
        timeout_s: maximum duration of the execution (seconds).

    Returns:
        The executed stack's result; ``None`` with ``plan_only``.

    Raises:
        StackError: the stack cannot be changed so, or the operation failed or timed out.
        typer.Exit: the user declined, cannot be asked, or pressed Ctrl-C.
    """
    tell = event_printer(as_json)
    plan = stacks.plan(request, on_event=tell, only_look=plan_only)
    if plan_only:
        _show(plan, as_json)
        stacks.discard(plan)
        return None
    if not plan.is_empty and not yes:
        _ask(plan, stacks, as_json)
    try:
        result = stacks.execute(plan, on_event=tell, timeout_s=timeout_s)
    except KeyboardInterrupt:
        raise fail(
            f"interrupted; the deployment of {plan.request.name} continues in AWS; run this again "
            "to wait for it",
            130,
        ) from None
    if not as_json:
        console.print(f"[green]✓[/] {result.name} {result.status}")
        for name, value in sorted(result.outputs.items()):
            console.print(f"  {name}: {escape(value)}")
    return result


def event_printer(as_json: bool) -> Callable[[str], None]:
    """Return a function that prints a progress line: on stderr with ``as_json``, else on stdout."""
    speaker = errors if as_json else console
    return lambda line: speaker.print(escape(line))


def _show(plan: "StackPlan", as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(change) for change in plan.changes], indent=1))
    elif plan.is_empty:
        console.print(f"{plan.request.name}: nothing to change")
    else:
        console.print(f"{len(plan.changes)} changes; nothing was done")


def _ask(plan: "StackPlan", stacks: "Stacks", as_json: bool) -> None:
    """Have the user confirm the plan; if not confirmed, discard it and raise ``typer.Exit``."""

    def leave(message: str) -> NoReturn:
        stacks.discard(plan)
        raise fail(message)

    if as_json or not sys.stdin.isatty():
        leave(
            "this is not an interactive terminal: add --yes to do it, or --plan to show the "
            "changes only"
        )
    try:
        agreed = typer.confirm(f"{len(plan.changes)} changes to {plan.request.name}: do it?")
    except (typer.Abort, KeyboardInterrupt):
        agreed = False
    if not agreed:
        leave("nothing was changed")


def pairs(chosen: list[str] | None) -> dict[str, str]:
    """Parse the values of ``--set``, each ``Name=Value``.

    Raises:
        typer.Exit: one has another form.
    """
    found: dict[str, Any] = {}
    for text in chosen or []:
        name, equals, value = text.partition("=")
        if not equals or not name.isalnum():
            raise fail(f"--set {text}: write it as Name=Value", 2)
        found[name] = value
    return found

"""``imgclf deploy``: what the line needs in an AWS account, part by part."""

import functools
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer
from rich.markup import escape

from imgclf_dagster.cli.common import AsJson, console, errors, fail, plainly
from imgclf_dagster.settings import Settings, load_settings

if TYPE_CHECKING:
    from imgclf_dagster.deployments import Part
    from resources.aws.stack_plan import StackPlan, StackResult
    from resources.aws.stacks import Stacks

P = ParamSpec("P")
R = TypeVar("R")

deploy_app = typer.Typer(
    name="deploy",
    help="Put into an AWS account what the line needs. In order: foundation, image; then, if "
    "wanted, edge, orchestrator, cicd. Endpoints are deployed by the line itself.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A parameter of the template, as Name=Value; may be repeated."),
]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Show what would change, and stop.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]


def _speaking(command: Callable[P, R]) -> Callable[P, R]:
    """``plainly``, and AWS's refusals in words that say what to do."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        from botocore.exceptions import BotoCoreError, ClientError

        from imgclf_dagster.container_image import ImageNotPushed
        from resources.aws.errors import told
        from resources.aws.stack_errors import StackError

        try:
            return command(*args, **kwargs)
        except (StackError, ImageNotPushed) as error:
            raise fail(str(error)) from error
        except (ClientError, BotoCoreError) as error:
            raise fail(told(error, "deploying")) from error

    return plainly(wrapped)


@deploy_app.command("foundation")
@_speaking
def foundation_command(
    email: Annotated[str, typer.Option(help="Where alarms and the budget write to.")] = "",
    budget: Annotated[
        int | None, typer.Option(min=0, help="USD a month above which you are told; 0 for none.")
    ] = None,
    chosen: Set = None,
    plan_only: PlanOnly = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Store, key, queue, registry, image repository, roles, alerts and budget.

    Writes what it made to aws.toml beside imgclf.toml, where profile aws finds it.
    """
    from imgclf_dagster.deployments import settings_of, write_deployed

    parameters = _pairs(chosen)
    if email:
        parameters["AlertsEmail"] = email
    if budget is not None:
        parameters["MonthlyBudgetUSD"] = str(budget)
    settings = load_settings()
    stacks = _stacks(settings)
    result = _deploy("foundation", settings, stacks, parameters, plan_only, yes, as_json)
    if result is None:
        return
    path = write_deployed(settings_of(result.outputs, stacks.client.meta.region_name))
    if as_json:
        print(json.dumps({**asdict(result), "settings_file": str(path)}, indent=1))
        return
    console.print(f"[green]✓[/] {escape(str(path))} holds the settings that follow from it")
    if settings.profile != "aws":
        console.print('Next: profile = "aws" in imgclf.toml (or IMGCLF_PROFILE=aws), then')
    console.print("      imgclf deploy image")


@deploy_app.command("image")
@_speaking
def image_command(
    tag: Annotated[str, typer.Option(help="Its tag; the version and commit if left out.")] = "",
    gpu: Annotated[bool, typer.Option("--gpu", help="The one for instances with GPUs.")] = False,
    lines_only: Annotated[
        bool, typer.Option("--print", help="Only print the lines that build and push it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build the container image with Docker, push it to ECR, and have the line use it.

    An image that is there already is only taken into use.
    """
    from imgclf_dagster.container_image import (
        build_and_push,
        default_tag,
        is_pushed,
        push_commands,
    )
    from imgclf_dagster.deployments import stack_name, write_deployed
    from imgclf_dagster.profile_aws import build_session

    settings = load_settings()
    stacks = _stacks(settings)
    repository = stacks.outputs(stack_name(settings, "foundation"))["ImageRepositoryUri"]
    region = stacks.client.meta.region_name
    tag = tag or default_tag() + ("-gpu" if gpu else "")
    if lines_only:
        print("\n".join(push_commands(repository, tag, region, gpu=gpu)))
        return
    pushed = is_pushed(build_session(settings).client("ecr"), repository, tag)
    if not pushed:
        build_and_push(repository, tag, region, gpu=gpu)
    name = "gpu_image_uri" if gpu else "image_uri"
    path = write_deployed({name: f"{repository}:{tag}"})
    if as_json:
        told = {name: f"{repository}:{tag}", "pushed": not pushed, "settings_file": str(path)}
        print(json.dumps(told, indent=1))
    else:
        console.print(f"[green]✓[/] aws.{name} is {repository}:{tag} ({escape(str(path))})")
        console.print("Next: imgclf doctor")


@deploy_app.command("edge")
@_speaking
def edge_command(
    chosen: Set = None, plan_only: PlanOnly = False, yes: Yes = False, as_json: AsJson = False
) -> None:
    """The HTTP API in front of the prod endpoint, which asks everybody who they are."""
    _deploy_part("edge", chosen, plan_only, yes, as_json)


@deploy_app.command("orchestrator")
@_speaking
def orchestrator_command(
    chosen: Set = None, plan_only: PlanOnly = False, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Dagster on ECS Fargate with Postgres on RDS, behind a load balancer with a login.

    The first time it needs --set VpcId=…, PublicSubnetIds=…, PrivateSubnetIds=…, AllowedCidr=…,
    HostName=… and CertificateArn=….
    """
    _deploy_part("orchestrator", chosen, plan_only, yes, as_json)


@deploy_app.command("cicd")
@_speaking
def cicd_command(
    chosen: Set = None, plan_only: PlanOnly = False, yes: Yes = False, as_json: AsJson = False
) -> None:
    """The pipeline from a commit to staging and, once approved, to prod."""
    _deploy_part("cicd", chosen, plan_only, yes, as_json)


def _deploy_part(
    part: "Part", chosen: list[str] | None, plan_only: bool, yes: bool, as_json: bool
) -> None:
    settings = load_settings()
    stacks = _stacks(settings)
    result = _deploy(part, settings, stacks, _pairs(chosen), plan_only, yes, as_json)
    if result is not None and as_json:
        print(json.dumps(asdict(result), indent=1))


def _deploy(
    part: "Part",
    settings: Settings,
    stacks: "Stacks",
    chosen: dict[str, str],
    plan_only: bool,
    yes: bool,
    as_json: bool,
) -> "StackResult | None":
    """Plan, ask, execute, tell. ``None`` if it was only planned."""
    from imgclf_dagster.deployments import request_for

    speaker = errors if as_json else console

    def tell(line: str) -> None:
        speaker.print(escape(line))

    request = request_for(part, settings, stacks, chosen)
    plan = stacks.plan(request, on_event=tell, only_look=plan_only)
    if plan_only:
        _show(plan, as_json)
        stacks.discard(plan)
        return None
    if not plan.is_empty and not yes:
        _ask(plan, stacks, as_json)
    try:
        result = stacks.execute(plan, on_event=tell)
    except KeyboardInterrupt:
        raise fail(
            f"interrupted; the deployment of {plan.request.name} goes on in AWS, run this again "
            "to wait for it",
            130,
        ) from None
    if not as_json:
        console.print(f"[green]✓[/] {result.name} {result.status}")
        for name, value in sorted(result.outputs.items()):
            console.print(f"  {name}: {escape(value)}")
    return result


def _show(plan: "StackPlan", as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(change) for change in plan.changes], indent=1))
    elif plan.is_empty:
        console.print(f"{plan.request.name}: nothing to change")
    else:
        console.print(f"{len(plan.changes)} changes; nothing was done")


def _ask(plan: "StackPlan", stacks: "Stacks", as_json: bool) -> None:
    """Have the user agree, or drop the plan and leave."""

    def leave(message: str) -> NoReturn:
        stacks.discard(plan)
        raise fail(message)

    if as_json or not sys.stdin.isatty():
        leave("nobody can be asked here: add --yes to do it, or --plan to only look")
    try:
        agreed = typer.confirm(f"{len(plan.changes)} changes to {plan.request.name}: do it?")
    except (typer.Abort, KeyboardInterrupt):
        agreed = False
    if not agreed:
        leave("nothing was changed")


def _stacks(settings: Settings) -> "Stacks":
    from imgclf_dagster.profile_aws import build_session
    from resources.aws.stacks import Stacks

    return Stacks(
        session=build_session(settings),
        bucket=settings.aws.bucket,
        prefix=settings.aws.prefix,
        poll_s=min(5.0, settings.aws.poll_s),
    )


def _pairs(chosen: list[str] | None) -> dict[str, str]:
    """``Name=Value`` as a mapping."""
    pairs: dict[str, Any] = {}
    for text in chosen or []:
        name, equals, value = text.partition("=")
        if not equals or not name.isalnum():
            raise fail(f"--set {text}: write it as Name=Value", 2)
        pairs[name] = value
    return pairs

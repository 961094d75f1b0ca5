"""``imgclf deploy``: create the AWS resources of the line, one stack at a time."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from imgclf_dagster.cli.common import AsJson, console, fail
from imgclf_dagster.cli.deploy.stack_plans import (
    PlanOnly,
    Set,
    Yes,
    deploy_stack,
    event_printer,
    pairs,
    speaking,
)
from imgclf_dagster.cli.served import served
from imgclf_dagster.console import escape
from imgclf_dagster.settings.root import Settings, load_settings
from serving.deployments import Stage

if TYPE_CHECKING:
    from imgclf_dagster.cloud.stack_requests import Part
    from resources.stacks.plan import StackResult
    from resources.stacks.stacks import Stacks

deploy_app = typer.Typer(
    name="deploy",
    help="Set up an AWS account for the line. In order: foundation, image; then, optionally, "
    "edge, orchestrator, cicd. The line deploys endpoints itself; endpoint applies other "
    "settings to them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@deploy_app.command("foundation")
@speaking
def foundation_command(
    email: Annotated[str, typer.Option(help="Address for alarms and the budget.")] = "",
    budget: Annotated[
        int | None,
        typer.Option(min=0, help="USD a month above which you are notified; 0 for none."),
    ] = None,
    chosen: Set = None,
    plan_only: PlanOnly = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Store, key, queue, registry, image repository, roles, alerts and budget.

    Writes what it made to aws.toml beside imgclf.toml, where profile aws finds it.

    \f
    Args:
        email: address for alarms and the budget.
        budget: USD a month above which a notification is sent; 0 for none.
        chosen: parameters of the stack, as ``NAME=VALUE``.
        plan_only: show the changes and make none.
        yes: do not ask for confirmation.
        as_json: print JSON.
    """
    from imgclf_dagster.cloud.stack_requests import settings_of, write_deployed

    parameters = pairs(chosen)
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
    console.print(f"[green]✓[/] {escape(str(path))} holds the resulting settings")
    if settings.profile != "aws":
        console.print('Next: profile = "aws" in imgclf.toml (or IMGCLF_PROFILE=aws), then')
    console.print("      imgclf deploy image")


@deploy_app.command("image")
@speaking
def image_command(
    tag: Annotated[str, typer.Option(help="Its tag; default: the version and commit.")] = "",
    gpu: Annotated[bool, typer.Option("--gpu", help="The image for instances with GPUs.")] = False,
    lines_only: Annotated[
        bool, typer.Option("--print", help="Only print the commands that build and push it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build the container image with Docker, push it to ECR, and have the line use it.

    An image that is there already is only taken into use.

    \f
    Args:
        tag: of the image; empty: version and commit.
        gpu: build the image for instances with GPUs.
        lines_only: only print the commands.
        as_json: print JSON.
    """
    from imgclf_dagster.cloud.container_image import (
        build_and_push,
        default_tag,
        is_pushed,
        push_commands,
    )
    from imgclf_dagster.cloud.stack_requests import stack_name, write_deployed
    from imgclf_dagster.profiles.aws import build_session

    settings = load_settings()
    stacks = _stacks(settings)
    repository = stacks.outputs(stack_name(settings, "foundation"))["ImageRepositoryUri"]
    region = stacks.client.meta.region_name
    tag = tag or default_tag() + ("-gpu" if gpu else "")
    if lines_only:
        print("\n".join(push_commands(repository, tag, region, gpu=gpu)))
        return
    ecr = build_session(settings).client("ecr")
    pushed = is_pushed(ecr, repository, tag)
    if not pushed:
        build_and_push(repository, tag, region, gpu=gpu)
        # Docker's exit code is not enough: the image must be in ECR, in a format SageMaker accepts.
        if not is_pushed(build_session(settings).client("ecr"), repository, tag):
            raise fail(
                f"{repository}:{tag} is not in the repository after it was pushed; push again"
            )
    name = "gpu_image_uri" if gpu else "image_uri"
    path = write_deployed({name: f"{repository}:{tag}"})
    if as_json:
        facts = {name: f"{repository}:{tag}", "pushed": not pushed, "settings_file": str(path)}
        print(json.dumps(facts, indent=1))
    else:
        console.print(f"[green]✓[/] aws.{name} is {repository}:{tag} ({escape(str(path))})")
        console.print("Next: imgclf doctor")


@deploy_app.command("endpoint")
@speaking
def endpoint_command(
    stage: Annotated[Stage, typer.Argument(help="Whose endpoint.")],
    plan_only: PlanOnly = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Bring an endpoint that serves to today's settings and image; its model stays.

    After its stages' file, a setting of AWS or the image has changed: without it, what is new comes
    with the next model.

    \f
    Args:
        stage: whose endpoint is updated.
        plan_only: show the changes and make none.
        yes: do not ask for confirmation.
        as_json: print JSON.
    """
    from imgclf_dagster.profiles.aws import build_endpoints, build_store

    settings = load_settings()
    if settings.profile != "aws":
        raise fail("endpoints have settings under profile aws only (IMGCLF_PROFILE=aws)", 2)
    endpoints = build_endpoints(settings, build_store(settings))
    record, status = endpoints.current(stage), endpoints.describe(stage)
    if record is None:
        raise fail(f"nothing was deployed to {stage} yet; the line does it, with today's settings")
    if status.status != "InService":
        raise fail(
            f"{status.name} does not serve what is recorded, so run the line first: materialize "
            f"{stage}_endpoint (`imgclf up` does it automatically), which takes today's settings, "
            f"too ({status.failure_reason or status.status})"
        )
    stack = endpoints.stack(stage)
    stack.check_conversion()
    result = deploy_stack(
        stack.request(record.deployment),
        stack.stacks,
        plan_only=plan_only,
        yes=yes,
        as_json=as_json,
        timeout_s=endpoints.deploy_timeout_s,
    )
    if result is None:
        return
    status = endpoints.ensure_configuration(stage, result, event_printer(as_json))
    if status.digest != record.digest:
        raise fail(f"{served(status)}, and {record.model_version} is what was deployed there")
    if as_json:
        print(json.dumps({**asdict(result), "model_version": status.model_version}, indent=1))
    else:
        console.print(f"[green]✓[/] {status.name} serves {escape(str(status.model_version))}")


@deploy_app.command("edge")
@speaking
def edge_command(
    chosen: Set = None, plan_only: PlanOnly = False, yes: Yes = False, as_json: AsJson = False
) -> None:
    """The HTTP API in front of the prod endpoint, which asks everybody who they are.

    \f
    Args:
        chosen: parameters of the stack, as ``NAME=VALUE``.
        plan_only: show the changes and make none.
        yes: do not ask for confirmation.
        as_json: print JSON.
    """
    _deploy_part("edge", chosen, plan_only, yes, as_json)


@deploy_app.command("orchestrator")
@speaking
def orchestrator_command(
    chosen: Set = None, plan_only: PlanOnly = False, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Dagster on ECS Fargate with Postgres on RDS, behind a load balancer with a login.

    The first time it needs --set VpcId=…, PublicSubnetIds=…, PrivateSubnetIds=…, AllowedCidr=…,
    HostName=… and CertificateArn=….

    \f
    Args:
        chosen: parameters of the stack, as ``NAME=VALUE``.
        plan_only: show the changes and make none.
        yes: do not ask for confirmation.
        as_json: print JSON.
    """
    _deploy_part("orchestrator", chosen, plan_only, yes, as_json)


@deploy_app.command("cicd")
@speaking
def cicd_command(
    chosen: Set = None, plan_only: PlanOnly = False, yes: Yes = False, as_json: AsJson = False
) -> None:
    """The pipeline from a commit to staging and, once approved, to prod.

    \f
    Args:
        chosen: parameters of the stack, as ``NAME=VALUE``.
        plan_only: show the changes and make none.
        yes: do not ask for confirmation.
        as_json: print JSON.
    """
    _deploy_part("cicd", chosen, plan_only, yes, as_json)


def _deploy_part(
    part: "Part", chosen: list[str] | None, plan_only: bool, yes: bool, as_json: bool
) -> None:
    settings = load_settings()
    stacks = _stacks(settings)
    result = _deploy(part, settings, stacks, pairs(chosen), plan_only, yes, as_json)
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
    from imgclf_dagster.cloud.stack_requests import request_for

    request = request_for(part, settings, stacks, chosen)
    return deploy_stack(request, stacks, plan_only=plan_only, yes=yes, as_json=as_json)


def _stacks(settings: Settings) -> "Stacks":
    from imgclf_dagster.profiles.aws import build_session
    from resources.stacks.stacks import Stacks

    return Stacks(
        session=build_session(settings),
        bucket=settings.aws.bucket,
        prefix=settings.aws.prefix,
        poll_s=min(5.0, settings.aws.poll_s),
    )

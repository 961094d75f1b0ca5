"""``imgclf approve``, ``reject`` and ``rollback``: a person decides."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from imgclf_dagster.cli.common import console, current_user, fail, plainly
from imgclf_dagster.settings import Settings, load_settings

if TYPE_CHECKING:
    from imgclf_dagster.runner import LineRunner

Version = Annotated[
    str | None,
    typer.Argument(help="Model version, or a unique beginning of one. Default: the staged one."),
]
By = Annotated[str | None, typer.Option("--by", help="Who decides. Default: your user name.")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why. Kept with the decision.")]

START_S = 60.0
"""How long the sensor and Dagster may take to begin with a decision (seconds)."""

POLL_S = 0.5


@plainly
def approve_command(reason: Reason, model_version: Version = None, by: By = None) -> None:
    """Approve a staged package and roll it out to production.

    Refused, with the reasons, if the package failed a blocking check or is not what was checked.
    """
    from assets.release_verification import package_objections
    from imgclf_dagster.decisions import choose_package
    from imgclf_dagster.definitions import build_endpoints, build_registry
    from imgclf_dagster.home import prepare_home

    settings = load_settings()
    store = prepare_home(settings)
    registry, endpoints = build_registry(settings), build_endpoints(settings)
    package = choose_package(registry, endpoints, model_version)
    objections = package_objections(store, package, after_staging=True)
    if objections:
        listed = "\n".join(f"- {objection}" for objection in objections)
        raise fail(f"{package.model_version} cannot be approved:\n{listed}")
    registry.set_approval(
        package.model_version,
        "Approved",
        by=by or current_user(),
        reason=reason,
        digest=package.digest,
    )
    console.print(f"{escape(package.model_version)} is approved by {escape(by or current_user())}")
    _carry_out(settings, package.digest)


@plainly
def reject_command(reason: Reason, model_version: Version = None, by: By = None) -> None:
    """Reject a package. If it is in production, the one before it is rolled out again."""
    from imgclf_dagster.decisions import choose_package, previous_deployment
    from imgclf_dagster.definitions import build_endpoints, build_registry
    from imgclf_dagster.home import prepare_home

    settings = load_settings()
    prepare_home(settings)
    registry, endpoints = build_registry(settings), build_endpoints(settings)
    package = choose_package(registry, endpoints, model_version)
    serving = endpoints.current("prod")
    in_production = serving is not None and serving.digest == package.digest
    target = previous_deployment(endpoints, registry) if in_production else None
    registry.set_approval(
        package.model_version,
        "Rejected",
        by=by or current_user(),
        reason=reason,
        digest=package.digest,
    )
    console.print(f"{escape(package.model_version)} is rejected by {escape(by or current_user())}")
    if target is not None:
        _carry_out(settings, target.digest)
    elif in_production:
        raise fail(
            f"{package.model_version} is in production and there is no approved version before it "
            "to return to: it goes on serving until another is approved"
        )


@plainly
def rollback_command(reason: Reason, by: By = None) -> None:
    """Return production to the approved version before the present one, and reject that one."""
    from imgclf_dagster.decisions import DecisionError, previous_deployment
    from imgclf_dagster.definitions import build_endpoints, build_registry

    settings = load_settings()
    registry, endpoints = build_registry(settings), build_endpoints(settings)
    serving = endpoints.current("prod")
    if serving is None:
        raise DecisionError("nothing is in production, so there is nothing to roll back")
    if previous_deployment(endpoints, registry) is None:
        raise DecisionError(
            f"{serving.model_version} is the only approved version production ever had"
        )
    reject_command(reason=f"rolled back: {reason}", model_version=serving.model_version, by=by)


def _carry_out(settings: Settings, digest: str) -> None:
    """See the decision through: by ``imgclf up`` if it runs, else here and now."""
    from imgclf_dagster.presence import is_up
    from imgclf_dagster.progress import ConsoleNarrator
    from imgclf_dagster.runner import line_runner

    if is_up(settings.run_dir):
        _wait_for(settings, digest)
        return
    with line_runner(settings, ConsoleNarrator(console)) as runner:
        for outcome in runner.settle_decisions():
            if not outcome.success:
                reasons = "\n".join(f"{name}: {why}" for name, why in outcome.failures.items())
                raise fail(f"production was not changed:\n{reasons}")
        _say_what_serves(runner)


def _say_what_serves(runner: "LineRunner") -> None:
    runner.await_host()
    status = runner.endpoints.describe("prod")
    console.print(
        f"[green]✓[/] production serves {escape(str(status.model_version))} "
        f"(digest {str(status.digest)[:12]})"
    )


def _wait_for(settings: Settings, digest: str) -> None:
    import dagster as dg

    from imgclf_dagster.definitions import build_endpoints
    from imgclf_dagster.progress import failure_since

    endpoints = build_endpoints(settings)
    since = datetime.now(UTC)
    wait_s = START_S + endpoints.deploy_timeout_s
    poll_s = settings.aws.poll_s if settings.profile == "aws" else POLL_S
    deadline = time.monotonic() + wait_s
    with dg.DagsterInstance.get() as instance, console.status("imgclf up carries it out …"):
        while time.monotonic() < deadline:
            status = endpoints.describe("prod")
            if status.digest == digest and status.status == "InService":
                console.print(f"[green]✓[/] production serves {escape(str(status.model_version))}")
                return
            failure = failure_since(instance, since, ("release_approval", "prod_endpoint"))
            if failure is not None:
                raise fail(f"production was not changed; the decision stands:\n{failure}")
            time.sleep(poll_s)
    raise fail(
        f"production does not serve the decided version after {wait_s:.0f} s; the decision stands: "
        f"see the runs of release_approval and prod_endpoint at "
        f"http://127.0.0.1:{settings.ports.dagster}/runs"
    )

"""``imgclf approve``, ``reject`` and ``rollback``: record a person's decision and carry it out."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from imgclf_dagster.cli.common import console, current_user, fail, plainly
from imgclf_dagster.cli.served import require_served, say_served, served
from imgclf_dagster.cli.without_pandas import keep_pandas_out
from imgclf_dagster.console import escape
from training.container.quick_imports import without_collection

if TYPE_CHECKING:
    from imgclf_dagster.settings.root import Settings
    from object_store.store import ObjectStore
    from resources.endpoints.endpoint_host import Endpoints
    from resources.registry.registry import ModelPackage, ModelRegistry
    from serving.deployments import EndpointStatus

Version = Annotated[
    str | None,
    typer.Argument(help="Model version, or a unique beginning of one. Default: the staged one."),
]


def _stripped(given: str | None) -> str | None:
    """Strip an option's value.

    Raises:
        typer.BadParameter: nothing is left.
    """
    if given is None:
        return None
    if not given.strip():
        raise typer.BadParameter("it is empty; give who decides and why; both are recorded")
    return given.strip()


By = Annotated[
    str | None,
    typer.Option("--by", callback=_stripped, help="Who decides; default: your user name."),
]
Reason = Annotated[
    str,
    typer.Option(
        "--reason", "-r", callback=_stripped, help="The reason; it is recorded with the decision."
    ),
]

START_S = 60.0
"""Maximum time for the sensor and Dagster to start the run of a decision (seconds)."""

POLL_S = 0.5

FAILURES_AFTER_S = 15.0
"""Seconds before failed runs are looked for: opening Dagster's database costs 0.5 CPU seconds, and
most roll-outs are done by then."""

FAILURES_POLL_S = 1.0


@plainly
def approve_command(reason: Reason, model_version: Version = None, by: By = None) -> None:
    """Approve a staged package and roll it out to production.

    Refused, with the reasons, if the package failed a blocking check or its digest is not the one
    that was checked. The artefact itself is verified right before production serves it.

    \f
    Args:
        reason: recorded with the decision.
        model_version: first characters of a version; ``None``: the staged one.
        by: who decides; ``None``: the user name.
    """
    with without_collection("dagster"):
        from assets.release.verification import package_objections
        from imgclf_dagster.decisions import choose_package, former_decision
        from imgclf_dagster.home.home import prepare_home
        from imgclf_dagster.profiles.chosen import build_endpoints, build_registry
        from imgclf_dagster.settings.root import load_settings

    keep_pandas_out()
    settings = load_settings()
    store = prepare_home(settings)
    registry, endpoints = build_registry(settings), build_endpoints(settings)
    package = choose_package(registry, endpoints, model_version)
    former = former_decision(package, "Approved", named=model_version is not None)
    if former:
        console.print(f"[yellow]{escape(package.model_version)}:[/] {escape(former)}")
    objections = package_objections(store, package, after_staging=True)
    if objections:
        listed = "\n".join(f"- {objection}" for objection in objections)
        raise fail(f"{package.model_version} cannot be approved:\n{listed}")
    _warn(store, package)
    approved = registry.set_approval(
        package.model_version,
        "Approved",
        by=by or current_user(),
        reason=reason,
        digest=package.digest,
        after=package.decision_order,
    )
    _say_decided(registry, approved)
    _carry_out(settings, _Wanted(approved.model_version, approved.digest), registry, approved)


def _warn(store: "ObjectStore", package: "ModelPackage") -> None:
    """Print what limits the meaning of a package's scores and is not covered by its checks."""
    from assets.dataset.splits.former_splits import former_test_split
    from assets.evaluation.champion import NONE_YET
    from assets.release.verdicts import newest_verdict

    version = package.model_version
    warnings = [former_test_split(store, package.dataset_version)]
    verdict = newest_verdict(store, f"trained_model/{version}", "beats_champion")
    if (
        verdict
        and "majority_baseline_accuracy" in verdict.numbers
        and NONE_YET not in verdict.reason
    ):
        warnings.append(f"it was not compared with the model in production: {verdict.reason}")
    for warning in filter(None, warnings):
        console.print(f"[yellow]{escape(version)}:[/] {escape(warning)}", highlight=False)


@plainly
def reject_command(reason: Reason, model_version: Version = None, by: By = None) -> None:
    """Reject a package. If it is in production, the one before it is rolled out again.

    \f
    Args:
        reason: recorded with the decision.
        model_version: first characters of a version; ``None``: the staged one.
        by: who decides; ``None``: the user name.
    """
    with without_collection("dagster"):
        from imgclf_dagster.decisions import (
            choose_package,
            former_decision,
            live_deployment,
            previous_deployment,
        )
        from imgclf_dagster.home.home import prepare_home
        from imgclf_dagster.profiles.chosen import build_endpoints, build_registry
        from imgclf_dagster.settings.root import load_settings

    keep_pandas_out()
    settings = load_settings()
    prepare_home(settings)
    registry, endpoints = build_registry(settings), build_endpoints(settings)
    package = choose_package(registry, endpoints, model_version)
    former = former_decision(package, "Rejected", named=model_version is not None)
    if former:
        console.print(f"[yellow]{escape(package.model_version)}:[/] {escape(former)}")
    serving = live_deployment(endpoints, registry)
    in_production = serving is not None and serving.digest == package.digest
    target = previous_deployment(endpoints, registry) if in_production else None
    rejected = registry.set_approval(
        package.model_version,
        "Rejected",
        by=by or current_user(),
        reason=reason,
        digest=package.digest,
        after=package.decision_order,
    )
    _say_decided(registry, rejected)
    if target is not None:
        _carry_out(settings, _Wanted(target.model_version, target.digest), registry, rejected)
    elif in_production:
        raise fail(
            f"{package.model_version} is in production and there is no approved version before it "
            "to return to; it is served until another one is approved"
        )


@plainly
def rollback_command(reason: Reason, by: By = None) -> None:
    """Return production to the previous approved version, and reject the present one."""
    with without_collection("dagster"):
        from imgclf_dagster.decisions import DecisionError, live_deployment, previous_deployment
        from imgclf_dagster.profiles.chosen import build_endpoints, build_registry
        from imgclf_dagster.settings.root import load_settings

    settings = load_settings()
    registry, endpoints = build_registry(settings), build_endpoints(settings)
    serving = live_deployment(endpoints, registry)
    if serving is None:
        raise DecisionError("nothing is in production, so there is nothing to roll back")
    if previous_deployment(endpoints, registry) is None:
        raise DecisionError(
            f"{serving.model_version} is the only approved version production ever had; approve "
            "another one (imgclf approve) to replace it"
        )
    reject_command(reason=f"rolled back: {reason}", model_version=serving.model_version, by=by)


@dataclass(frozen=True)
class _Wanted:
    """The model that production is to serve after the decision."""

    model_version: str
    digest: str


def _say_decided(registry: "ModelRegistry", decided: "ModelPackage") -> None:
    """Print the decision as the registry has it.

    Raises:
        typer.Exit: the registry has another decision, made at the same time.
    """
    _require_standing(registry, decided)
    what = decided.approval_status.lower()
    console.print(f"{escape(decided.model_version)} is {what} by {escape(decided.approver)}")


def _require_standing(registry: "ModelRegistry", decided: "ModelPackage") -> None:
    """Check that the decision is still the newest about its model.

    Raises:
        typer.Exit: somebody decided about it since; the message says what and why.
    """
    from imgclf_dagster.decisions import decided_words

    known = registry.get(decided.model_version)
    if (known.decision, known.approval_status) != (decided.decision, decided.approval_status):
        raise fail(
            f"{decided.model_version} was {decided_words(known)}. That was decided after "
            f"{decided.approver} {decided.approval_status.lower()} it, and stands",
            remedy="agree with each other; `imgclf status` shows what production serves",
        )


def _carry_out(
    settings: "Settings", wanted: _Wanted, registry: "ModelRegistry", decided: "ModelPackage"
) -> None:
    """Carry out the decision: wait for ``imgclf up`` to do it if it runs, else run it here.

    Args:
        settings: the user's settings.
        wanted: what production is to serve.
        registry: has the decisions.
        decided: the package as this command decided.

    Raises:
        typer.Exit: production does not serve the wanted model afterwards, or somebody decided
            otherwise meanwhile.
    """
    try:
        endpoints = _rolled_out(settings, wanted)
    finally:  # that somebody decided otherwise is the reason, if production serves another one
        _require_standing(registry, decided)
    _say_served(endpoints, wanted)


def _rolled_out(settings: "Settings", wanted: _Wanted) -> "Endpoints":
    """Bring ``wanted`` to production; return the endpoints.

    Raises:
        typer.Exit: production does not serve it.
    """
    from imgclf_dagster.processes.presence import is_up

    if is_up(settings.run_dir):
        return _wait_for(settings, wanted)
    from imgclf_dagster.line.progress import ConsoleNarrator
    from imgclf_dagster.line.runner import line_runner

    with line_runner(settings, ConsoleNarrator(console)) as runner:
        for outcome in runner.settle_decisions():
            if not outcome.success:
                reasons = "\n".join(f"{name}: {why}" for name, why in outcome.failures.items())
                raise fail(f"production was not changed; the decision is recorded:\n{reasons}")
        runner.await_host()
        require_served(runner.endpoints, "prod", wanted.model_version, wanted.digest)
        return runner.endpoints


def _say_served(endpoints: "Endpoints", wanted: _Wanted) -> None:
    text = f"production serves {wanted.model_version} (digest {wanted.digest[:12]})"
    say_served(endpoints, "prod", text)


def _wait_for(settings: "Settings", wanted: _Wanted) -> "Endpoints":
    """Wait until production serves the wanted model, or a run of the roll-out has failed.

    Returns:
        The endpoints.

    Raises:
        typer.Exit: production does not serve it.
    """
    from imgclf_dagster.profiles.chosen import build_endpoints
    from resources.waiting import poll

    endpoints = build_endpoints(settings)
    since, began = datetime.now(UTC), time.monotonic()
    wait_s = START_S + endpoints.deploy_timeout_s
    poll_s = settings.aws.poll_s if settings.profile == "aws" else POLL_S

    def is_served(status: "EndpointStatus") -> bool:
        return status.digest == wanted.digest and status.status == "InService"

    failure = None
    with console.status("imgclf up rolls it out …"):
        status = poll(
            lambda: endpoints.describe("prod"),
            is_served,
            deadline=began + min(FAILURES_AFTER_S, wait_s),
            poll_s=poll_s,
        )
        if not is_served(status):
            import dagster as dg

            from imgclf_dagster.line.progress import failure_since

            with dg.DagsterInstance.get() as instance:
                status, failure = poll(
                    lambda: (
                        endpoints.describe("prod"),
                        failure_since(instance, since, ("release_approval", "prod_endpoint")),
                    ),
                    lambda seen: is_served(seen[0]) or seen[1] is not None,
                    deadline=began + wait_s,
                    poll_s=max(poll_s, FAILURES_POLL_S),
                )
    if is_served(status):
        return endpoints
    if failure is not None:
        raise fail(f"production was not changed; the decision is recorded:\n{failure}")
    raise fail(
        f"{served(status)} after {wait_s:.0f} s, and not {wanted.model_version}; the decision is "
        "recorded: see the runs of release_approval and prod_endpoint at "
        f"http://127.0.0.1:{settings.ports.dagster}/runs"
    )

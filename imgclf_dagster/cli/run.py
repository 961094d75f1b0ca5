"""``imgclf run``: run the line once, from new images to a staged candidate."""

from typing import TYPE_CHECKING, Annotated

import typer

from imgclf_dagster.cli.common import console, fail, plainly
from imgclf_dagster.cli.served import require_served, say_served
from imgclf_dagster.console import escape
from imgclf_dagster.settings.root import load_settings
from training.container.quick_imports import without_collection

if TYPE_CHECKING:
    from assets.policies import TrainingPolicy
    from imgclf_dagster.line.runner import LineRunner
    from resources.endpoints.endpoint_host import Endpoints
    from resources.registry.registry import ModelPackage
    from serving.deployments import Stage

    Staged = tuple[ModelPackage, Stage]


Challenger = Annotated[
    bool,
    typer.Option(
        "--challenger/--no-challenger",
        help="With recipe auto, fine-tune a challenger after the first candidate is staged; "
        "--no-challenger: leave then.",
    ),
]


StartFrom = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="VERSION",
        help="Fine-tune from the weights of this model version, of the champion or of staging, in "
        "place of pretrained ones.",
    ),
]


@plainly
def run_command(
    challenger: Challenger = True,
    start_from: StartFrom = "",
) -> None:
    """Run the line once: index, version, train, evaluate, register, stage.

    What is complete is not done again. Ends with a candidate on staging that waits for approval,
    or with the reason why there is none. Also carries out decisions that were made meanwhile. With
    recipe auto, a challenger is then fine-tuned, and staged if it is better.
    """
    with without_collection("imgclf_dagster.line.runner"):
        from imgclf_dagster.checks.model import GATES
        from imgclf_dagster.line.progress import ConsoleNarrator
        from imgclf_dagster.line.runner import line_runner

    settings = load_settings()
    first = _start_of_first(settings.training, start_from, challenger=challenger)
    with line_runner(settings, ConsoleNarrator(console)) as runner:
        outcome = runner.run_line(first)
        start = start_from if not first else ""
        goes_on = challenger and (bool(start) or runner.awaits_challenger())
        is_held_back = bool(outcome.failures) and outcome.failures.keys() <= GATES.keys()
        staged = None
        if outcome.success:
            staged = _release(runner, wait_for_gates=goes_on)
        elif not (goes_on and is_held_back):
            remedy = _remedies(runner, outcome.failures)
            raise fail(_failure_lines(outcome.failures), remedy=remedy)
        if goes_on:
            if staged is not None:
                _say(*staged, runner.endpoints)
            staged = _challenge(runner, start)
    if staged is not None:  # after the host has ended, of which a hint tells
        _say(*staged, runner.endpoints)


def _start_of_first(training: "TrainingPolicy", start_from: str, *, challenger: bool) -> str:
    """Return what the first model starts from; "" if it is the challenger that starts from a model.

    Args:
        training: how models are trained by the settings.
        start_from: what the user named; "": nothing.
        challenger: whether the user wants a challenger.

    Raises:
        typer.Exit: nothing that is trained could start from it.
    """
    if not start_from or (training.has_challenger and challenger):
        return ""
    if training.recipe in ("finetune", "scratch"):
        return start_from
    raise fail(
        f"nothing is trained that could start from {start_from}: recipe {training.recipe} "
        "fits a regression on pretrained features",
        remedy='set recipe = "finetune" under [training] in imgclf.toml, or auto with a budget',
    )


def _challenge(runner: "LineRunner", start_from: str) -> "Staged | None":
    """Train a challenger; release it if it is the better candidate.

    Args:
        runner: of the line.
        start_from: model whose weights it starts from; "": pretrained ones.
    """
    console.print(
        "[cyan]▸[/] next, a challenger, if images and budget are enough for one (Ctrl-C leaves: the "
        "next imgclf run goes on with it; imgclf run --no-challenger leaves it out)"
    )
    try:
        outcome = runner.challenge(start_from)
    except KeyboardInterrupt:
        raise fail(
            "left the challenger; what was staged before stays, and the next imgclf run goes on "
            "with the challenger",
            130,
        ) from None
    if not outcome.success:
        remedy = _remedies(runner, outcome.failures)
        raise fail(_failure_lines(outcome.failures), remedy=remedy)
    if (text := runner.challenger_outcome()) is not None:
        console.print(f"{escape(text)}", highlight=False)
    return _release(runner)


def _release(runner: "LineRunner", *, wait_for_gates: bool = False) -> "Staged | None":
    """Register and stage the candidate, and carry out decisions.

    Args:
        runner: of the line.
        wait_for_gates: whether another candidate may come if this one did not pass its gates.

    Returns:
        The package and the stage that serves it; ``None`` if the gates are waited for.
    """
    from imgclf_dagster.decisions import live_deployment

    version = runner.candidate()
    if version is None:
        if wait_for_gates:
            return None
        remedy = _remedies(runner)
        raise fail("the candidate did not pass its gates; see the checks above", remedy=remedy)
    released = runner.release(version)
    if released is not None and not released.success:
        remedy = _remedies(runner, released.failures)
        raise fail(_failure_lines(released.failures), remedy=remedy)
    for settled in runner.settle_decisions():
        if not settled.success:
            raise fail(_failure_lines(settled.failures))
    package = runner.registry.get(version)
    live = live_deployment(runner.endpoints, runner.registry)
    stage: Stage = "prod" if live and live.digest == package.digest else "staging"
    if package.approval_status != "Rejected" or stage == "prod":
        runner.await_host()
        require_served(runner.endpoints, stage, version, package.digest)
    return package, stage


def _say(package: "ModelPackage", stage: "Stage", endpoints: "Endpoints") -> None:
    version, by = package.model_version, package.approver
    if stage == "prod" and package.approval_status == "Rejected":
        raise fail(
            f"{version} was rejected by {by} and is still in production: no approved version is "
            "before it to return to; approve another one (imgclf approve)"
        )
    if stage == "prod":
        say_served(endpoints, stage, f"{version} is in production (digest {package.digest[:12]})")
    elif package.approval_status == "Rejected":
        console.print(f"{escape(version)} was rejected by {escape(by)}")
    elif package.approval_status == "Approved":
        raise fail(
            f"{version} is approved by {by} and not in production: a later decision superseded "
            "it, or its rollout failed; approve it again (imgclf approve) to deploy it"
        )
    else:
        say_served(
            endpoints,
            stage,
            f"{version} is on staging and waits for approval: "
            f'imgclf approve {version} --reason "…"',
        )


def _remedies(runner: "LineRunner", failures: dict[str, str] | None = None) -> str:
    """Return the remedies of the failed checks, as ``imgclf status`` has them; "" without any.

    Args:
        runner: of the run that failed.
        failures: reasons by failed check or step; ``None``: all checks that block.
    """
    from imgclf_dagster.status.checks import blocking_checks
    from imgclf_dagster.status.made import NewestRecords

    blocking = blocking_checks(runner.store, NewestRecords(runner.instance, runner.store))
    found = [fact["remedy"] for fact in blocking if failures is None or fact["check"] in failures]
    return "\n    → ".join(dict.fromkeys(found))


def _failure_lines(failures: dict[str, str]) -> str:
    return "\n".join(f"{name}: {reason}" for name, reason in failures.items()) or "the run failed"

"""``imgclf run``: the line, once, from what has arrived to a staged candidate."""

from rich.markup import escape

from imgclf_dagster.cli.common import console, fail, plainly
from imgclf_dagster.settings import load_settings


@plainly
def run_command() -> None:
    """Run the line once: index, version, train, evaluate, register, stage.

    What is complete is not done again. Ends with a candidate on staging that waits for approval,
    or with the reason why there is none. Also carries out decisions that were made meanwhile.
    """
    from imgclf_dagster.progress import ConsoleNarrator
    from imgclf_dagster.runner import line_runner

    with line_runner(load_settings(), ConsoleNarrator(console)) as runner:
        outcome = runner.run_line()
        if not outcome.success:
            raise fail(_told(outcome.failures))
        version = runner.candidate()
        if version is None:
            raise fail("the candidate did not pass its gates; see the checks above")
        released = runner.release(version)
        if released is not None and not released.success:
            raise fail(_told(released.failures))
        for settled in runner.settle_decisions():
            if not settled.success:
                raise fail(_told(settled.failures))
        package = runner.registry.get(version)
        live = runner.endpoints.current("prod")
    if live is not None and live.digest == package.digest:
        console.print(f"[green]✓[/] {escape(version)} is in production")
    elif package.approval_status == "Rejected":
        console.print(f"{escape(version)} was rejected by {escape(package.approver)}")
    else:
        console.print(
            f"[green]✓[/] {escape(version)} is on staging and waits for approval: "
            f'[bold]imgclf approve {escape(version)} --reason "…"[/]'
        )


def _told(failures: dict[str, str]) -> str:
    return "\n".join(f"{name}: {reason}" for name, reason in failures.items()) or "the run failed"

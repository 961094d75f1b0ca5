"""``imgclf tune``: search hyperparameters for the next fine-tuning."""

from typing import Annotated, Any

import typer
from pydantic import ValidationError

from imgclf_dagster.cli.common import console, fail, plainly
from imgclf_dagster.console import escape
from imgclf_dagster.settings.root import load_settings
from training.container.quick_imports import without_collection

Trials = Annotated[
    int | None, typer.Option("--trials", min=1, help="Number of trials; default: tuning.trials.")
]
Minutes = Annotated[
    float | None,
    typer.Option("--minutes", help="Minutes of all trials; default: tuning.budget_minutes."),
]
RateOnly = Annotated[
    bool,
    typer.Option(
        "--learning-rate",
        help="Only find the learning rate, by a range test of 100 steps.",
    ),
]


@plainly
def tune_command(
    trials: Trials = None,
    minutes: Minutes = None,
    learning_rate: RateOnly = False,
) -> None:
    """Search hyperparameters for the next fine-tuning, on the newest data set.

    What is searched is under \\[tuning] in imgclf.toml. Interrupted at any moment, it goes on with the
    trial under way when it is run again; the same search is not done twice. What it finds is used by
    the next fine-tuning (imgclf run) wherever the settings say nothing else; the newest search counts.

    \f
    Args:
        trials: number of trials; ``None``: that of the settings.
        minutes: of all trials; ``None``: those of the settings.
        learning_rate: whether to find only the learning rate.
    """
    with without_collection("imgclf_dagster.line.runner"):
        from imgclf_dagster.line.progress import ConsoleNarrator
        from imgclf_dagster.line.runner import line_runner

    settings = load_settings()
    given = {"trials": trials, "budget_minutes": minutes}
    config: dict[str, Any] = {name: one for name, one in given.items() if one is not None}
    try:
        settings.tuning.model_validate({**settings.tuning.model_dump(), **config})
    except ValidationError as error:
        wrong = error.errors()[0]
        # The options are checked by the settings' own rules; typer knows no open bound.
        raise fail(f"--minutes {wrong['input']}: {wrong['msg']}", 2) from None
    if learning_rate:
        config["method"] = "learning_rate"
    with line_runner(settings, ConsoleNarrator(console), hosted=False) as runner:
        runner.stay_out_of_the_way("hyperparameters", "tune")
        if unused := runner.why_no_challenger():
            console.print(
                f"[yellow]note:[/] imgclf run would fine-tune nothing here: {escape(unused)}. What "
                "is found is for a later fine-tuning"
            )
        outcome = runner.tune(config)
        if not outcome.success:
            raise fail("\n".join(f"{name}: {why}" for name, why in outcome.failures.items()))
        found = runner.tuned()
    assert found is not None
    how = "a range test" if found.val_loss is None else f"the best of {found.trials} trials"
    loss = "" if found.val_loss is None else f": validation loss {found.val_loss:.4f}"
    console.print(f"[green]✓[/] {how} on data set {found.dataset_version}{loss}")
    for name, value in sorted(found.chosen.items()):
        console.print(f"  {name} = {escape(_shown(value))}")
    console.print("  [dim]The next fine-tuning uses them, unless \\[training] sets others[/]")


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

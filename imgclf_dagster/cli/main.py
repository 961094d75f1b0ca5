"""``imgclf``: the command line. A command's module is imported when the command is called."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from training.container.quick_imports import without_collection


@dataclass(frozen=True)
class LazyCommand:
    """A command, or a group of commands, whose module is imported when it is called.

    Attributes:
        module: module below ``imgclf_dagster.cli``.
        name: name in that module of the command's function, or of the group's ``typer.Typer``.
        summary: first paragraph of its help, shown by ``imgclf --help``.
    """

    module: str
    name: str
    summary: str


COMMANDS = {
    "up": LazyCommand(
        "up.up",
        "up_command",
        "Run Dagster, the endpoints, the predictor and MLflow until Ctrl-C.",
    ),
    "ingest": LazyCommand(
        "ingest.ingest",
        "ingest_command",
        "Show how images and labels are understood, then copy them into the store.",
    ),
    "export": LazyCommand(
        "export",
        "export_command",
        "Export a data set: images as they were ingested, with labels and splits.",
    ),
    "run": LazyCommand(
        "run",
        "run_command",
        "Run the line once: index, version, train, evaluate, register, stage.",
    ),
    "tune": LazyCommand(
        "tune",
        "tune_command",
        "Search hyperparameters for the next fine-tuning, on the newest data set.",
    ),
    "status": LazyCommand(
        "status",
        "status_command",
        "Show images, labels, data set, candidate, staging, production, and what waits for a "
        "person.",
    ),
    "runs": LazyCommand(
        "runs", "runs_app", "List the training runs with their scores; compare two."
    ),
    "queue": LazyCommand(
        "queue",
        "queue_command",
        "Fill the labelling queue: embed new images, choose some, and make tasks in Label Studio.",
    ),
    "predict": LazyCommand(
        "predict", "predict_command", "Predict the labels of images with an endpoint."
    ),
    "approve": LazyCommand(
        "release", "approve_command", "Approve a staged package and roll it out to production."
    ),
    "reject": LazyCommand(
        "release",
        "reject_command",
        "Reject a package. If it is in production, the one before it is rolled out again.",
    ),
    "rollback": LazyCommand(
        "release",
        "rollback_command",
        "Return production to the previous approved version, and reject the present one.",
    ),
    "doctor": LazyCommand(
        "doctor.doctor",
        "doctor_command",
        "Check settings, disk, store, weights, ports, Label Studio and the code location, and on "
        "AWS credentials, clock, bucket, queue, key, image, roles, quotas and endpoints; print a "
        "remedy for each problem.",
    ),
    "demo": LazyCommand(
        "demo",
        "demo_command",
        "Run the whole line on 1,797 real handwritten digits, to a production endpoint.",
    ),
    "labels": LazyCommand(
        "labels.labels", "labels_app", "List the labels; rename, merge, take back and restore them."
    ),
    "splits": LazyCommand(
        "splits",
        "splits_app",
        "Show how the images are dealt to training, validation and test; deal them again.",
    ),
    "deploy": LazyCommand(
        "deploy.deploy",
        "deploy_app",
        "Set up an AWS account for the line. In order: foundation, image; then, optionally, "
        "edge, orchestrator, cicd. The line deploys endpoints itself; endpoint applies other "
        "settings to them.",
    ),
    "label-studio": LazyCommand(
        "label_studio",
        "label_studio_app",
        "Label Studio, where people label images: `imgclf up --label-studio` runs one.",
    ),
}
"""Commands by name, in the order of ``imgclf --help``."""


class LazyGroup(TyperGroup):
    """A Click group that shows its help without importing the modules of its commands."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """The command that ``args`` name, imported now, and the arguments that are left."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(str(name)) if name in COMMANDS else command, rest


def load_command(name: str) -> Any:
    """Import a command's module.

    Args:
        name: one of :data:`COMMANDS`.

    Returns:
        The command as Typer runs it: a ``TyperCommand`` or a ``TyperGroup``.
    """
    command = COMMANDS[name]
    with without_collection("dagster"):
        found = getattr(import_module(f"imgclf_dagster.cli.{command.module}"), command.name)
    if isinstance(found, typer.Typer):
        return typer.main.get_group(found)
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    return typer.main.get_command(alone)


app = typer.Typer(
    cls=LazyGroup,
    name="imgclf",
    help="Keep an image classifier current: from an arriving image to a gated production endpoint.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _unloaded() -> None:
    """Placeholder for a command until :class:`LazyGroup` has imported it."""


for _name, _command in COMMANDS.items():
    app.command(_name, help=_command.summary)(_unloaded)

if __name__ == "__main__":
    app()

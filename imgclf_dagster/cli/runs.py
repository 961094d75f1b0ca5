"""``imgclf runs``: list the training runs, and compare two of them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgclf_dagster.cli.common import AsJson, console, fail, plainly
from imgclf_dagster.cli.without_pandas import keep_pandas_out
from imgclf_dagster.console import escape
from labelling.report.words import count
from training.container.quick_imports import without_collection

if TYPE_CHECKING:
    from assets.records.challenger_model import ChallengerModelRecord
    from imgclf_dagster.status.training_runs import Score, StoredRun

runs_app = typer.Typer(
    name="runs",
    help="List the training runs with their scores; compare two.",
    invoke_without_command=True,
)

Name = Annotated[str, typer.Argument(help="A model version, or how only one of them begins.")]


@runs_app.callback()
@plainly
def runs_command(
    context: typer.Context,
    last: Annotated[
        int, typer.Option("--last", min=0, help="List only so many, the newest; 0: all.")
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """List the training runs with their scores; compare two.

    The numbers in brackets are the 95 % interval of the true accuracy, and of how many images.
    MLflow, which imgclf up starts, draws the epochs of each run and compares many.

    \f
    Args:
        context: of Typer.
        last: number of runs to list; 0: all.
        as_json: print JSON.
    """
    if context.invoked_subcommand is not None:
        return
    jobs, read = _opened()
    runs = read(jobs, last or None)
    if as_json:
        print(json.dumps([run.to_json() for run in runs], indent=1, ensure_ascii=False))
        return
    for run in runs:
        for line in _lines(run):
            console.print(line)
    if not runs:
        console.print("nothing was trained yet (imgclf run)")
    elif last and len(runs) == last < len(jobs):
        console.print("[dim]older ones: --last 0 lists all[/]")


@runs_app.command("compare")
@plainly
def compare_command(first: Name, second: Name, as_json: AsJson = False) -> None:
    """Compare two training runs: hyperparameters that differ, and all their numbers.

    \f
    Args:
        first: a model version.
        second: another one.
        as_json: print JSON.
    """
    from imgclf_dagster.status.training_runs import find_version

    jobs, read = _opened()
    found = read([find_version(jobs, first), find_version(jobs, second)], None)
    if len(found) < 2:
        raise fail("a search for hyperparameters (imgclf tune) is no training run")
    one, other = found
    apart = _apart(one, other)
    differing = {
        "hyperparameters": _differing(one.hyperparameters, other.hyperparameters),
        "metrics": _differing(_all_metrics(one), _all_metrics(other)),
    }
    notes = list(_notes(one, other))
    if as_json:
        facts = {
            "runs": [one.to_json(), other.to_json()],
            **differing,
            "of_other_images": [name for name in differing["metrics"] if _is_of(name, apart)],
            "notes": notes,
        }
        print(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    for run in (one, other):
        for line in _lines(run):
            console.print(line)
    for title, pairs in differing.items():
        console.print(f"[bold]{title} that differ[/]")
        for line in _pairs(pairs, apart):
            console.print(line)
    for note in notes:
        console.print(f"[yellow]![/] {escape(note)}")


def _opened() -> Any:
    """Open the store.

    Returns:
        The names of training jobs, newest first, and a function that reads the runs of some of
        them, at most so many (``None``: all).
    """
    with without_collection("pyarrow"):
        from imgclf_dagster.profiles.store import open_store
        from imgclf_dagster.settings.root import load_settings
        from imgclf_dagster.status.former_runs import completed
        from imgclf_dagster.status.training_runs import (
            deployed_versions,
            jobs_of_trainings,
            read_runs,
        )

        keep_pandas_out()
    settings = load_settings()
    store = open_store(settings)
    store.require()
    stages = deployed_versions(store)

    def read(jobs: Sequence[str], most: int | None) -> "list[StoredRun]":
        return completed(settings, list(islice(read_runs(store, jobs, stages), most)))

    return jobs_of_trainings(store), read


def _lines(run: "StoredRun") -> Iterator[str]:
    """Yield the lines on a run."""
    stages = "".join(f"  [green]{escape(_STAGES.get(one, one))}[/]" for one in run.stages)
    yield f"[bold]{escape(run.version)}[/]{stages}"
    if run.problem:
        yield f"    [red]{escape(run.problem)}[/]"
        return
    given = run.hyperparameters
    what = f"{given.get('recipe', 'recipe unknown')} {_net(given)}".strip()
    from_data = f" of data set {run.dataset_version}" if run.dataset_version else ""
    yield f"    {escape(what)}, {_images(run)}{escape(from_data)}"
    ended = f"{run.ended_at:%Y-%m-%d %H:%M} UTC, " if run.ended_at else ""
    yield f"    [dim]{ended}{_duration(run.seconds)}[/]"
    held_out = "cross-validated" if run.folds > 1 else "validation"
    shown = [(held_out, run.validation), ("test", run.test)]
    scores = [f"{name} {run.accuracy_is} {_score(score)}" for name, score in shown if score]
    if run.no_test:
        scores.append(escape(run.no_test))
    yield f"    {', '.join(scores)}"
    if run.challenge:
        yield f"    {escape(_outcome(run.challenge))}"


def _images(run: "StoredRun") -> str:
    """Write on how many images a model was trained."""
    if run.images is not None:
        return f"trained on {count(run.images, 'image')}"
    train, val = (int(run.metrics.get(f"{split}_images", 0)) for split in ("train", "val"))
    return f"{count(train, 'training image')}, {count(val, 'validation image')}"


def _outcome(challenge: "ChallengerModelRecord") -> str:
    """Write in a line what became of a challenger; `compare` tells why."""
    if not challenge.compared_with:
        return challenge.reason
    outcome = "became" if challenge.won else "did not become"
    return f"challenger: {outcome} the candidate in place of {challenge.compared_with}"


_STAGES = {"prod": "production"}


def _net(hyperparameters: Mapping[str, Any]) -> str:
    return (
        ""
        if hyperparameters.get("recipe") == "scratch"
        else str(hyperparameters.get("architecture", ""))
    )


def _duration(seconds: float) -> str:
    from training.container.phases import duration

    return duration(seconds)


def _score(score: "Score") -> str:
    """Write a score with its interval and the number of images."""
    if score.interval is None:
        return f"{score.accuracy:.3f}"
    low, high = score.interval
    return f"{score.accuracy:.3f} ({low:.3f} to {high:.3f}, {count(score.images, 'image')})"


_CROSS_VALIDATED = "cross_validated_"
"""Scores in an evaluation that are not of test images."""


def _apart(one: "StoredRun", other: "StoredRun") -> tuple[str, ...]:
    """Return how the metrics begin that are of other images in one run than in the other."""
    apart: tuple[str, ...] = ()
    if one.validated_on is None or one.validated_on != other.validated_on:
        apart += ("val_", _CROSS_VALIDATED)
    if one.tested_on != other.tested_on:
        apart += ("test_",)
    return apart


def _is_of(name: str, apart: tuple[str, ...]) -> bool:
    """Whether a metric is a score of other images in both runs; a number of images is no score."""
    return name.startswith(apart) and not name.endswith("_images")


def _all_metrics(run: "StoredRun") -> dict[str, float]:
    tested = {
        name if name.startswith(_CROSS_VALIDATED) else f"test_{name.removeprefix('test_')}": value
        for name, value in run.test_metrics.items()
        if not name.endswith(("_low", "_high"))  # of intervals, which both runs show
    }
    return {**run.metrics, **tested}


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the values of both by name, where they differ; ``None`` where one has none."""
    names = [*one, *(name for name in other if name not in one)]
    pairs = {name: [one.get(name), other.get(name)] for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _pairs(differing: Mapping[str, list[Any]], apart: tuple[str, ...]) -> Iterator[str]:
    if not differing:
        yield "    [dim]none[/]"
    for name, (one, other) in differing.items():
        change = ""
        if isinstance(one, float) and isinstance(other, float):
            is_change = not _is_of(name, apart)
            change = f"  [dim]({f'{other - one:+.4g}' if is_change else 'of other images'})[/]"
        yield f"    {escape(name)}: {escape(_value(one))} → {escape(_value(other))}{change}"


def _value(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _notes(one: "StoredRun", other: "StoredRun") -> Iterator[str]:
    """Yield what must be known to compare two runs."""
    for run in (one, other):
        if run.problem:
            yield f"{run.version}: {run.problem}"
        elif not run.hyperparameters:
            yield (
                f"{run.version} was trained by older code, and Dagster has forgotten its "
                "hyperparameters"
            )
        if run.challenge:
            yield run.challenge.reason
    if one.validation and other.validation and "val_" in _apart(one, other):
        yield (f"the validation scores cannot be compared: {_validated(one)}, {_validated(other)}")
    if one.test and other.test and one.tested_on != other.tested_on:
        yield (
            f"the test images differ (data sets {one.tested_on} and {other.tested_on}): their test "
            "scores cannot be compared"
        )


def _validated(run: "StoredRun") -> str:
    """Write what the validation scores of a run are of."""
    images = run.validation.images if run.validation else 0
    data = f"data set {run.dataset_version}" if run.dataset_version else "an unknown data set"
    what = (
        f"a {run.folds}-fold cross-validation over its {count(images, 'training and validation image')}"
        if run.folds > 1
        else count(images, "validation image")
    )
    return f"those of {run.version} are of {what} of {data}"

"""``imgclf demo``: the whole line on real handwritten digits, without cloud, weights or downloads."""

import os
import shutil
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from imgclf_dagster.cli.common import console, fail, plainly
from imgclf_dagster.cli.served import require_served
from imgclf_dagster.console import escape
from imgclf_dagster.settings.root import Settings, load_settings

if TYPE_CHECKING:
    import numpy as np

    from imgclf_dagster.line.outcome import RunOutcome
    from imgclf_dagster.line.runner import LineRunner

WITHHELD_SHARE = 0.2
FLOOR = 0.97
"""Accuracy on the withheld digits below which the demo fails."""

DEMO_USER = "demo user"
SEED = 0

DEMO_SETTINGS = """\
# Settings of `imgclf demo`: scikit-learn's handwritten digits, a small net trained from scratch.

[training]
recipe = "scratch"
image_size = 16
epochs = 12
learning_rate = 0.004
batch_size = 64
augmentation = "light"
"""


@dataclass(frozen=True)
class Withheld:
    """A digit that is not ingested, for testing the deployed model."""

    path: Path
    label: str


@plainly
def demo_command() -> None:
    """Run the whole line on 1,797 real handwritten digits, to a production endpoint.

    Writes the digits as PNG files, withholds 20 %, ingests the rest, materializes the graph,
    approves the candidate as the demo user, deploys it, and asks the production endpoint about
    the withheld ones. Everything lies under demo/ in the home; running it again reuses it. Runs
    on this machine whatever the profile, so it costs nothing.
    """
    from imgclf_dagster.home.home import prepare_home, write_once
    from imgclf_dagster.line.progress import ConsoleNarrator
    from imgclf_dagster.line.runner import line_runner

    begun = time.monotonic()
    called = called_as()  # before the home is prepared, which puts our programs on the PATH
    home = Path(os.environ.get("IMGCLF_HOME", ".imgclf")).absolute() / "demo"
    os.environ["IMGCLF_HOME"] = str(home)
    os.environ["IMGCLF_SETTINGS"] = str(home / "imgclf.toml")
    os.environ["IMGCLF_PROFILE"] = "local"
    write_once(home / "imgclf.toml", DEMO_SETTINGS)
    settings = load_settings()
    prepare_home(settings)
    withheld = write_digits(home / "digits")
    _ingest(settings, home / "digits" / "ingest")
    seconds: dict[str, float] = {}
    with line_runner(settings, ConsoleNarrator(console)) as runner:
        version = _release(runner, seconds)
        console.print(f"[cyan]▸[/] sending {len(withheld)} withheld digits to production")
        accuracy = _accuracy(runner, withheld)
        require_served(runner.endpoints, "prod", version, runner.registry.get(version).digest)
    console.print(_summary(version, accuracy, len(withheld), seconds, time.monotonic() - begun))
    _say_where_to_look(home, called)
    if accuracy < FLOOR:
        raise fail(f"accuracy {accuracy:.2%} on the withheld digits is below {FLOOR:.0%}")


def called_as() -> str:
    """Return the command by which a person starts this program from here, as they did now."""
    if sys.argv[0].endswith(".py"):  # python -m imgclf_dagster.cli.entry
        return f"{os.path.relpath(sys.executable)} -m imgclf_dagster.cli.entry"
    found = shutil.which("imgclf")
    is_on_path = found is not None and Path(found).resolve() == Path(sys.argv[0]).resolve()
    return "imgclf" if is_on_path else os.path.relpath(sys.argv[0])


def _say_where_to_look(home: Path, imgclf: str) -> None:
    there = f"IMGCLF_HOME={os.path.relpath(home)} {imgclf}"
    console.print(
        f"\nWhere to look next:\n"
        f"  {there} status     what is where\n"
        f"  {there} up         the lineage, the checks, the predictor, MLflow\n"
        f"  {imgclf} ingest FOLDER && {imgclf} run    your own images"
    )


def write_digits(folder: Path) -> list[Withheld]:
    """Write scikit-learn's digits as PNG files in class folders, 20 % of each class withheld.

    The 1,797 images have 8 × 8 px and come from UCI's "Optical Recognition of Handwritten Digits"
    (https://archive.ics.uci.edu/dataset/80). Pixel values 0 to 16 are scaled to 0 to 255.

    Args:
        folder: where the files are written; existing ones are kept.

    Returns:
        The withheld digits, under ``folder/withheld``; the others are under ``folder/ingest``.
    """
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(SEED)

    images, labels = _load_digits()
    pixels = np.round(images * (255 / 16)).astype(np.uint8)
    withheld = []
    for label in range(10):
        members = generator.permutation(np.flatnonzero(labels == label)).tolist()
        kept_back = set(members[: round(len(members) * WITHHELD_SHARE)])
        for member in members:
            part = "withheld" if member in kept_back else "ingest"
            path = folder / part / str(label) / f"{member:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                Image.fromarray(pixels[member]).save(path)
            if member in kept_back:
                withheld.append(Withheld(path, str(label)))
    return withheld


def _load_digits() -> "tuple[np.ndarray, np.ndarray]":
    """Return the pixel values, [1797, 8, 8], 0 to 16, and the labels, [1797], integers 0 to 9.

    The same as scikit-learn's ``load_digits``, read from its data file.
    """
    import numpy as np

    # Importing scikit-learn to read one file would take 2.5 s.
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise fail("scikit-learn is not installed: run make install")
    table = np.loadtxt(
        Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=","
    )
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(int)


def _ingest(settings: Settings, folder: Path) -> None:
    from imgclf_dagster.ingest.ingest import ingest
    from imgclf_dagster.profiles.store import open_store
    from labelling.sources.read import read_source

    report = ingest(
        read_source(folder),
        store=open_store(settings),
        policy=settings.ingestion,
        schema=settings.labels,
        annotator=DEMO_USER,
        on_progress=lambda done, total: None,
    )
    console.print(
        f"[green]✓[/] ingested  {report.new} new, {report.known} known, "
        f"{len(report.rejected) - report.rejected_entries} rejected  [dim]{report.seconds:.1f} s[/]"
    )


def _release(runner: "LineRunner", seconds: dict[str, float]) -> str:
    """Run the line, stage the candidate, approve it as the demo user, and deploy it to production.

    Returns:
        The model version.

    Raises:
        typer.Exit: a run failed, or the candidate did not pass its gates.
    """
    _require(runner.run_line(), seconds)
    version = runner.candidate()
    if version is None:
        raise fail("the candidate did not pass its gates")
    released = runner.release(version)
    if released is not None:
        _require(released, seconds)
    package = runner.registry.get(version)
    if package.approval_status != "Approved":
        console.print(f"[cyan]▸[/] {DEMO_USER} approves {escape(version)}")
        runner.registry.set_approval(
            version,
            "Approved",
            by=DEMO_USER,
            reason="imgclf demo",
            digest=package.digest,
        )
    for outcome in runner.settle_decisions():
        _require(outcome, seconds)
    return version


def _require(outcome: "RunOutcome", seconds: dict[str, float]) -> None:
    seconds |= outcome.seconds
    if not outcome.success:
        raise fail("\n".join(f"{name}: {why}" for name, why in outcome.failures.items()))


def _accuracy(runner: "LineRunner", withheld: list[Withheld]) -> float:
    from imgclf_dagster.cli.predict import IN_FLIGHT, ask_endpoint

    runner.await_host()
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        answers = pool.map(
            lambda item: ask_endpoint(runner.endpoints, item.path, stage="prod", top_k=1), withheld
        )
        right = 0
        for item, answer in zip(withheld, answers, strict=True):
            if answer.error:
                raise fail(f"{answer.file}: {answer.error}")
            right += answer.predicted == (item.label,)
    return right / len(withheld)


def _summary(
    version: str, accuracy: float, count: int, seconds: Mapping[str, float], total: float
) -> Table:
    from assets.release.verdicts import ADVISORY_CHECKS, blocking_check_names

    table = Table(title="imgclf demo", title_justify="left", min_width=52)
    table.add_column("what")
    table.add_column("result", justify="right")
    table.add_row("model in production", escape(version))
    table.add_row(f"accuracy on {count} withheld digits", f"{accuracy:.2%}")
    checks = 0.0
    for step, took in seconds.items():
        if step.endswith((*blocking_check_names(), *ADVISORY_CHECKS)):
            checks += took
        else:
            table.add_row(f"  {step}", f"{took:.1f} s")
    table.add_row("  checks", f"{checks:.1f} s")
    rest = total - sum(seconds.values())
    table.add_row("  the rest: programs, images, predictions", f"{max(rest, 0):.1f} s")
    table.add_row("in all", f"{total:.1f} s")
    return table

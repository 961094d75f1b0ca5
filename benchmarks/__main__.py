"""``python -m benchmarks [NAME…]``: run benchmarks, print a table, write the page."""

import argparse
import importlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import page
from benchmarks.processes import BenchmarkFailed, cpu_seconds
from benchmarks.result import Result

NAMES = [
    "import_cost",
    "reading",
    "indexing",
    "idle_tick",
    "orchestration",
    "serving",
    "arrival",
    "transfer",
    "sagemaker_overhead",
    "label_efficiency",
    "exploration_share",
    "annotator_hour",
    "learning_curve_forecast",
    "dealing",
    "probe_quality",
    "probe_refit",
    "alike_frames",
    "near_copies",
    "export_speed",
    "finetune_peers",
    "training_memory",
    "data_pipeline",
    "label_studio_import",
    "label_to_model",
    "scale",
]
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
TIMEOUT_S = 600.0
"""Of a benchmark that names none of its own."""
KEPT = ("_PHOTOS", "_WEIGHTS", "_OBJECTS")
"""Endings of the environment variables with paths for benchmarks."""


def main() -> None:
    """Run the benchmarks. Exit codes: 0 all limits kept, 1 a limit missed or a benchmark failed."""
    console = Console()
    names = _arguments().names or NAMES
    sections, good = {}, True
    for name in names:
        what = (importlib.import_module(f"benchmarks.{name}").__doc__ or "").strip()
        console.print(f"[cyan]▸[/] {name}: {escape(what)}")
        try:
            result, others = run_benchmark(name)
        except BenchmarkFailed as error:
            console.print(f"[red]{escape(str(error))}[/]", highlight=False)
            good = False
            continue
        sections[name] = page.section(name, what, result, others)
        _print(console, result, others)
        good = good and not result.missed
    page.update(PAGE, sections, NAMES)
    console.print(f"written: {os.path.relpath(PAGE)}")
    sys.exit(0 if good else 1)


def run_benchmark(name: str) -> tuple[Result, float]:
    """Run one benchmark in a fresh process with an empty home.

    Returns:
        Its result, and how many cores other programs used meanwhile, on average.

    Raises:
        BenchmarkFailed: it failed, or took too long.
    """
    with tempfile.TemporaryDirectory(prefix="imgclf-bench-") as folder:
        scratch, report = Path(folder) / "scratch", Path(folder) / "report.json"
        scratch.mkdir()
        command = [sys.executable, "-m", "benchmarks.child", name, str(scratch), str(report)]
        limit_s = getattr(importlib.import_module(f"benchmarks.{name}"), "TIMEOUT_S", TIMEOUT_S)
        began, busy, own = time.monotonic(), _busy_seconds(), _own_seconds()
        try:
            done = subprocess.run(
                command,
                env=_environment(scratch / "home"),
                cwd=Path(__file__).parents[1],
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BenchmarkFailed(f"{name} took longer than {limit_s:g} s") from None
        if done.returncode:
            raise BenchmarkFailed(f"{name} exited with {done.returncode}; see above")
        others = (_busy_seconds() - busy - _own_seconds() + own) / (time.monotonic() - began)
        return Result.model_validate_json(report.read_bytes()), max(0.0, others)


def _environment(home: Path) -> dict[str, str]:
    """The environment of this process, without variables that point at the user's home and
    settings."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("IMGCLF_", "DAGSTER_")) or key.endswith(KEPT)
    }
    return kept | {"IMGCLF_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "yes"}


def _busy_seconds() -> float:
    """CPU seconds that the machine has spent on anything, including stolen time."""
    times = psutil.cpu_times()
    # Only Linux has the last three; guest time is part of user time.
    idle = sum(getattr(times, name, 0.0) for name in ("idle", "iowait", "guest", "guest_nice"))
    return float(sum(times) - idle)


def _own_seconds() -> float:
    return cpu_seconds() + cpu_seconds(resource.RUSAGE_CHILDREN)


def _print(console: Console, result: Result, others: float) -> None:
    if result.skipped:
        console.print(f"  [yellow]skipped[/]: {escape(result.skipped)}", highlight=False)
        return
    table = Table(show_edge=False, pad_edge=False)
    for title in ("what", "measured", "limit", "", "peer", "times better"):
        table.add_column(title, justify="left" if title in ("what", "") else "right")
    for item in result.measurements:
        style = {True: "green", False: "red", None: None}[item.passed]
        table.add_row(*(cell.replace("**", "") for cell in page.row(item)), style=style)
    console.print(table)
    console.print(f"  [dim]other programs took {others:.1f} cores meanwhile[/]\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} (default: all)"
    )
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in NAMES]
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return arguments


if __name__ == "__main__":
    main()

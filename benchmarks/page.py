"""``docs/benchmarks.md``: one section per benchmark; a run replaces the sections that it
measured."""

import platform
import re
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchmarks.result import Measurement, Result
from training.container.hardware import usable_cores

HEAD = """\
# Benchmarks

Written by `make bench`, which is `python -m benchmarks`; name one or more to run only those.
Each runs in a process of its own, in an empty home. A limit that is missed makes the command
fail. A peer is measured in the same run, so that their ratio does not depend on the machine.
"""


def machine() -> str:
    """The properties of the machine that affect the numbers, without its name."""
    memory = psutil.virtual_memory().total / 2**30
    cores = usable_cores()
    return (
        f"{cores} cores of {_cpu_model()}, {memory:.0f} GiB, "
        f"{platform.system()} {platform.release().partition('-')[0]}, "
        f"Python {platform.python_version()}"
    )


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():  # macOS
        return platform.processor() or platform.machine()
    text = cpuinfo.read_text(encoding="utf-8")
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def section(name: str, what: str, result: Result, others: float) -> str:
    """Format the section of one benchmark.

    Args:
        name: the benchmark's name.
        what: a sentence on what it measures.
        result: its measurements.
        others: cores that other programs used meanwhile, on average.
    """
    lines = [f"## {name}", "", what, ""]
    if result.skipped:
        return "\n".join([*lines, f"Skipped: {result.skipped}.", ""])
    lines += [
        f"`python -m benchmarks {name}` · {datetime.now(UTC):%Y-%m-%d} · {machine()} · other "
        f"programs took {others:.1f} cores meanwhile",
        "",
        "| what | measured | limit | | peer | times better |",
        "|---|---:|---:|---|---:|---:|",
        *(f"| {' | '.join(row(item))} |" for item in result.measurements),
        "",
    ]
    if result.peer:
        lines += [f"Peer: {result.peer}.", ""]
    return "\n".join([*lines, *(f"- {note}" for note in result.notes), ""])


def row(item: Measurement) -> tuple[str, str, str, str, str, str]:
    """Format a table row: what, measured, limit, verdict, peer, times better."""
    sign = "≤" if item.bound == "at most" else "≥"
    return (
        item.what,
        f"{number(item.value)} {item.unit}",
        f"{sign} {number(item.limit)}" if item.limit is not None else "",
        {True: "pass", False: "**FAIL**", None: ""}[item.passed],
        number(item.peer) if item.peer is not None else "",
        f"{item.ratio:.1f} ×" if item.ratio is not None else "",
    )


def number(value: float) -> str:
    """``value`` with three significant digits; without decimals from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def update(path: Path, sections: dict[str, str], order: list[str]) -> None:
    """Replace ``sections`` in the page; those of benchmarks that were not run stay.

    Args:
        path: the page; made if it does not exist.
        sections: text of each section, by benchmark.
        order: all benchmarks, in the page's order; other sections are dropped.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    parts = re.split(r"^## (\S+)\n", text, flags=re.MULTILINE)[1:]
    kept = {
        name: f"## {name}\n{body}" for name, body in zip(parts[::2], parts[1::2], strict=True)
    } | sections
    whole = "\n".join([HEAD, *(kept[name].rstrip("\n") + "\n" for name in order if name in kept)])
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(whole, encoding="utf-8")
    part.replace(path)

"""CPU time of importing the code location and of building its definitions."""

import json
import sys
from pathlib import Path
from statistics import median
from typing import TypedDict

from benchmarks.processes import cpu_seconds, python_json
from benchmarks.result import Measurement, Result

REPETITIONS = 7
LIMIT_S = 1.0
HEAVY = ("torch", "torchvision", "lightning", "mlflow", "sagemaker", "gradio", "sklearn", "scipy")


class Spent(TypedDict):
    """CPU seconds after each step, from the process's start of importing; heavy modules seen."""

    dagster: float
    imported: float
    built: float
    heavy: list[str]


def measure(scratch: Path) -> Result:
    """Alternate between fresh processes with and without the code location; compare medians."""
    _spent(with_location=True)  # writes the bytecode caches
    pairs = [(_spent(with_location=False), _spent(with_location=True)) for _ in range(REPETITIONS)]
    alone = median(bare["dagster"] for bare, _ in pairs)
    imported = median(whole["imported"] - bare["dagster"] for bare, whole in pairs)
    built = median(whole["built"] - bare["dagster"] for bare, whole in pairs)
    heavy = sorted({name for _, whole in pairs for name in whole["heavy"]})
    return Result(
        measurements=[
            Measurement(
                what="importing imgclf_dagster.definitions and building its repository, over "
                "importing dagster",
                value=built,
                unit="CPU s",
                limit=LIMIT_S,
            ),
            Measurement(what="of which importing", value=imported, unit="CPU s"),
            Measurement(what="importing dagster alone", value=alone, unit="CPU s"),
        ],
        notes=[
            f"Medians of {REPETITIONS} pairs of fresh processes, alternating, bytecode cached.",
            f"Heavy modules imported on the way: {', '.join(heavy) or 'none'}.",
        ],
    )


def _spent(*, with_location: bool) -> Spent:
    arguments = ["with-location"] if with_location else []
    spent: Spent = python_json("benchmarks.import_cost", *arguments)
    return spent


def _child(*, with_location: bool) -> Spent:
    """In a fresh process: import, and read the CPU clock after each step."""
    before = cpu_seconds()
    import dagster  # noqa: F401

    alone = imported = built = cpu_seconds() - before
    if with_location:
        from imgclf_dagster.definitions import build_definitions
        from imgclf_dagster.settings import load_settings

        imported = cpu_seconds() - before
        build_definitions(load_settings()).get_repository_def()
        built = cpu_seconds() - before
    heavy = [name for name in HEAVY if name in sys.modules]
    return {"dagster": alone, "imported": imported, "built": built, "heavy": heavy}


if __name__ == "__main__":
    print(json.dumps(_child(with_location="with-location" in sys.argv)))

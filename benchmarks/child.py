"""``python -m benchmarks.child NAME SCRATCH REPORT``: one benchmark, in this process."""

import importlib
import sys
from pathlib import Path

from benchmarks.result import Result


def main() -> None:
    """Measure, and write the report (JSON of a ``Result``)."""
    name, scratch, report = sys.argv[1:]
    result: Result = importlib.import_module(f"benchmarks.{name}").measure(Path(scratch))
    Path(report).write_text(result.model_dump_json(), encoding="utf-8")


if __name__ == "__main__":
    main()

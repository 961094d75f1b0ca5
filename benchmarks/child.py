"""``python -m benchmarks.child NAME SCRATCH REPORT``: run one benchmark in this process."""

import importlib
import sys
from pathlib import Path

from benchmarks.result import Result


def main() -> None:
    """Run the benchmark, and write the report (a ``Result`` as JSON)."""
    name, scratch, report = sys.argv[1:]
    result: Result = importlib.import_module(f"benchmarks.{name}").measure(Path(scratch))
    Path(report).write_text(result.model_dump_json(), encoding="utf-8")


if __name__ == "__main__":
    main()

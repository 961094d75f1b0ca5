"""Metrics that SageMaker reads from a container's log."""

import math
import re
import threading
from typing import Any

from tests.testbed.state import now


class Metrics:
    """The last value of each metric, by the job's MetricDefinitions."""

    def __init__(self, definitions: list[dict[str, str]]) -> None:
        """``definitions`` are the request's: Name, Regex with one group."""
        self._patterns = [(d["Name"], re.compile(d["Regex"])) for d in definitions]
        self._last: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def line(self, text: str) -> None:
        """Look for values in a line of the log."""
        for name, pattern in self._patterns:
            for found in pattern.finditer(text):
                try:
                    value = float(found[1])
                except (ValueError, IndexError):
                    continue
                if not math.isfinite(value):
                    continue
                with self._lock:
                    self._last[name] = {"MetricName": name, "Value": value, "Timestamp": now()}

    def final(self) -> list[dict[str, Any]]:
        """FinalMetricDataList."""
        with self._lock:
            return list(self._last.values())

    def value(self, name: str) -> float | None:
        """The last value of a metric."""
        with self._lock:
            return self._last[name]["Value"] if name in self._last else None

"""Judge a model's latency, and distinguish a slow model from a busy machine."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assets.release.verdicts import Severity

QUIET_P95 = "quiet_p95_ms"
"""Name of a verdict's number: estimated 95th percentile on an idle machine (ms)."""


@dataclass(frozen=True)
class LatencyFinding:
    """The parts of a verdict on latency."""

    passed: bool
    severity: Severity
    reason: str
    numbers: Mapping[str, float]


def p95(latencies: Sequence[float]) -> float:
    """Return the 95th percentile (same unit as the input); infinite for fewer than two values."""
    return statistics.quantiles(latencies, n=20)[-1] if len(latencies) > 1 else float("inf")


def judge_latency(
    candidate: Sequence[float],
    budget_ms: float,
    *,
    champion: Sequence[float] = (),
    champion_before_ms: float | None = None,
) -> LatencyFinding:
    """Judge the latency of a model on staging.

    A model over its budget gets a warning only if the machine is the cause: if production's model
    takes longer for the same images at the same time than when it was checked, and the candidate
    would be within the budget after division by that ratio. Without a model to compare with, the
    median must be within the budget, since a busy machine delays some answers and not all.

    Args:
        candidate: latencies of single images (ms).
        budget_ms: budget of the 95th percentile (ms).
        champion: latencies of production's model for the same images at the same time (ms); empty
            if there is none or it does not answer.
        champion_before_ms: its 95th percentile when it was checked (ms).

    Returns:
        A finding that blocks (not passed, ``ERROR``), warns (not passed, ``WARN``) or passes.
    """
    tail = p95(candidate)
    summary = (
        f"95th percentile {tail:.0f} ms of {len(candidate)} requests (budget {budget_ms:g} ms)"
    )
    numbers = {"p95_ms": round(tail, 1) if candidate else -1.0, "requests": float(len(candidate))}
    if tail <= budget_ms:
        return LatencyFinding(True, "ERROR", summary, {**numbers, QUIET_P95: round(tail, 1)})
    if len(candidate) < 2:
        return LatencyFinding(False, "ERROR", summary, numbers)
    if len(champion) > 1 and champion_before_ms:
        now = p95(champion)
        quiet = tail / max(1.0, now / champion_before_ms)
        numbers |= {"champion_p95_ms": round(now, 1), QUIET_P95: round(quiet, 1)}
        compared = (
            f"production's model took {now:.0f} ms at the same time and {champion_before_ms:.0f} "
            f"ms when it was checked, so this one takes {quiet:.0f} ms when the machine is quiet"
        )
        severity: Severity = "WARN" if quiet <= budget_ms else "ERROR"
        return LatencyFinding(False, severity, f"{summary}; {compared}", numbers)
    median = statistics.median(candidate)
    numbers["median_ms"] = round(median, 1)
    if median <= budget_ms:
        numbers[QUIET_P95] = round(median, 1)
        excuse = f"the median is {median:.0f} ms: this machine is busy"
        return LatencyFinding(False, "WARN", f"{summary}; {excuse}", numbers)
    return LatencyFinding(False, "ERROR", f"{summary}; the median is {median:.0f} ms", numbers)

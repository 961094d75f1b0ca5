"""Whether a model answers in time, told apart from whether the machine is busy."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assets.release.verdicts import Severity

QUIET_P95 = "quiet_p95_ms"
"""Number of a verdict: the 95th percentile as it would be on a quiet machine (ms)."""


@dataclass(frozen=True)
class LatencyFinding:
    """What was found of a model's answer times: the parts of a verdict."""

    passed: bool
    severity: Severity
    reason: str
    numbers: Mapping[str, float]


def p95(latencies: Sequence[float]) -> float:
    """Compute the 95th percentile; infinite for fewer than two values, which tell of no tail."""
    return statistics.quantiles(latencies, n=20)[-1] if len(latencies) > 1 else float("inf")


def judge_latency(
    candidate: Sequence[float],
    budget_ms: float,
    *,
    champion: Sequence[float] = (),
    champion_before_ms: float | None = None,
) -> LatencyFinding:
    """Judge the answer times of a model on staging.

    A model over its budget passes with a warning where the machine is to blame: production's
    model, asked for the same images at the same time, takes longer than when it was checked, and
    by that factor the candidate would be within the budget. Without such a model to compare with,
    the median has to be within the budget, since a busy machine delays some answers and not all.

    Args:
        candidate: answer times of single images (ms).
        budget_ms: what the 95th percentile may be (ms).
        champion: those of production's model for the same images at the same time; empty: there
            is none, or it does not answer.
        champion_before_ms: its 95th percentile when it was checked (ms).

    Returns:
        A finding that blocks (not passed, ``ERROR``), warns (not passed, ``WARN``) or passes.
    """
    tail = p95(candidate)
    told = f"95th percentile {tail:.0f} ms of {len(candidate)} requests (budget {budget_ms:g} ms)"
    numbers = {"p95_ms": round(tail, 1) if candidate else -1.0, "requests": float(len(candidate))}
    if tail <= budget_ms:
        return LatencyFinding(True, "ERROR", told, {**numbers, QUIET_P95: round(tail, 1)})
    if len(candidate) < 2:
        return LatencyFinding(False, "ERROR", told, numbers)
    if len(champion) > 1 and champion_before_ms:
        now = p95(champion)
        quiet = tail / max(1.0, now / champion_before_ms)
        numbers |= {"champion_p95_ms": round(now, 1), QUIET_P95: round(quiet, 1)}
        compared = (
            f"production's model took {now:.0f} ms at the same time and {champion_before_ms:.0f} "
            f"ms when it was checked, so this one takes {quiet:.0f} ms when the machine is quiet"
        )
        severity: Severity = "WARN" if quiet <= budget_ms else "ERROR"
        return LatencyFinding(False, severity, f"{told}; {compared}", numbers)
    median = statistics.median(candidate)
    numbers["median_ms"] = round(median, 1)
    if median <= budget_ms:
        numbers[QUIET_P95] = round(median, 1)
        excuse = f"the median is {median:.0f} ms: this machine is busy"
        return LatencyFinding(False, "WARN", f"{told}; {excuse}", numbers)
    return LatencyFinding(False, "ERROR", f"{told}; the median is {median:.0f} ms", numbers)

"""A slow model is told apart from a busy machine."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from assets.release.verdicts import record_verdict
from imgclf_dagster.checks.latency import QUIET_P95, LatencyFinding, judge_latency, p95
from imgclf_dagster.checks.staging import _answer_times, _champion_before
from object_store.store import ObjectStore
from serving.endpoint.client import InvocationFailed

pytestmark = pytest.mark.unit

FAST = [20.0] * 32
SLOW = [1500.0] * 32


def _outcome(*args: object, **how: object) -> str:
    found = judge_latency(*args, **how)
    return "pass" if found.passed else found.severity


def test_the_tail_counts_and_not_the_middle() -> None:
    latencies = [10.0] * 28 + [5000.0] * 4
    assert p95(latencies) > 1000
    assert judge_latency(latencies, 1000).passed is False


def test_one_answer_or_none_shows_no_tail_and_blocks() -> None:
    assert p95([10.0]) == p95([]) == float("inf")
    for few in ([], [10.0]):
        assert _outcome(few, 1000) == "ERROR"
        assert _outcome(few, 1000, champion=SLOW, champion_before_ms=20.0) == "ERROR"


def test_within_the_budget_it_passes_and_says_so() -> None:
    found = judge_latency(FAST, 20)
    assert found.passed
    assert found.reason == "95th percentile 20 ms of 32 requests (budget 20 ms)"
    assert found.numbers == {"p95_ms": 20.0, "requests": 32.0, QUIET_P95: 20.0}


@pytest.mark.parametrize(
    ("champion", "before", "outcome"),
    [
        (SLOW, 20.0, "WARN"),  # production's took 20 ms, and 1500 now: the machine is busy
        (SLOW, 1500.0, "ERROR"),  # it always took that long: so does this one
        (FAST, 20.0, "ERROR"),  # production answers at once: this one is slow
        (FAST, 40.0, "ERROR"),  # a machine that became faster excuses nothing
        ([2000.0] * 32, 1500.0, "ERROR"),  # busy, but not enough to explain it
        ([], 20.0, "ERROR"),  # production does not answer
        ([1500.0], 20.0, "ERROR"),
        (SLOW, None, "ERROR"),  # never checked
    ],
)
def test_over_the_budget_production_s_model_in_the_same_minute_decides(
    champion: list[float], before: float | None, outcome: str
) -> None:
    assert _outcome(SLOW, 1000, champion=champion, champion_before_ms=before) == outcome


def test_the_reason_has_both_models_and_what_a_quiet_machine_would_take() -> None:
    found = judge_latency(SLOW, 1000, champion=[300.0] * 32, champion_before_ms=100.0)
    assert "took 300 ms at the same time and 100 ms when it was checked" in found.reason
    assert "takes 500 ms when the machine is quiet" in found.reason
    assert found.numbers[QUIET_P95] == 500.0


def test_without_a_model_to_compare_with_the_median_decides() -> None:
    late_now_and_then = [20.0] * 24 + [3000.0] * 8
    found = judge_latency(late_now_and_then, 1000)
    assert (found.passed, found.severity) == (False, "WARN")
    assert "the median is 20 ms: this machine is busy" in found.reason
    assert _outcome(SLOW, 1000) == "ERROR"


class _Endpoints:
    """Stages that answer, or do not."""

    def __init__(self, *, refusing: str = "", record: Any = None) -> None:
        self.asked: list[str] = []
        self._refusing, self._record = refusing, record

    def invoke(self, stage: str, body: bytes, content_type: str) -> dict[str, Any]:
        self.asked.append(f"{stage} {body.decode()}")
        if stage == self._refusing:
            raise InvocationFailed(503, "no_model", "no model")
        return {}

    def current(self, stage: str) -> Any:
        return self._record


def test_both_models_are_asked_for_each_image_in_turn() -> None:
    endpoints = _Endpoints()
    times = _answer_times(endpoints, [b"1", b"2"], ("staging", "prod"))
    assert endpoints.asked == ["staging 1", "prod 1", "staging 2", "prod 2"]
    assert {stage: len(found) for stage, found in times.items()} == {"staging": 2, "prod": 2}


def test_a_production_that_refuses_is_no_comparison_and_a_staging_that_does_a_failure() -> None:
    times = _answer_times(_Endpoints(refusing="prod"), [b"1", b"2"], ("staging", "prod"))
    assert (len(times["staging"]), times["prod"]) == (2, [])
    times = _answer_times(_Endpoints(refusing="prod"), [b"1", b"2"], ("prod", "staging"))
    assert (len(times["staging"]), times["prod"]) == (2, [])
    with pytest.raises(InvocationFailed):
        _answer_times(_Endpoints(refusing="staging"), [b"1"], ("staging", "prod"))


@pytest.mark.parametrize(
    ("numbers", "checked_digest", "expected"),
    [
        ({"p95_ms": 20.0}, "d" * 64, 20.0),  # a verdict of before there were quiet ones
        ({"p95_ms": 900.0, QUIET_P95: 30.0}, "d" * 64, 30.0),
        ({"p95_ms": -1.0}, "d" * 64, None),
        ({"p95_ms": 0.0}, "d" * 64, None),
        ({"p95_ms": 0.5}, "d" * 64, 0.5),
        ({"p95_ms": 20.0}, "e" * 64, None),
        (None, "d" * 64, None),
    ],
)
def test_what_production_s_model_took_is_read_from_its_own_verdict(
    tmp_path: Path, numbers: dict[str, float] | None, checked_digest: str, expected: float | None
) -> None:
    store = ObjectStore(url=(tmp_path / "store").as_uri())
    store.ensure()
    if numbers is not None:
        record_verdict(
            store,
            subject="trained_model/train-1",
            check="staging_latency_within_budget",
            passed=True,
            reason="",
            digest=checked_digest,
            numbers=numbers,
        )
    endpoints = _Endpoints(record=SimpleNamespace(digest="d" * 64, model_version="train-1"))
    assert _champion_before(store, endpoints, "c" * 64) == expected
    assert _champion_before(store, endpoints, "d" * 64) is None
    assert _champion_before(store, _Endpoints(), "c" * 64) is None


def test_every_finding_says_its_numbers() -> None:
    """Whole sentences and all numbers: people decide by them."""
    text = "95th percentile 1500 ms of 32 requests (budget 1000.5 ms)"
    measured = {"p95_ms": 1500.0, "requests": 32.0}
    assert judge_latency(SLOW, 1000.5) == LatencyFinding(
        False,
        "ERROR",
        f"{text}; the median is 1500 ms",
        {**measured, "median_ms": 1500.0},
    )
    half = [10.26] * 16 + [1500.0] * 16
    assert judge_latency(half[:-1], 1000.5) == LatencyFinding(
        False,
        "WARN",
        "95th percentile 1500 ms of 31 requests (budget 1000.5 ms); the median is 10 ms: this "
        "machine is busy",
        {"p95_ms": 1500.0, "requests": 31.0, "median_ms": 10.3, QUIET_P95: 10.3},
    )
    compared = "production's model took {} ms at the same time and 100 ms when it was checked, so "
    compared += "this one takes {} ms when the machine is quiet"
    assert judge_latency(
        SLOW, 1000.5, champion=[300.26] * 2, champion_before_ms=100.0
    ) == LatencyFinding(
        False,
        "WARN",
        f"{text}; {compared.format(300, 500)}",
        {**measured, "champion_p95_ms": 300.3, QUIET_P95: 499.6},
    )
    assert judge_latency(
        SLOW, 1000.5, champion=[50.0] * 2, champion_before_ms=100.0
    ) == LatencyFinding(
        False,
        "ERROR",
        f"{text}; {compared.format(50, 1500)}",
        {**measured, "champion_p95_ms": 50.0, QUIET_P95: 1500.0},
    )
    assert judge_latency([1.26, 1.26], 1000) == LatencyFinding(
        True,
        "ERROR",
        "95th percentile 1 ms of 2 requests (budget 1000 ms)",
        {"p95_ms": 1.3, "requests": 2.0, QUIET_P95: 1.3},
    )


def test_too_few_answers_are_reported_as_such() -> None:
    assert judge_latency([], 1000) == LatencyFinding(
        False,
        "ERROR",
        "95th percentile inf ms of 0 requests (budget 1000 ms)",
        {"p95_ms": -1.0, "requests": 0.0},
    )
    assert judge_latency([7.0], 1000).numbers == {"p95_ms": float("inf"), "requests": 1.0}
    assert judge_latency([7.0, 7.0], 1000).passed


def test_just_at_the_budget_is_within_it() -> None:
    assert judge_latency([20.0] * 2, 20).passed
    assert _outcome([40.0] * 2, 20, champion=[20.0] * 2, champion_before_ms=10.0) == "WARN"
    assert _outcome([40.0] * 2, 20, champion=[19.0] * 2, champion_before_ms=10.0) == "ERROR"
    at_budget = [20.0] * 30 + [99.0] * 10
    assert _outcome(at_budget, 20) == "WARN"
    assert _outcome(at_budget, 19.9) == "ERROR"
    assert judge_latency(at_budget, 20, champion_before_ms=20.0).severity == "WARN"


def test_the_tail_is_the_last_of_twenty_parts() -> None:
    assert p95([float(n) for n in range(1, 100)]) == 95.0
    assert p95([1.0, 1.0]) == 1.0

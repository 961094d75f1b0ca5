"""What the checks of staging demand of its answers; the endpoint is played."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from imgclf_dagster.checks import staging
from imgclf_dagster.checks.staging import Probe
from resources.endpoints.local import LocalEndpoints

pytestmark = pytest.mark.graph

VERSION = "train-1"
Play = Callable[..., Any]


@pytest.fixture
def play(shop: Any, monkeypatch: pytest.MonkeyPatch) -> Play:
    """``play(check, predicted, milliseconds)``: staging answers ``cat`` to test images of which
    the evaluation ``predicted`` these labels, each in so many milliseconds; the verdict."""
    package = shop.candidate(VERSION)

    def verdict(
        check: str, predicted: Sequence[str], milliseconds: Sequence[float], digest: str = ""
    ) -> Any:
        now, waits = [0.0], iter(milliseconds)

        def invoke(self: Any, *_: Any, **__: Any) -> dict[str, Any]:
            now[0] += next(waits) / 1000
            answer = {"predicted": ["cat"]}
            return {"digest": digest or package.digest, "predictions": [answer]}

        monkeypatch.setattr(LocalEndpoints, "invoke", invoke)
        monkeypatch.setattr(
            staging, "_probes", lambda *_: iter(Probe(b"", [label]) for label in predicted)
        )
        monkeypatch.setattr(staging.time, "perf_counter", lambda: now[0])
        done = shop.check("staging_endpoint", check, partition=VERSION)
        found = shop.verdict(f"trained_model/{VERSION}", check)
        assert done.checks == {check: not found.blocks}
        assert found.digest == package.digest
        return found

    return verdict


def test_staging_passes_if_every_test_image_is_answered_as_evaluated(play: Play) -> None:
    check = "staging_serves_digest"
    assert play(check, ["cat"] * 4, [1] * 4).passed
    other = play(check, ["cat", "cat", "dog"], [1] * 3)
    assert other.blocks
    assert "1 of 3 test images" in other.reason
    assert play(check, ["cat"], [1], digest="f" * 64).blocks


def test_staging_that_was_sent_no_test_image_does_not_pass(play: Play) -> None:
    assert not play("staging_serves_digest", [], []).passed
    assert not play("staging_latency_within_budget", [], []).passed


def test_one_answer_says_nothing_of_the_latency(play: Play) -> None:
    assert not play("staging_latency_within_budget", ["cat"], [1]).passed


def test_the_slowest_twentieth_counts_and_not_the_middle(play: Play) -> None:
    check = "staging_latency_within_budget"
    assert play(check, ["cat"] * 32, [10] * 32).passed
    slow = play(check, ["cat"] * 32, [10] * 28 + [60_000] * 4)
    assert slow.numbers["p95_ms"] > 50_000
    assert not slow.passed

"""The gates: each fails for its own reason, and only for that."""

from typing import Any

import pytest
from pydantic import ValidationError

from assets.evaluation import gates
from assets.evaluation.gates import GateResult, evaluate_gates
from assets.policies import GatePolicy

pytestmark = pytest.mark.unit

SUPPORT = 40


def scores(*, macro_f1: float = 0.9, **recalls: float) -> dict[str, Any]:
    """One model's numbers; recalls of the classes a and b."""
    return {
        "accuracy": 0.9,
        "macro_f1": macro_f1,
        "log_loss": 0.3,
        "calibration_error": 0.02,
        "calibration_chance": 0.05,
        "per_class": {
            label: {
                "precision": 0.9,
                "recall": recalls.get(label, 0.9),
                "f1": 0.9,
                "support": SUPPORT,
            }
            for label in "ab"
        },
        "confusion_matrix": [[36, 4], [4, 36]],
        "model_version": "train-new",
        "digest": "d" * 64,
    }


def report(*, champion: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {
        **scores(),
        "dataset_version": "v",
        "task": "single_label",
        "labels": ["a", "b"],
        "n_test": 80,
        "n_val": 80,
        "majority_baseline_accuracy": 0.5,
        "val": None,
        "champion": champion and {**champion, "model_version": "train-old"},
        "mcnemar_p": 1.0 if champion else None,
        "paired": {label: {"only_candidate": 0, "only_champion": 0} for label in "ab"}
        if champion
        else {},
        "images_per_second": 100.0,
        **changes,
    }


def verdicts(content: dict[str, Any], **policy: float) -> dict[str, GateResult]:
    return {gate.name: gate for gate in evaluate_gates(content, GatePolicy(**policy))}


def failing(content: dict[str, Any], **policy: float) -> list[str]:
    return [name for name, gate in verdicts(content, **policy).items() if not gate.passed]


def test_a_first_model_passes_if_it_beats_the_commonest_class() -> None:
    gates = verdicts(report())
    assert list(gates) == ["beats_champion", "no_slice_regression", "calibration_within_bound"]
    assert all(gate.passed for gate in gates.values())
    assert failing(report(accuracy=0.51)) == []
    assert failing(report(accuracy=0.5)) == ["beats_champion"]
    assert "commonest" in verdicts(report(accuracy=0.5))["beats_champion"].reason


def test_beats_champion_compares_macro_f1_with_the_tolerance() -> None:
    champion = scores(macro_f1=0.92)
    assert failing(report(champion=champion)) == ["beats_champion"]
    assert failing(report(champion=champion), champion_tolerance=0.02) == []
    assert failing(report(champion=champion), champion_tolerance=0.019) == ["beats_champion"]
    assert failing(report(champion=scores(macro_f1=0.9))) == [], "an equal may take over"
    # With a champion the baseline is of no interest.
    assert failing(report(champion=scores(), accuracy=0.4)) == []
    reason = verdicts(report(champion=champion))["beats_champion"].reason
    assert "0.9000" in reason
    assert "0.9200 of champion train-old" in reason
    assert reason.endswith("; it must not be lower")
    tolerant = verdicts(report(champion=champion), champion_tolerance=0.02)["beats_champion"]
    assert tolerant.reason.endswith("; it may be 0.02 lower")


@pytest.mark.parametrize(
    ("only_candidate", "only_champion", "fails"),
    [
        (0, 5, True),  # (1/2)^5 = 0.031
        (0, 4, False),  # 0.0625: four images may be bad luck
        (4, 9, False),  # P(X ≥ 9 | 13) = 0.133: they differ on many images either way
        (2, 9, True),  # 0.033
    ],
)
def test_a_loss_of_recall_counts_when_chance_does_not_explain_it(
    only_candidate: int, only_champion: int, fails: bool
) -> None:
    lost = (only_champion - only_candidate) / SUPPORT
    content = report(champion=scores(b=0.9), **{"per_class": scores(b=0.9 - lost)["per_class"]})
    content["paired"]["b"] = {"only_candidate": only_candidate, "only_champion": only_champion}
    assert lost >= 0.1
    assert failing(content, slice_tolerance=0.05) == (["no_slice_regression"] if fails else [])
    gate = verdicts(content, slice_tolerance=0.05)["no_slice_regression"]
    assert gate.numbers["test"] == "one-sided exact McNemar test"
    assert gate.numbers["regressed"] == ("b" if fails else "")
    assert gate.numbers["worst_class"] == "b"
    assert gate.numbers["worst_recall_drop"] == pytest.approx(lost)


def test_a_certain_loss_within_the_tolerance_passes_and_a_gain_is_no_loss() -> None:
    content = report(champion=scores(b=1.0), per_class=scores(b=0.8)["per_class"])
    content["paired"]["b"] = {"only_candidate": 0, "only_champion": 8}
    assert failing(content, slice_tolerance=0.1) == ["no_slice_regression"]
    assert failing(content, slice_tolerance=0.2) == [], "exactly at the bound"

    gain = report(champion=scores(b=0.8), per_class=scores(b=1.0)["per_class"])
    gain["paired"]["b"] = {"only_candidate": 8, "only_champion": 0}
    assert failing(gain, slice_tolerance=0.0) == []


def test_calibration_counts_beyond_the_bound_and_beyond_chance() -> None:
    assert failing(report(calibration_error=0.12)) == ["calibration_within_bound"]
    assert failing(report(calibration_error=0.12), max_calibration_error=0.12) == []
    few_images = report(calibration_error=0.12, calibration_chance=0.2)
    assert failing(few_images) == []
    reason = verdicts(few_images)["calibration_within_bound"].reason
    assert reason.startswith(
        "calibration error 0.1200 is above the bound 0.1, but not above 0.2000"
    )
    assert reason.endswith("on 80 test images: they are too few to show it")
    assert failing(report(calibration_error=0.21, calibration_chance=0.2)) == [
        "calibration_within_bound"
    ]
    above = verdicts(report(calibration_error=0.21, calibration_chance=0.2))
    assert "is above the bound 0.1 and above 0.2000" in above["calibration_within_bound"].reason


def test_an_error_that_only_rounding_puts_above_chance_passes() -> None:
    # of a real report: mean confidences in float32, the value that chance reaches in float64
    tied = report(calibration_error=0.2121360314928967, calibration_chance=0.21213600816934006)
    assert failing(tied) == []
    assert failing(report(calibration_error=0.21214, calibration_chance=0.212135)) == [
        "calibration_within_bound"
    ]


def test_a_report_with_a_hole_is_refused_rather_than_passed() -> None:
    content = report(champion=scores())
    del content["paired"]["b"]
    with pytest.raises(ValidationError, match="paired must name every label"):
        evaluate_gates(content, GatePolicy())
    with pytest.raises(ValidationError, match="champion and mcnemar_p"):
        evaluate_gates(report(mcnemar_p=0.5), GatePolicy())
    content = report()
    del content["macro_f1"]
    with pytest.raises(ValidationError, match="macro_f1"):
        evaluate_gates(content, GatePolicy())


def test_a_loss_whose_p_value_is_just_the_significance_is_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gates, "SIGNIFICANCE", 0.0625)
    content = report(champion=scores(b=0.9), per_class=scores(b=0.8)["per_class"])
    content["paired"]["b"] = {"only_candidate": 0, "only_champion": 4}  # (1/2)^4
    assert failing(content, slice_tolerance=0.05) == ["no_slice_regression"]


BOUND = "more than 0.05 at p ≤ 0.05 (one-sided exact McNemar test)"


def test_every_verdict_says_its_numbers() -> None:
    """Whole sentences and all numbers: people decide by them."""
    content = report(
        champion=scores(macro_f1=0.85, a=1.0),
        per_class=scores(a=0.8, b=0.6)["per_class"],
        mcnemar_p=0.25,
    )
    content["paired"] = {
        "a": {"only_candidate": 0, "only_champion": 6},
        "b": {"only_candidate": 0, "only_champion": 8},
    }
    found = verdicts(content, slice_tolerance=0.05, champion_tolerance=0.01)
    assert found["beats_champion"] == GateResult(
        "beats_champion",
        True,
        "macro-F1 0.9000 against 0.8500 of champion train-old on the same 80 test images; it may "
        "be 0.01 lower",
        {
            "macro_f1": 0.9,
            "champion_macro_f1": 0.85,
            "tolerance": 0.01,
            "champion": "train-old",
            "mcnemar_p": 0.25,
        },
    )
    lost = found["no_slice_regression"]
    assert lost.reason == (
        f"recall lost against train-old: b 0.300 (p = 0.0039), a 0.200 (p = 0.016); {BOUND}"
    )
    assert lost.numbers == {
        "test": "one-sided exact McNemar test",
        "regressed": "b, a",
        "worst_class": "b",
        "worst_recall_drop": pytest.approx(0.3),
        "worst_p": 0.5**8,
        "tolerance": 0.05,
    }
    within = verdicts(report(champion=scores(a=0.92)), slice_tolerance=0.05)
    reason = within["no_slice_regression"].reason
    assert reason == f"no class lost recall: {BOUND}; the biggest loss: a 0.020"


def test_without_a_champion_the_verdicts_say_so() -> None:
    found = verdicts(report(accuracy=0.75), max_calibration_error=0.01)
    assert found["beats_champion"] == GateResult(
        "beats_champion",
        True,
        "no champion yet; accuracy 0.7500 is above the 0.5000 of always predicting the commonest "
        "labels",
        {"accuracy": 0.75, "majority_baseline_accuracy": 0.5},
    )
    text = "no champion yet; there is nothing to compare recall with"
    assert found["no_slice_regression"] == GateResult("no_slice_regression", True, text)
    assert found["calibration_within_bound"] == GateResult(
        "calibration_within_bound",
        True,
        "calibration error 0.0200 is above the bound 0.01, but not above 0.0500, below which a "
        "perfectly calibrated model stays 19 times of 20 on 80 test images: they are too few to show "
        "it",
        {"calibration_error": 0.02, "bound": 0.01, "chance": 0.05},
    )
    bounded = verdicts(report(accuracy=0.5))
    assert "is not above the 0.5000" in bounded["beats_champion"].reason
    assert bounded["calibration_within_bound"].reason == "calibration error 0.0200, bound 0.1"
    for gate in evaluate_gates(report(), GatePolicy(), "it cannot be read")[:2]:
        assert gate.reason.startswith("it cannot be read; ")

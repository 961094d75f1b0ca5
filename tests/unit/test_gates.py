"""The gates: each fails for its own reason, and only for that."""

from typing import Any

import pytest
from pydantic import ValidationError

from assets.gates import GateResult, evaluate_gates
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
    assert gate.metadata["test"] == "one-sided exact McNemar test"
    assert gate.metadata["regressed"] == ("b" if fails else "")
    assert gate.metadata["worst_class"] == "b"
    assert gate.metadata["worst_recall_drop"] == pytest.approx(lost)


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
    assert "19 times of 20" in verdicts(few_images)["calibration_within_bound"].reason
    assert failing(report(calibration_error=0.21, calibration_chance=0.2)) == [
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

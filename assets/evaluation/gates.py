"""The gates of a candidate, computed from its evaluation report. Pure functions.

``no_slice_regression`` counts a loss only if it is significant, ``calibration_within_bound`` an error
only if it is above what chance reaches. ``beats_champion`` compares two scores of the same images
without a test of significance; ``policy.champion_tolerance`` is the loss that it accepts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from assets.policies import GatePolicy
from training.evaluation.metrics import one_sided_mcnemar_p
from training.evaluation.report import EvaluationReport

SIGNIFICANCE = 0.05
"""A loss of recall counts if the p-value of the exact test is at most this. Each class is tested
on its own, without a correction for multiple comparisons: an undetected loss costs more than a
second look, and with few images the exact test errs well below this rate.
"""

SLICE_TEST = "one-sided exact McNemar test"

_ROUNDING = 1e-9
"""Tolerance of the comparisons: a value exactly at its bound passes despite binary rounding."""

_FLOAT32_ROUNDING = 1e-6
"""The same for calibration errors: the mean confidence of a bin is computed in float32, the value
that chance reaches in float64, and the two differ by up to 4e-7 where they are equal.
"""


@dataclass(frozen=True)
class GateResult:
    """The result of one gate; ``reason`` is for people, ``numbers`` the values behind it."""

    name: str
    passed: bool
    reason: str
    numbers: dict[str, float | str] = field(default_factory=dict)


def evaluate_gates(
    report: Mapping[str, object], policy: GatePolicy, no_champion: str = "no champion yet"
) -> list[GateResult]:
    """Evaluate ``beats_champion``, ``no_slice_regression`` and ``calibration_within_bound``.

    Args:
        report: the content of ``report.json`` (``training.evaluation.report.EvaluationReport``).
        policy: the user's bounds.
        no_champion: why the report has no champion, if it has none.

    Raises:
        pydantic.ValidationError: ``report`` is no evaluation report.
    """
    checked = EvaluationReport.model_validate(report)
    return [
        beats_champion(checked, policy, no_champion),
        no_slice_regression(checked, policy, no_champion),
        calibration_within_bound(checked, policy),
    ]


def beats_champion(
    report: EvaluationReport, policy: GatePolicy, no_champion: str = "no champion yet"
) -> GateResult:
    """Check that the macro-F1 is not too far below the champion's.

    It may be ``policy.champion_tolerance`` lower. Without a champion, the accuracy must be above
    that of always predicting the most frequent labels.

    Args:
        report: the evaluation report.
        policy: the user's bounds.
        no_champion: why the report has no champion, if it has none.
    """
    champion = report.champion
    if champion is None:
        baseline = report.majority_baseline_accuracy
        passed = report.accuracy > baseline + _ROUNDING
        return GateResult(
            "beats_champion",
            passed,
            f"{no_champion}; {report.accuracy_name} {report.accuracy:.4f} is "
            f"{'above' if passed else 'not above'} the {baseline:.4f} of always predicting the "
            "commonest labels",
            {"accuracy": report.accuracy, "majority_baseline_accuracy": baseline},
        )
    loss = champion.macro_f1 - report.macro_f1
    tolerance = policy.champion_tolerance
    passed = loss <= tolerance + _ROUNDING
    allowed = f"it may be {tolerance:g} lower" if tolerance else "it must not be lower"
    return GateResult(
        "beats_champion",
        passed,
        f"macro-F1 {report.macro_f1:.4f} against {champion.macro_f1:.4f} of champion "
        f"{champion.model_version} on the same {report.n_test} test images; {allowed}",
        {
            "macro_f1": report.macro_f1,
            "champion_macro_f1": champion.macro_f1,
            "tolerance": tolerance,
            "champion": champion.model_version,
            "mcnemar_p": report.mcnemar_p if report.mcnemar_p is not None else 1.0,
        },
    )


def no_slice_regression(
    report: EvaluationReport, policy: GatePolicy, no_champion: str = "no champion yet"
) -> GateResult:
    """Check that no class lost recall against the champion.

    A class fails if it lost more than ``policy.slice_tolerance`` of recall and the one-sided exact
    McNemar test has a p-value of at most ``SIGNIFICANCE``. The test counts the class's images that
    only one of both models recognised. Without a champion the gate passes.

    Args:
        report: the evaluation report.
        policy: the user's bounds.
        no_champion: why the report has no champion, if it has none.
    """
    name = "no_slice_regression"
    if report.champion is None:
        return GateResult(name, True, f"{no_champion}; there is nothing to compare recall with")
    drops = {
        label: report.champion.per_class[label].recall - report.per_class[label].recall
        for label in report.labels
    }
    values = {
        label: one_sided_mcnemar_p(pair.only_champion, pair.only_candidate)
        for label, pair in report.paired.items()
    }
    lost = [
        label
        for label in sorted(drops, key=lambda label: -drops[label])
        if drops[label] > policy.slice_tolerance + _ROUNDING and values[label] <= SIGNIFICANCE
    ]
    worst = max(drops, key=lambda label: drops[label])
    bound = f"more than {policy.slice_tolerance:g} at p ≤ {SIGNIFICANCE:g} ({SLICE_TEST})"
    if lost:
        losses = ", ".join(
            f"{label} {drops[label]:.3f} (p = {values[label]:.2g})" for label in lost
        )
        reason = f"recall lost against {report.champion.model_version}: {losses}; {bound}"
    else:
        reason = f"no class lost recall: {bound}; the biggest loss: {worst} {drops[worst]:.3f}"
    return GateResult(
        name,
        not lost,
        reason,
        {
            "test": SLICE_TEST,
            "regressed": ", ".join(lost),
            "worst_class": worst,
            "worst_recall_drop": drops[worst],
            "worst_p": values[worst],
            "tolerance": policy.slice_tolerance,
        },
    )


def calibration_within_bound(report: EvaluationReport, policy: GatePolicy) -> GateResult:
    """Check that the expected calibration error is at most ``policy.max_calibration_error``.

    It may also be at most ``report.calibration_chance``: the value below which a perfectly
    calibrated model stays 19 times of 20 on as many test images.
    """
    error, bound, chance = (
        report.calibration_error,
        policy.max_calibration_error,
        report.calibration_chance,
    )
    passed = error <= max(bound, chance) + _FLOAT32_ROUNDING
    reason = f"calibration error {error:.4f}, bound {bound:g}"
    if error > bound + _FLOAT32_ROUNDING:
        reached = (
            f"{chance:.4f}, below which a perfectly calibrated model stays 19 times of 20 on "
            f"{report.n_test} test images"
        )
        reason = f"calibration error {error:.4f} is above the bound {bound:g}" + (
            f", but not above {reached}: they are too few to show it"
            if passed
            else f" and above {reached}"
        )
    return GateResult(
        "calibration_within_bound",
        passed,
        reason,
        {"calibration_error": error, "bound": bound, "chance": chance},
    )

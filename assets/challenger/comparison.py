"""Whether a challenger is the better candidate: paired, on the same test images; pure."""

from collections.abc import Mapping
from typing import Any

from assets.evaluation.gates import (
    beats_champion,
    calibration_within_bound,
    no_slice_regression,
)
from assets.model.export_difference import ExportDifference
from assets.policies import GatePolicy
from training.evaluation.report import EvaluationReport

_ROUNDING = 1e-9
"""Difference of two scores that is due to binary rounding."""


def judge_challenger(
    against_candidate: Mapping[str, Any],
    against_champion: Mapping[str, Any] | None,
    policy: GatePolicy,
    export: ExportDifference,
) -> tuple[bool, str]:
    """Decide whether a challenger becomes the candidate.

    Its macro-F1 must be higher than the candidate's, and it must pass the gates that the candidate
    has to pass: recall of each class against both models, the champion's macro-F1, calibration, and
    the export.

    Args:
        against_candidate: report of the challenger beside the candidate.
        against_champion: report beside the model in production; ``None``: there is none to compare
            with.
        policy: bounds of the gates.
        export: the difference between the exported graph and torch.

    Returns:
        Whether it does, and a sentence for people.
    """
    report = EvaluationReport.model_validate(against_candidate)
    other = report.champion
    if other is None:
        raise ValueError("a challenger is judged beside another model, and the report has none")
    faults = []
    is_better = report.macro_f1 > other.macro_f1 + _ROUNDING
    scores = (
        f"macro-F1 {report.macro_f1:.4f} against {other.macro_f1:.4f} of {other.model_version}, "
        f"accuracy {report.accuracy:.4f} against {other.accuracy:.4f}, on the same "
        f"{report.n_test} test images (McNemar test: p = {report.mcnemar_p:.2g})"
    )
    gates = [no_slice_regression(report, policy), calibration_within_bound(report, policy)]
    if against_champion is not None:
        beside = EvaluationReport.model_validate(against_champion)
        gates += [beats_champion(beside, policy), no_slice_regression(beside, policy)]
    faults += [f"{gate.name}: {gate.reason}" for gate in gates if not gate.passed]
    if not export.within(policy.max_export_difference):
        faults.append(f"export_matches_training: {export.text(policy.max_export_difference)}")
    if not is_better:
        return False, f"it is not better: {scores}"
    if faults:
        return False, f"it is better ({scores}), but {'; '.join(dict.fromkeys(faults))}"
    return True, f"it is better: {scores}"

"""Scores as numbers and as sentences: those of older versions, of one label and of several."""

from typing import Any

import pytest

from assets.evaluation.champion import NONE_YET, Champion
from assets.evaluation.report_metadata import per_class_table, report_metadata
from assets.evaluation.scores import is_too_wide, numbers_of, sentence
from tests.unit.assets.evaluation.test_gates import report

pytestmark = pytest.mark.unit

INTERVALS = {"accuracy": [0.85, 0.93], "macro_f1": [0.86, 0.94]}


def several(**changes: Any) -> dict[str, Any]:
    return report(
        task="multi_label",
        micro_f1=0.95,
        mean_average_precision=0.97,
        thresholds={"a": 0.4, "b": 0.625},
        **changes,
    )


def test_reports_of_older_versions_have_no_intervals() -> None:
    numbers = numbers_of(report(), "single_label")
    assert list(numbers) == ["accuracy", "macro_f1", "log_loss", "calibration_error"]
    assert not is_too_wide(numbers)
    assert sentence(numbers, "single_label") == "accuracy 0.900, macro-F1 0.900"


def test_an_interval_is_shown_where_the_split_is_too_small() -> None:
    narrow = numbers_of(report(intervals=INTERVALS), "single_label")
    assert sentence(narrow, "single_label") == "accuracy 0.900, macro-F1 0.900"
    wide = numbers_of(report(intervals={**INTERVALS, "macro_f1": [0.8, 0.95]}), "single_label")
    assert sentence(wide, "single_label") == (
        "accuracy 0.900 (95 %: 0.85 to 0.93), macro-F1 0.900 (95 %: 0.80 to 0.95)"
    )


def test_several_labels_have_scores_of_their_own() -> None:
    assert sentence(numbers_of(several(), "multi_label"), "multi_label") == (
        "subset accuracy 0.900, macro-F1 0.900, micro-F1 0.950, mAP 0.970"
    )
    rows = per_class_table(several()).splitlines()
    assert rows[0].endswith("| threshold | test images |")
    assert rows[3].replace("\\", "") == "| b | 0.900 | 0.900 | 0.900 |  | 0.625 | 40 |"
    assert "threshold" not in per_class_table(report())


def test_two_classes_show_what_other_thresholds_would_give() -> None:
    point = {"threshold": 0.3, "precision": 0.5, "recall": 0.75, "false_positive_rate": 0.125}
    binary = {"positive": "b*", "roc_auc": 0.875, "points": [point]}
    shown = report_metadata(report(binary=binary), Champion(None, NONE_YET), {}, "eval-1")
    assert shown["roc_auc"] == 0.875
    table = shown["scores_by_threshold"].value.splitlines()
    assert table[0].startswith(r"| b\* from a probability of |")
    assert table[2].replace("\\", "") == "| 0.3 | 0.500 | 0.750 | 0.125 |"
    assert shown["accuracy_is"] == "accuracy"

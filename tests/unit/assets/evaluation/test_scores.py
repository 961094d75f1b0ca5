"""Scores as numbers and as sentences: those of older versions, of one label and of several."""

from typing import Any

import pytest

from assets.evaluation.certainty import certainty
from assets.evaluation.champion import NONE_YET, Champion
from assets.evaluation.report_metadata import per_class_table, report_metadata
from assets.evaluation.scores import is_too_wide, numbers_of, sentence
from tests.unit.assets.evaluation.test_gates import report, scores

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
        "accuracy 0.900 (95 %: 0.85 to 0.93), macro-F1 0.900 (95 %: 0.80 to 0.95) "
        "(too few images to tell)"
    )


def test_a_test_split_that_is_too_small_says_what_would_be_enough() -> None:
    small = report(n_test=80, intervals={"accuracy": [0.8, 0.95], "macro_f1": [0.7, 0.9]})
    small["per_class"]["b"] = {**small["per_class"]["b"], "support": 7}
    cross = {**scores(), "intervals": INTERVALS, "folds": 5, "images": 400}
    found = certainty(small, 0.1, cross)
    assert found["cross_validated_macro_f1"] == 0.9
    few, table, label = found["certainty"].value.split("\n\n")
    assert "up to 0.20 wide, more than 0.1" in few
    rows = [line.replace("\\", "") for line in table.splitlines()[2:]]
    assert rows[0].endswith("| 80 | 0.900 (0.80 to 0.95) | 0.900 (0.70 to 0.90) |")
    assert "cross-validation" in rows[1]
    assert rows[1].endswith("| 400 | 0.900 (0.85 to 0.93) | 0.900 (0.86 to 0.94) |")
    # Twice as narrow: four times as many, 240 more, of 2,400 that are labelled.
    assert "About 240 more test images would be enough (to label about 2,400 more)" in label
    assert "b (7), a (40)" in label.replace("\\", "")
    assert "cross" not in str(certainty(small, 0.1, None))
    assert certainty(report(intervals=INTERVALS), 0.1, cross) == {}
    shown = sentence({**numbers_of(small, "single_label"), **found}, "single_label")
    assert shown.endswith(
        "(too few images to tell; cross-validated: accuracy 0.900, macro-F1 0.900)"
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

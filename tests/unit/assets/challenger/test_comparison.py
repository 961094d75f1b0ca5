"""A challenger becomes the candidate for one reason, and fails for others."""

import math
from typing import Any

import pytest

from assets.challenger.comparison import judge_challenger
from assets.evaluation.candidate import candidate_of
from assets.model.export_difference import ExportDifference
from assets.policies import GatePolicy
from assets.records.challenger_model import ChallengerModelRecord
from assets.records.trained_model import TrainedModelRecord

pytestmark = pytest.mark.unit


def scores(version: str, macro_f1: float, recall_a: float = 0.9, **more: float) -> dict[str, Any]:
    of = {"precision": 0.9, "f1": 0.9, "support": 40}
    return {
        "accuracy": macro_f1,
        "macro_f1": macro_f1,
        "log_loss": 0.3,
        "calibration_error": 0.02,
        "calibration_chance": 0.05,
        "per_class": {"a": {**of, "recall": recall_a}, "b": {**of, "recall": 0.9}},
        "confusion_matrix": [[36, 4], [4, 36]],
        "model_version": version,
        "digest": "d" * 64,
        **more,
    }


def report(own: dict[str, Any], other: dict[str, Any], only_other: int = 0) -> dict[str, Any]:
    counts = {"only_candidate": 0, "only_champion": only_other}
    return {
        **own,
        "dataset_version": "v",
        "task": "single_label",
        "labels": ["a", "b"],
        "n_test": 80,
        "n_val": 80,
        "majority_baseline_accuracy": 0.5,
        "val": None,
        "champion": other,
        "mcnemar_p": 0.2,
        "paired": {"a": counts, "b": {"only_candidate": 0, "only_champion": 0}},
        "images_per_second": 100.0,
    }


BETTER = report(scores("train-fine", 0.95), scores("train-probe", 0.9))


def judged(
    beside: dict[str, Any] = BETTER,
    champion: dict[str, Any] | None = None,
    difference: float = 0.0,
    **policy: float,
) -> tuple[bool, str]:
    export = ExportDifference(difference, 256, 0.0, "fp32")
    return judge_challenger(beside, champion, GatePolicy(**policy), export)


def test_a_higher_score_on_the_same_images_wins() -> None:
    won, reason = judged()
    assert won
    assert reason == (
        "it is better: macro-F1 0.9500 against 0.9000 of train-probe, accuracy 0.9500 against "
        "0.9000, on the same 80 test images (McNemar test: p = 0.2)"
    )


def test_an_equal_score_does_not_whatever_is_tolerated_of_a_champion() -> None:
    same = report(scores("train-fine", 0.9), scores("train-probe", 0.9))
    won, reason = judged(same, champion_tolerance=0.5)
    assert not won
    assert reason.startswith("it is not better: macro-F1 0.9000 against 0.9000")


def test_a_better_one_fails_by_each_gate_that_the_candidate_has_to_pass() -> None:
    lost_a = report(
        scores("train-fine", 0.95, recall_a=0.5), scores("train-probe", 0.9), only_other=16
    )
    unsure = report(scores("train-fine", 0.95, calibration_error=0.4), scores("train-probe", 0.9))
    champion = report(scores("train-fine", 0.95), scores("train-live", 0.97))
    for given, text in (
        (judged(lost_a), "no_slice_regression: recall lost against train-probe: a 0.400"),
        (judged(unsure), "calibration_within_bound: calibration error 0.4000"),
        (judged(champion=champion), "beats_champion: macro-F1 0.9500 against 0.9700"),
        (judged(difference=0.5), "export_matches_training: largest difference of a probability"),
        (judged(difference=math.nan), "export_matches_training"),
    ):
        won, reason = given
        assert not won
        assert reason.startswith("it is better (macro-F1 0.9500")
        assert text in reason


def test_the_champion_s_tolerance_counts_against_the_champion() -> None:
    champion = report(scores("train-fine", 0.95), scores("train-live", 0.97))
    assert judged(champion=champion, champion_tolerance=0.05)[0]


MODEL = TrainedModelRecord(model_version="train-probe", dataset_version="v", digest="p" * 64)


@pytest.mark.parametrize(
    ("won", "compared_with", "candidate"),
    [
        (True, "train-probe", "train-fine"),
        (False, "train-probe", "train-probe"),
        (True, "train-former", "train-probe"),  # another model was trained since
    ],
)
def test_the_candidate_is_the_challenger_only_if_it_beat_this_very_model(
    won: bool, compared_with: str, candidate: str
) -> None:
    challenger = ChallengerModelRecord(
        base="train-probe",
        request="r",
        reason="why",
        won=won,
        compared_with=compared_with,
        model_version="train-fine",
        dataset_version="v",
        digest="f" * 64,
    )
    found = candidate_of(MODEL, challenger)
    assert found.model_version == candidate
    assert found.challenger == "why"
    assert candidate_of(MODEL, None).challenger == ""

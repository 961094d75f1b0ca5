"""Which hyperparameters a search decides, and which the user."""

import pytest

from assets.model.tuned import configured
from assets.policies import TrainingPolicy, TuningPolicy
from assets.records.hyperparameters import HyperparametersRecord
from training.config import FINETUNED_NET, Hyperparameters

pytestmark = pytest.mark.unit

TUNED = HyperparametersRecord(
    job="train-search",
    dataset_version="v1",
    chosen={"architecture": FINETUNED_NET, "learning_rate": 2e-4, "optimizer": "sgd"},
    val_loss=0.2,
    trials=9,
)


def test_a_search_decides_what_nobody_set() -> None:
    policy = TrainingPolicy(learning_rate=5e-4, epochs=3)
    found = configured(policy.challenger_job(), policy.model_fields_set, TUNED)
    job = found.hyperparameters
    assert (job.learning_rate, job.optimizer, job.epochs) == (5e-4, "sgd", 3)
    by_search = "search train-search on data set v1"
    assert found.sources == {
        "learning_rate": "settings",
        "epochs": "settings",
        "optimizer": by_search,
        "architecture": by_search,
    }
    assert "optimizer sgd" in found.note


def test_it_decides_nothing_about_another_recipe_or_net() -> None:
    probe = Hyperparameters(recipe="probe")
    assert configured(probe, set(), TUNED).hyperparameters == probe
    policy = TrainingPolicy(architecture="resnet18")
    found = configured(policy.challenger_job(), policy.model_fields_set, TUNED)
    assert found.hyperparameters == policy.challenger_job()
    assert "they were found for tf_efficientnet_lite0, and resnet18 is set" in found.note


def test_the_net_that_is_fine_tuned_is_searched_for_unless_others_are_named() -> None:
    training = TrainingPolicy(architecture="resnet18+resnet50")
    assert TuningPolicy().space(training).architectures == ("resnet18",)
    named = TuningPolicy(architectures=("resnet34", "resnet50"))
    assert named.space(training).architectures == ("resnet34", "resnet50")

"""Hyperparameters: those that a recipe uses decide a job's name, the others do not."""

from typing import Any

import pytest

from assets.model.trained_model import training_job
from training.config import Hyperparameters

pytestmark = pytest.mark.unit

CARD = {"version": "0123456789abcdef", "labels": ["a", "b"], "task": "single_label", "shards": []}


def job(**given: Any) -> Any:
    return training_job(Hyperparameters(weights="none", **given), CARD, None)


@pytest.mark.parametrize(
    "unused", [{"epochs": 3}, {"learning_rate": 0.5}, {"optimizer": "sgd"}, {"batch_size": 8}]
)
def test_what_a_probe_does_not_use_trains_no_other_probe(unused: dict[str, Any]) -> None:
    assert job(recipe="probe", **unused) == job(recipe="probe")
    assert job(recipe="finetune", **unused).name != job(recipe="finetune").name


@pytest.mark.parametrize(
    "used",
    [
        {"architecture": "resnet18"},
        {"image_size": 96},
        {"resize": "pad"},
        {"precision": "32"},
        {"seed": 1},
        {"parent_digest": "ab"},
    ],
)
def test_what_a_probe_uses_trains_another_one(used: dict[str, Any]) -> None:
    assert job(recipe="probe", **used).name != job(recipe="probe").name


def test_a_small_net_of_its_own_has_no_architecture() -> None:
    assert job(recipe="scratch", architecture="resnet18") == job(recipe="scratch")
    assert job(recipe="scratch", epochs=3).name != job(recipe="scratch").name


@pytest.mark.parametrize("recipe", ["probe", "finetune", "scratch"])
def test_a_job_reads_what_it_was_given(recipe: str) -> None:
    given = Hyperparameters(recipe=recipe, image_size=64, seed=3)
    read = Hyperparameters.from_strings(given.to_strings())
    assert read == given

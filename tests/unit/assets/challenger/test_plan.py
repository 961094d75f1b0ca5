"""How many epochs a budget allows."""

import pytest

from assets.challenger.jobs import step_time_job
from assets.challenger.plan import plan_epochs, too_few_images
from training.config import Hyperparameters

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("wanted", "epoch_s", "minutes", "epochs"),
    [
        (12, 60.0, 30.0, 12),
        (12, 170.0, 30.0, 10),  # (30 * 60 - 20) / 170
        (12, 700.0, 30.0, 0),  # two, which are too few
        (2, 700.0, 30.0, 2),  # unless the user asks for no more
        (12, 5000.0, 30.0, 0),
        (12, 60.0, 0.1, 0),
    ],
)
def test_epochs_fit_into_the_budget(
    wanted: int, epoch_s: float, minutes: float, epochs: int
) -> None:
    plan = plan_epochs(wanted=wanted, epoch_s=epoch_s, beside_s=20.0, budget_minutes=minutes)
    assert plan.epochs == epochs
    assert plan.seconds == pytest.approx(epochs * epoch_s + 20 if epochs else 0)
    assert plan.seconds <= minutes * 60


def test_the_plan_says_how_long_it_takes_or_what_is_missing() -> None:
    fits = plan_epochs(wanted=12, epoch_s=170.0, beside_s=20.0, budget_minutes=30.0)
    assert fits.reason == (
        "10 epochs of 12, as the budget is 30 min, 3 min each (measured), and 20 s beside them: "
        "about 29 min"
    )
    not_enough = plan_epochs(wanted=12, epoch_s=1000.0, beside_s=20.0, budget_minutes=30.0)
    assert not_enough.reason == (
        "3 epochs of 17 min each (measured) and 20 s beside them take 50 min, and "
        "training.budget_minutes allows 30 min"
    )


def test_small_data_sets_are_not_fine_tuned() -> None:
    assert too_few_images(500, 100) == ""
    assert too_few_images(499, 100).startswith("499 training images are too few")
    assert too_few_images(5000, 99).startswith("99 test images are too few to tell")


def test_a_measurement_is_named_by_what_its_time_depends_on() -> None:
    card = {"version": "v" * 16, "labels": ["a", "b"], "task": "single_label"}
    given = Hyperparameters(recipe="finetune")

    def name(parameters: Hyperparameters = given, machine: str = "", **of_card: object) -> str:
        described = {**card, **of_card}
        return step_time_job(parameters, described, val_share=0.2, machine=machine).name

    first = name()
    same = given.model_copy(update={"epochs": 50, "seed": 7, "weights": "none"})
    assert name(same) == first  # none of which changes the time of an epoch
    others = {
        name(machine="2 ml.g5.xlarge"),
        name(version="w" * 16),
        name(labels=["a"]),
        name(given.model_copy(update={"batch_size": 8})),
    }
    assert len(others - {first}) == 4

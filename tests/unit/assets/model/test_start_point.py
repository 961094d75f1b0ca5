"""What a training that starts from a model takes over from it."""

import dagster as dg
import pytest

from assets.model.start_point import StartPoint
from assets.model.trained_model import training_config
from assets.policies import TrainingPolicy
from training.config import Hyperparameters

pytestmark = pytest.mark.unit

PARENT = StartPoint(
    model_version="train-0",
    digest="d" * 64,
    key="models/train-0/output/model.tar.gz",
    recipe="finetune",
    architecture="resnet18",
    input_size=96,
)


def test_net_and_size_are_the_models_unless_others_are_set() -> None:
    job, given = PARENT.given_to(Hyperparameters(recipe="finetune", epochs=3), {"epochs"})
    assert (job.architecture, job.image_size, job.epochs) == ("resnet18", 96, 3)
    assert job.parent_digest == PARENT.digest
    assert given == {"epochs", "architecture", "image_size", "parent_digest"}
    asked = Hyperparameters(recipe="finetune", architecture="resnet34", image_size=64)
    job, _ = PARENT.given_to(asked, {"architecture", "image_size"})
    assert (job.architecture, job.image_size) == (
        "resnet34",
        64,
    )  # the job says that it does not fit
    assert PARENT.channel.relative(PARENT.key) == "model.tar.gz"


@pytest.mark.parametrize(
    ("recipe", "of_parent", "text"),
    [
        ("probe", {}, "recipe probe keeps the pretrained weights"),
        ("scratch", {}, "recipe scratch has another net"),
        ("finetune", {"recipe": "scratch"}, "recipe finetune has another net"),
        ("finetune", {"recipe": "probe", "architecture": "a+b"}, "a probe of several nets"),
    ],
)
def test_a_recipe_that_cannot_start_from_it_says_why(
    recipe: str, of_parent: dict[str, str], text: str
) -> None:
    parent = StartPoint(**{**vars(PARENT), **of_parent})
    with pytest.raises(dg.Failure, match=text.replace("+", r"\+")):
        parent.given_to(Hyperparameters.model_validate({"recipe": recipe}), set())


def test_the_launchpad_has_the_model_to_start_from_and_not_its_digest() -> None:
    form = training_config(TrainingPolicy())().model_dump()
    assert form["start_from"] == ""
    assert "parent_digest" not in form

"""The search space: one declaration for both ways to search."""

import pytest
from pydantic import ValidationError

from training.config import FINETUNED_NET, Hyperparameters
from training.tuning.space import SearchSpace, tried

pytestmark = pytest.mark.unit


class Middle:
    """Suggests the last choice, and the lesser end of a scale."""

    def suggest_categorical(self, name: str, values: tuple[object, ...]) -> object:
        return values[-1]

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float:
        assert log
        return low


def test_a_single_value_is_fixed_and_not_searched() -> None:
    space = SearchSpace(optimizers=("sgd",), weight_decay=(0.01, 0.01), image_sizes=(96, 128))
    assert space.fixed == {
        "architecture": FINETUNED_NET,
        "optimizer": "sgd",
        "weight_decay": 0.01,
    }
    assert list(space.dimensions) == ["augmentation", "image_size", "learning_rate"]
    found = space.suggest(Middle())
    assert found == {
        **space.fixed,
        "augmentation": "photo",
        "image_size": 128,
        "learning_rate": 1e-5,
    }
    parameters = tried(Hyperparameters(recipe="finetune", epochs=3), found)
    assert (parameters.image_size, parameters.optimizer, parameters.epochs) == (128, "sgd", 3)


def test_sagemaker_gets_the_same_space_with_json_literals() -> None:
    space = SearchSpace(optimizers=("adamw", "sgd"), image_sizes=(96, 128))
    ranges = space.parameter_ranges()
    choices = {item["Name"]: item["Values"] for item in ranges["CategoricalParameterRanges"]}
    assert choices == {
        "optimizer": ['"adamw"', '"sgd"'],
        "augmentation": ['"light"', '"photo"'],
        "image_size": ["96", "128"],
    }
    rate, decay = ranges["ContinuousParameterRanges"]
    assert rate == {
        "Name": "learning_rate",
        "MinValue": "1e-05",
        "MaxValue": "0.01",
        "ScalingType": "Logarithmic",
    }
    names = {*choices, rate["Name"], decay["Name"]}
    assert names == space.dimensions.keys()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"learning_rate": (1e-2, 1e-5)}, "the lesser first"),
        ({"weight_decay": (0, 1)}, "above 0"),
        ({"optimizers": ("sgd", "sgd")}, "optimizers names a value twice"),
        ({"optimizers": ("adagrad",)}, "optimizers"),
        ({"architectures": ("resnet18+resnet50",)}, "fine-tunes one net at a time"),
        ({"architectures": ()}, "architectures"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(wrong: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        SearchSpace.model_validate(wrong)

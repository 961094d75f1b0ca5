"""The search space of hyperparameters: declared once, for Optuna and for SageMaker's tuning."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from training.backbones.weights import nets_of
from training.config import FINETUNED_NET, Augmentation, Hyperparameters, Optimizer


@dataclass(frozen=True)
class Choice:
    """One of several values; more than one, or there is nothing to search."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Scale:
    """A number between two others, searched on a logarithmic scale."""

    low: float
    high: float


Dimension = Choice | Scale


class SearchSpace(BaseModel):
    """What a search tries; a dimension with a single value is fixed at it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    architectures: tuple[str, ...] = Field(
        (FINETUNED_NET,), min_length=1, description="Nets of torchvision or timm."
    )
    optimizers: tuple[Optimizer, ...] = Field(
        ("adamw", "sgd", "rmsprop"), min_length=1, description="Optimizers."
    )
    learning_rate: tuple[float, float] = Field(
        (1e-5, 1e-2), description="Least and greatest peak learning rate (logarithmic scale)."
    )
    weight_decay: tuple[float, float] = Field(
        (1e-5, 1e-1), description="Least and greatest weight decay (logarithmic scale)."
    )
    augmentations: tuple[Augmentation, ...] = Field(
        ("light", "photo"), min_length=1, description="Augmentations."
    )
    image_sizes: tuple[int, ...] = Field(
        (), description="Widths in pixels of the images; empty: the net's own."
    )

    @model_validator(mode="after")
    def _can_be_searched(self) -> Self:
        for name in ("learning_rate", "weight_decay"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} must be two numbers above 0, the lesser first")
        for name in ("architectures", "optimizers", "augmentations", "image_sizes"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} names a value twice")
        several = [net for net in self.architectures if len(nets_of(net)) != 1]
        if several:
            raise ValueError(
                f"architectures names {several[0]!r}: a search fine-tunes one net at a time"
            )
        return self

    @property
    def dimensions(self) -> dict[str, Dimension]:
        """What is searched, by hyperparameter; fixed values are left out."""
        choices = {
            "architecture": self.architectures,
            "optimizer": self.optimizers,
            "augmentation": self.augmentations,
            "image_size": self.image_sizes,
        }
        scales = {"learning_rate": self.learning_rate, "weight_decay": self.weight_decay}
        found: dict[str, Dimension] = {
            name: Choice(values) for name, values in choices.items() if len(values) > 1
        }
        found |= {name: Scale(*ends) for name, ends in scales.items() if ends[0] < ends[1]}
        return found

    @property
    def fixed(self) -> dict[str, Any]:
        """The hyperparameters that the space fixes at one value."""
        single = {
            "architecture": self.architectures,
            "optimizer": self.optimizers,
            "augmentation": self.augmentations,
            "image_size": self.image_sizes,
        }
        found = {name: values[0] for name, values in single.items() if len(values) == 1}
        ends = {"learning_rate": self.learning_rate, "weight_decay": self.weight_decay}
        return found | {name: low for name, (low, high) in ends.items() if low == high}

    def parameter_ranges(self) -> dict[str, list[dict[str, Any]]]:
        """Return the space as SageMaker's ``ParameterRanges``.

        Values of a choice are JSON literals, as all hyperparameters of our jobs are:
        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ParameterRanges.html
        """
        choices, scales = [], []
        for name, dimension in self.dimensions.items():
            if isinstance(dimension, Choice):
                values = [json.dumps(value) for value in dimension.values]
                choices.append({"Name": name, "Values": values})
            else:
                low, high = f"{dimension.low:g}", f"{dimension.high:g}"
                scales.append(
                    {"Name": name, "MinValue": low, "MaxValue": high, "ScalingType": "Logarithmic"}
                )
        return {"CategoricalParameterRanges": choices, "ContinuousParameterRanges": scales}

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Return the values of an Optuna trial, by hyperparameter."""
        found = dict(self.fixed)
        for name, dimension in self.dimensions.items():
            if isinstance(dimension, Choice):
                found[name] = trial.suggest_categorical(name, dimension.values)
            else:
                found[name] = trial.suggest_float(name, dimension.low, dimension.high, log=True)
        return found


def tried(base: Hyperparameters, values: Mapping[str, Any]) -> Hyperparameters:
    """Return the hyperparameters of a trial.

    Args:
        base: hyperparameters of the search; those that are not searched count.
        values: of the trial.
    """
    return Hyperparameters.model_validate({**base.model_dump(), **values})

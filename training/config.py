"""Hyperparameters of a training job, as users write them and as SageMaker passes them."""

import json
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Recipe = Literal["scratch", "probe", "finetune"]
Optimizer = Literal["adamw", "sgd", "rmsprop"]
Augmentation = Literal["none", "light", "photo"]
Resize = Literal["squash", "crop", "pad"]
"""How an image becomes a square. squash: without its aspect ratio; crop: its central square; pad: the
whole image, with grey beside it."""

CODE_VERSION = "3"
"""Version of the training code, part of every job's name. Raise it when a change to this package
changes the result of a training job with the same data and configuration;
``tests/unit/training/test_code_version.py`` checks that. Versions of libraries are not included:
most of them change only the last bits, and every user would train all models again. Nor is the
number of machines: it changes the cost of a model, not the model."""


PROBED_NETS = "tf_efficientnet_lite0+tf_efficientnet_lite2"
FINETUNED_NET = "tf_efficientnet_lite0"
"""Default architectures; their weights come with packages (training.backbones.weights)."""


class Hyperparameters(BaseModel):
    """The hyperparameters of one training job.

    SageMaker passes hyperparameters as strings (at most 100, 2,500 characters each:
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_TrainingJobDefinition.html);
    ``to_strings`` and ``from_strings`` are the two directions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: Recipe = Field(
        "probe",
        description="scratch: a small net, no weights; probe: frozen pretrained features and "
        "multinomial logistic regression; finetune: all layers of a pretrained net.",
    )
    architecture: str = Field(
        PROBED_NETS,
        description="A classification net of torchvision or timm, for probe and finetune (scratch "
        "always uses a small net of its own); several joined by + for probe: their features are "
        "concatenated. torchvision's net where both have the name; timm/NAME for timm's. Default of "
        f"finetune: {FINETUNED_NET}.",
    )
    weights: Literal["imagenet", "none"] = Field(
        "imagenet", description="imagenet: pretrained; none: random, needs no download."
    )
    optimizer: Optimizer = "adamw"
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate (finetune, scratch).")
    weight_decay: float = Field(1e-2, ge=0)
    batch_size: int = Field(64, ge=1, le=65536)
    epochs: int = Field(12, ge=1, le=10_000, description="Epochs (finetune, scratch).")
    image_size: int | None = Field(
        None,
        ge=8,
        le=1024,
        description="Width and height in pixels of the images that the model sees; default: those "
        "of the net's pretraining (of several nets, the smallest; scratch: 160).",
    )
    resize: Resize = Field(
        "squash",
        description="How images become the squares that a net sees. squash: without their aspect "
        "ratio; crop: the central square; pad: the whole image with grey beside it.",
    )
    augmentation: Augmentation = Field(
        "light",
        description="none; light: small shifts and scales; photo: random crops, flips, colour.",
    )
    precision: Literal["auto", "32", "bf16"] = Field(
        "auto", description="auto: bfloat16 where the hardware is faster with it."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1)

    @model_validator(mode="before")
    @classmethod
    def _one_net_to_finetune(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("recipe") == "finetune":
            return {"architecture": FINETUNED_NET, **values}
        return values

    @property
    def uses_weights(self) -> bool:
        """Whether the job starts from pretrained weights."""
        return self.recipe != "scratch" and self.weights == "imagenet"

    def to_strings(self) -> dict[str, str]:
        """Return every hyperparameter as a JSON literal, for a SageMaker job."""
        return {key: json.dumps(value) for key, value in self.model_dump().items()}

    @classmethod
    def from_strings(cls, values: Mapping[str, Any]) -> Self:
        """Build from ``to_strings``' output; keys that are not hyperparameters are ignored."""
        known = {key: json.loads(values[key]) for key in cls.model_fields if key in values}
        return cls.model_validate(known)

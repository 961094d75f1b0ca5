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
ClassWeights = Literal["none", "sqrt", "balanced"]
ExportPrecision = Literal["fp32", "bf16", "int8"]

CODE_VERSION = "3"
"""Version of the training code, part of every job's name. Raise it when a change to this package
changes the result of a training job with the same data and configuration;
``tests/unit/training/test_code_version.py`` checks that. Versions of libraries are not included:
most of them change only the last bits, and every user would train all models again. Nor is the
number of machines: it changes the cost of a model, not the model."""


PROBED_NETS = "tf_efficientnet_lite0+tf_efficientnet_lite2"
FINETUNED_NET = "tf_efficientnet_lite0"
"""Default architectures; their weights come with packages (training.backbones.weights)."""


_WITHOUT_PRETRAINING = {
    "layer_decay": 1.0,
    "frozen_layers": 0.0,
    "frozen_statistics": False,
    "head_start": False,
}
_SCRATCH = {
    "warm_up": 0.3,
    "learning_rate": 1e-3,
    "batch_size": 64,
    "epochs": 12,
    "patience": 0,
    "augmentation": "light",  # digits must not be flipped
    "label_smoothing": 0.0,
    "ema_decay": 0.0,
}


_OF_A_PROBE = {
    "recipe",
    "architecture",
    "weights",
    "image_size",
    "resize",
    "precision",
    "export_precision",
    "seed",
    "parent_digest",
}
_NOT_OF_SCRATCH = {"architecture", "weights"}


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
    optimizer: Optimizer = Field("adamw", description="Optimizer (finetune, scratch).")
    learning_rate: float = Field(
        3e-4,
        gt=0,
        description="Peak learning rate (finetune, scratch); default of scratch: 0.001.",
    )
    warm_up: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of the steps in which the learning rate rises to its peak, before it falls "
        "to 0 along a cosine (default of scratch: 0.3).",
    )
    layer_decay: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Factor of the learning rate from each layer to the one before it; 1: all layers "
        "learn at one rate (default of scratch).",
    )
    frozen_layers: float = Field(
        0.4,
        ge=0,
        lt=1,
        description="Share of the net's layers, from the first on, that keep their pretrained weights "
        "and cost no backward pass (default of scratch: 0).",
    )
    frozen_statistics: bool = Field(
        True,
        description="Whether batch normalisation keeps the mean and variance of the pretraining, "
        "instead of those of each batch (default of scratch: false).",
    )
    head_start: bool = Field(
        True,
        description="Whether the head starts as a probe, fitted on the features of the net before it "
        "is trained (finetune).",
    )
    weight_decay: float = Field(
        1e-2, ge=0, description="Weight decay, of weights but not of biases and normalisation."
    )
    batch_size: int = Field(
        32, ge=1, le=65536, description="Images of a training step (default of scratch: 64)."
    )
    epochs: int = Field(
        8, ge=1, le=10_000, description="Epochs (finetune, scratch); default of scratch: 12."
    )
    patience: int = Field(
        3,
        ge=0,
        description="Epochs without a lower validation loss after which training stops; the weights "
        "of the best epoch are kept. 0: all epochs, and the last weights (default of scratch).",
    )
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
    start_size: float = Field(
        1.0,
        ge=0.25,
        le=1,
        description="Share of image_size with which training starts; it grows to 1 in the first two "
        "thirds of the epochs.",
    )
    augmentation: Augmentation = Field(
        "photo",
        description="none; light: small rotations, shifts and scales (default of scratch); photo: "
        "random crops, flips and TrivialAugment.",
    )
    mixup: float = Field(
        0.0, ge=0, description="Strength (alpha) of mixing pairs of training images; 0: none."
    )
    cutmix: float = Field(
        0.0,
        ge=0,
        description="Strength (alpha) of pasting parts of training images into others; 0: none.",
    )
    label_smoothing: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of each training label that is spread over all labels (default of "
        "scratch: 0).",
    )
    class_weights: ClassWeights = Field(
        "none",
        description="Weights of the training loss that raise rare labels. none; balanced: by 1 / "
        "their share; sqrt: by its square root.",
    )
    ema_decay: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="Decay per step of the moving average of the weights that becomes the model; 0: "
        "the last weights (default of scratch).",
    )
    precision: Literal["auto", "32", "bf16"] = Field(
        "auto", description="auto: bfloat16 where the hardware is faster with it."
    )
    export_precision: ExportPrecision = Field(
        "fp32",
        description="Precision in which the model is served on a CPU. bf16: bfloat16 by OpenVINO; int8: "
        "by ONNX Runtime. Kept only if it is faster and loses at most 0.3 points on the validation "
        "split, else fp32.",
    )
    seed: int = Field(0, ge=0, le=2**31 - 1)
    parent_digest: str = Field(
        "",
        description="Digest of the model whose weights the training starts from; set by start_from.",
    )

    @model_validator(mode="after")
    def _take_defaults_of_recipe(self) -> Self:
        for name, value in self._defaults_of_recipe().items():
            if name not in self.model_fields_set:
                # Not by validation: the field stays one that nobody has set, and follows the recipe.
                object.__setattr__(self, name, value)
        return self

    def _defaults_of_recipe(self) -> dict[str, Any]:
        """Return the defaults that differ from those of the fields."""
        if self.recipe == "scratch":
            return _SCRATCH | _WITHOUT_PRETRAINING
        if self.recipe == "finetune":
            net = {"architecture": FINETUNED_NET}
            return net if self.weights == "imagenet" else net | _WITHOUT_PRETRAINING
        return {}

    @property
    def uses_weights(self) -> bool:
        """Whether the job starts from pretrained weights."""
        return self.recipe != "scratch" and self.weights == "imagenet" and not self.parent_digest

    def used(self) -> dict[str, Any]:
        """Return the hyperparameters that the recipe uses; the others do not change its result."""
        values = self.model_dump()
        if self.export_precision == "fp32":  # jobs of older code have no such field
            del values["export_precision"]
        if self.recipe == "probe":
            return {name: value for name, value in values.items() if name in _OF_A_PROBE}
        if self.recipe == "scratch":
            return {name: value for name, value in values.items() if name not in _NOT_OF_SCRATCH}
        return values

    def to_strings(self) -> dict[str, str]:
        """Return every hyperparameter that is used as a JSON literal, for a SageMaker job."""
        return {key: json.dumps(value) for key, value in self.used().items()}

    @classmethod
    def from_strings(cls, values: Mapping[str, Any]) -> Self:
        """Build from ``to_strings``' output; keys that are not hyperparameters are ignored."""
        known = {key: json.loads(values[key]) for key in cls.model_fields if key in values}
        return cls.model_validate(known)

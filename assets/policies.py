"""The user's settings of the pipeline: ingestion, splits, training, gates, labelling, retraining."""

import logging
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from training.backbones.weights import nets_of
from training.config import Hyperparameters
from training.tuning.space import SearchSpace

log = logging.getLogger("imgclf")

RecipeSetting = Literal["auto", "scratch", "probe", "finetune"]


class IngestionPolicy(BaseModel):
    """What an arriving file may be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_pixels: int = Field(
        100_000_000,
        ge=1,
        le=178_956_970,  # Pillow's own limit
        description="Images with more pixels than this are rejected unread.",
    )
    max_file_mb: float = Field(100.0, gt=0, description="Bigger files are rejected unread (MB).")
    list_every_s: float = Field(
        60.0,
        ge=0,
        description="A bucket without a queue of notifications is listed this often (s).",
    )
    reconcile_every_s: float = Field(
        21_600.0,
        ge=0,
        description="A bucket with a queue of notifications is also listed this often (s).",
    )
    max_unreadable_share: float = Field(
        0.2, ge=0, le=1, description="images_readable fails above this share of rejected images."
    )


class SplitPolicy(BaseModel):
    """How images are dealt to the splits. A change deals all again until a model is released;
    afterwards it counts for new images, and ``imgclf splits deal-again`` deals all again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: float = Field(0.7, gt=0, lt=1)
    val: float = Field(0.15, gt=0, lt=1)
    test: float = Field(0.15, gt=0, lt=1)
    near_duplicate_distance: int = Field(
        4,
        ge=0,
        le=15,
        description="Images whose 64-bit perceptual hashes differ in at most this many bits are "
        "near-duplicates and share a split, if a finer fingerprint confirms it; 0: none are.",
    )

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"split.train + split.val + split.test is {total:g}; it must be 1")
        return self


class TrainingPolicy(Hyperparameters):
    """How models are trained: the hyperparameters, and what ``recipe = "auto"`` makes of them."""

    recipe: RecipeSetting = Field(  # type: ignore[assignment] # a job has one of the others
        "auto",
        description="auto: probe, then finetune as a challenger if budget_minutes allows it; probe: "
        "frozen pretrained features and multinomial logistic regression; finetune: all layers of a "
        "pretrained net; scratch: a small net, no weights.",
    )
    budget_minutes: float = Field(
        30.0,
        ge=0,
        description="recipe auto: minutes that the fine-tuning after the probe may take on the "
        "machine that trains, by an estimate before it starts; 0: the probe only.",
    )

    @model_validator(mode="after")
    def _starts_from_no_model(self) -> Self:
        if self.parent_digest:
            raise ValueError("parent_digest is no setting: imgclf run --from VERSION sets it")
        return self

    def first_job(self) -> Hyperparameters:
        """Return the hyperparameters of the asset ``trained_model``.

        With ``auto`` those of a probe, or of the small net where pretrained weights are not wanted.
        """
        recipe = self.recipe
        if recipe == "auto":
            recipe = "probe" if self.weights == "imagenet" else "scratch"
        return Hyperparameters.model_validate({**self._given(), "recipe": recipe})

    @property
    def has_challenger(self) -> bool:
        """Whether a fine-tuning follows the first model."""
        return self.recipe == "auto" and self.weights == "imagenet" and self.budget_minutes > 0

    def challenger_job(self) -> Hyperparameters:
        """Return the hyperparameters of the asset ``challenger_model``.

        Of several nets the first that the user named is fine-tuned; by default finetune's own.
        """
        given = self._given()
        if "architecture" in given:
            given["architecture"] = nets_of(self.architecture)[0]
        return Hyperparameters.model_validate({**given, "recipe": "finetune"})

    def with_changes(self, changes: dict[str, Any]) -> Self:
        """Return the policy with other values; fields that nobody set keep their recipe's defaults."""
        chosen = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self).model_validate({**chosen, **changes})

    def _given(self) -> dict[str, Any]:
        """Return the hyperparameters that were set, by name; the others depend on the recipe."""
        given = self.model_fields_set & Hyperparameters.model_fields.keys()
        return {name: getattr(self, name) for name in given}


class TuningPolicy(SearchSpace):
    """What ``imgclf tune`` searches, and how long."""

    architectures: tuple[str, ...] = Field(
        (),
        description="Nets of torchvision or timm to choose from; empty: the one that is fine-tuned "
        "by [training].",
    )
    trials: int = Field(30, ge=1, le=10_000, description="Number of trials, pruned ones included.")
    budget_minutes: float = Field(
        120.0,
        gt=0,
        allow_inf_nan=False,
        description="Minutes of all trials together; a trial under way ends.",
    )

    def space(self, training: TrainingPolicy) -> SearchSpace:
        """Return the search space for a fine-tuning by ``training``."""
        fields = {name: getattr(self, name) for name in SearchSpace.model_fields}
        nets = self.architectures or (training.challenger_job().architecture,)
        return SearchSpace.model_validate({**fields, "architectures": nets})


class GatePolicy(BaseModel):
    """The bounds of the blocking checks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_train_images_per_class: int = Field(2, ge=1)
    min_test_images_per_class: int = Field(1, ge=1)
    max_group_share: float = Field(
        0.1,
        gt=0,
        le=1,
        description="near_duplicate_groups warns of a group with a larger share of the images.",
    )
    max_unknown_label_share: float = Field(
        0.05, ge=0, le=1, description="labels_known fails above this share of unusable labels."
    )
    champion_tolerance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="beats_champion: the candidate's macro-F1 may fall this far below the "
        "champion's.",
    )
    slice_tolerance: float = Field(
        0.1,
        ge=0,
        le=1,
        description="no_slice_regression: no class may lose more recall than this and than "
        "chance explains.",
    )
    max_calibration_error: float = Field(
        0.1, ge=0, le=1, description="calibration_within_bound: expected calibration error."
    )
    max_export_difference: float = Field(
        1e-3,
        gt=0,
        description="export_matches_training: largest difference of a probability, ONNX against "
        "torch.",
    )
    max_staging_latency_ms: float = Field(
        1000.0,
        gt=0,
        description="staging_latency_within_budget: 95th percentile of one image; a busy machine "
        "warns.",
    )


class LabellingPolicy(BaseModel):
    """Which images annotators get, and how many are ready for them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_min: int = Field(
        20, ge=1, le=10_000, description="Smallest number of open tasks, however slow the pace."
    )
    batch_max: int = Field(
        500,
        ge=1,
        le=10_000,
        description="Largest number of open tasks: tasks that wait long were chosen by old models.",
    )
    days_ahead: float = Field(
        2.0, gt=0, le=60, description="The queue holds this many days of work at last week's pace."
    )
    exploration_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of images drawn at random over all splits; it keeps the scores "
        "unbiased.",
    )
    annotators_per_task: int = Field(
        1,
        ge=1,
        le=10,
        description="Number of people who label a task. With one, agreement cannot be measured.",
    )
    overlap_share: float = Field(
        0.2,
        ge=0.01,
        le=1,
        description="With several annotators for a task: share of the tasks that get them, "
        "chosen by Label Studio; each other task gets one annotator.",
    )
    pool_limit: int = Field(
        20_000,
        ge=100,
        le=1_000_000,
        description="Unlabelled images considered for each choice (a random sample, if there are "
        "more); each goes through the model once.",
    )
    poll_overlap_s: float = Field(
        120.0,
        ge=0,
        description="Changes of this many seconds ago are read from Label Studio again (s).",
    )
    reconcile_every_s: float = Field(
        600.0, ge=0, description="Tasks that were deleted are looked for this often (s)."
    )
    max_vanished_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="If more of the labelled tasks than this share (and than 20) disappear at "
        "once, their labels are kept, as this is probably an accident on the server.",
    )

    @model_validator(mode="before")
    @classmethod
    def _without_weights(cls, given: Any) -> Any:
        """Leave out the weights of reasons, which settings of older versions may have."""
        if isinstance(given, dict) and "weights" in given:
            # Files that older versions wrote have the section with every line commented out.
            if given["weights"]:
                log.warning(
                    "[labelling.weights] has no effect any more: images are chosen by margin "
                    "sampling; remove it from your settings"
                )
            return {name: value for name, value in given.items() if name != "weights"}
        return given

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.batch_min > self.batch_max:
            raise ValueError(
                f"labelling.batch_min is {self.batch_min}, more than batch_max, {self.batch_max}"
            )
        return self


class RetrainPolicy(BaseModel):
    """How many new labels of annotators, or which age, start a training; the first that applies.

    What an ingest brings is trained on at once: it comes in one piece.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    new_labels: int = Field(
        50, ge=1, description="Number of images that are newly labelled, or got another label."
    )
    share_of_class: float = Field(
        0.1,
        gt=0,
        description="Or this share of the images that a class had, and at least 5 images of it.",
    )
    max_age_h: float = Field(
        24.0, gt=0, description="Or any new label, if the oldest has waited this long (hours)."
    )

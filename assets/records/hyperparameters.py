"""The record of a materialization of ``hyperparameters``."""

from typing import Any, ClassVar

from assets.records.materialization_record import MaterializationRecord


class HyperparametersRecord(MaterializationRecord):
    """The best values that a search found.

    Attributes:
        asset: name of the asset.
        job: name of the search's job.
        dataset_version: the data set version that it searched on.
        chosen: value by hyperparameter.
        val_loss: validation loss of the best trial; ``None``: a range test of the learning rate has none.
        trials: number of trials.
    """

    asset: ClassVar[str] = "hyperparameters"

    job: str
    dataset_version: str
    chosen: dict[str, Any]
    val_loss: float | None = None
    trials: int

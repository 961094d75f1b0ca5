"""The record of a materialization of ``trained_model``."""

from typing import ClassVar

from assets.records.materialization_record import MaterializationRecord


class TrainedModelRecord(MaterializationRecord):
    """The trained model and its inputs.

    Attributes:
        model_version: name of the training job.
        dataset_version: the data set version that it was trained on.
        dataset_named: whether a person chose that version, so that a newer one does not replace it.
        digest: sha256 of the artefact (hex).
        recipe_asked: recipe that was asked for, such as ``auto``, of which a job has another; empty:
            unknown (older code).
        epochs_too_few: number of epochs of a training whose validation loss was still falling when
            they ended; ``None``: it was not, or nobody looked (older code).
    """

    asset: ClassVar[str] = "trained_model"

    model_version: str
    dataset_version: str
    dataset_named: bool = False
    digest: str
    recipe_asked: str = ""
    epochs_too_few: int | None = None

"""The record of a materialization of ``dataset``."""

from typing import ClassVar

from assets.records.materialization_record import MaterializationRecord


class DatasetRecord(MaterializationRecord):
    """What ``dataset`` made, and when it is to be trained on.

    Attributes:
        dataset_version: the data set version.
        images: number of images; ``None``: unknown.
        classes: number of classes; ``None``: unknown.
        label_rows: number of rows of the label table it was made from; ``None``: unknown. Later
            labels are in the rows after these, whether or not they change the data set.
        retraining: why a training is due, or what is missing; ``None``: not decided.
        retrain_at: time from which on a training is due, seconds since the epoch; ``None``: never,
            or not decided.
    """

    asset: ClassVar[str] = "dataset"

    dataset_version: str
    images: int | None = None
    classes: int | None = None
    label_rows: int | None = None
    retraining: str | None = None
    retrain_at: float | None = None

    def is_due(self, now: float) -> bool:
        """Whether a training on this data set is due at ``now``, in seconds since the epoch."""
        # Older code, or a person who reported the data set, decided nothing: train.
        return self.retraining is None or (self.retrain_at is not None and self.retrain_at <= now)

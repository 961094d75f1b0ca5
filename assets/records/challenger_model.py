"""The record of a materialization of ``challenger_model``."""

from typing import ClassVar

from assets.records.materialization_record import MaterializationRecord


class ChallengerModelRecord(MaterializationRecord):
    """What became of a challenger.

    Attributes:
        asset: name of the asset.
        base: the ``trained_model`` that it was to improve.
        request: identifies what was asked for: the model that it was to improve, code and
            configuration.
        by_hand: whether a person chose its configuration, so that the settings' one does not follow it.
        reason: why it is the better candidate, or is not, or why none was trained.
        won: whether it is a better candidate than ``compared_with``.
        compared_with: the ``trained_model`` that it was compared with, ``base`` or one that was trained
            meanwhile; empty: none was trained, or it could not be compared.
        comparison: name of the job that evaluated it beside ``compared_with``; empty: it was not compared,
            or the record is of older code.
        model_version: name of its training job; empty: none was trained.
        dataset_version: the data set version that it was trained on.
        digest: sha256 of its artefact (hex).
    """

    asset: ClassVar[str] = "challenger_model"

    base: str
    request: str
    by_hand: bool = False
    reason: str
    won: bool = False
    compared_with: str = ""
    comparison: str = ""
    model_version: str = ""
    dataset_version: str = ""
    digest: str = ""

    def replaces(self, model_version: str) -> bool:
        """Whether it is the candidate in place of a ``trained_model``."""
        return self.won and self.compared_with == model_version

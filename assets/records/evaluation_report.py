"""The record of a materialization of ``evaluation_report``."""

from typing import ClassVar

from assets.records.materialization_record import MaterializationRecord


class EvaluationReportRecord(MaterializationRecord):
    """The model that was evaluated, and the job that evaluated it.

    Attributes:
        model_version: name of the training job.
        digest: sha256 of the artefact (hex).
        job: name of the evaluation's job, whose ``report.json`` has the scores.
        no_champion: why it was compared with no champion; ``None`` if there is one, or unknown.
    """

    asset: ClassVar[str] = "evaluation_report"

    model_version: str
    digest: str
    job: str
    no_champion: str | None = None

"""The record of a materialization of ``release_approval``."""

from typing import ClassVar

from assets.records.materialization_record import MaterializationRecord


class ReleaseApprovalRecord(MaterializationRecord):
    """The approval that ``release_approval`` recorded.

    Attributes:
        digest: sha256 of the approved artefact (hex).
        decision: number of the registry's decision; 0 in older registries.
        approved_at: time of the approval, as the registry has it.
    """

    asset: ClassVar[str] = "release_approval"

    digest: str
    decision: int = 0
    approved_at: str

"""The record of a materialization of ``annotations``."""

from typing import ClassVar

from assets.records.materialization_record import MaterializationRecord


class AnnotationsRecord(MaterializationRecord):
    """What ``annotations`` found.

    Attributes:
        content_version: hash of the labels that count, and of the rejected ones.
        label_schema: hash of the label schema that it was made under; ``None``: unknown.
        snapshots: number of rows of the label table.
    """

    asset: ClassVar[str] = "annotations"

    content_version: str
    label_schema: str | None = None
    snapshots: int = 0

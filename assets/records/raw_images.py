"""The record of a materialization of ``raw_images``."""

from typing import ClassVar

from assets.records.materialization_record import MaterializationRecord


class RawImagesRecord(MaterializationRecord):
    """What ``raw_images`` found.

    Attributes:
        content_version: hash of the usable images and the rejected keys.
        table_version: version of the image table, by which the sensor finds rows that no
            materialization reported; ``None``: unknown.
        objects: number of objects under ``raw/``.
        rejected: number of them that are no readable image.
    """

    asset: ClassVar[str] = "raw_images"

    content_version: str
    table_version: str | None = None
    objects: int = 0
    rejected: int = 0

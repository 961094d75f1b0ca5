"""The record of a materialization of ``embeddings``."""

from typing import ClassVar

from assets.records.materialization_record import MaterializationRecord


class EmbeddingsRecord(MaterializationRecord):
    """The net that computed the features of ``embeddings``.

    Attributes:
        backbone: name of the net; empty if no features were computed.
    """

    asset: ClassVar[str] = "embeddings"

    backbone: str

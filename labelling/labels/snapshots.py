"""Annotation snapshots: one immutable JSON file with the labels that one annotator gave one
image."""

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from errors.base import ImgclfError

INGESTED_PREFIX = "annotations/ingested/"
"""Prefix of the labels that came with ingested images."""

LABEL_STUDIO_PREFIX = "annotations/label_studio/"
"""Prefix of the snapshots of Label Studio's annotations."""

Source = Literal["ingest", "label_studio", "predictor"]


EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""The time of a statement is between these two. A later one could never be superseded; Python has
no times outside the years 1 to 9999 in UTC, and Arrow in nanoseconds none outside 1678 to 2262."""

MAX_NUMBER = 2**63 - 1
"""The largest integer that the tables hold."""


def in_bounds(moment: datetime) -> datetime:
    """``moment`` in UTC.

    Raises:
        ValueError: it is before 1970 or after 2199.
    """
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        utc = None
    if utc is None or not EARLIEST <= utc < LATEST:
        raise ValueError("a date before 1970 or after 2199: set the clock it came from right")
    return utc


_INGESTED = re.compile(rf"{INGESTED_PREFIX}[0-9a-f]{{64}}-\d{{13}}-[0-9a-f]{{8}}\.json")
"""Keys of ingested labels, which contain image, time and labels."""


class SnapshotError(ImgclfError, ValueError):
    """An object under ``annotations/`` is not a snapshot; the message names its key."""


class PredictionOrigin(BaseModel):
    """The model's word that an annotator saw before giving their own."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model_version: str
    labels: tuple[str, ...]
    confidence: float | None = Field(
        default=None,
        description="Probability in [0, 1] that the model gave its labels.",
        allow_inf_nan=False,
    )


class AnnotationSnapshot(BaseModel):
    """One annotator's labels of one image at one time. Later ones supersede earlier ones.

    An annotation of Label Studio changes in place, so it has a ``unique_id`` that all its
    snapshots share: the newest of them is what the annotation says.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="The image, by its bytes.")
    labels: tuple[str, ...]
    annotator: str
    source: Source
    annotated_at: AwareDatetime
    annotation_id: str
    cancelled: bool = Field(default=False, description="The annotator deleted the annotation.")
    note: str = ""
    unique_id: str = Field(default="", description="The annotation's id; empty: it never changes.")
    created_at: AwareDatetime | None = Field(default=None, description="Time of the first save.")
    lead_time_s: float | None = Field(
        default=None, description="Seconds the annotator took.", allow_inf_nan=False
    )
    prediction: PredictionOrigin | None = Field(
        default=None, description="The pre-label it started from."
    )
    skipped: bool = Field(default=False, description="The annotator skipped the image.")
    project: int | None = Field(
        default=None, description="Label Studio's project.", ge=0, le=MAX_NUMBER
    )
    task: int | None = Field(
        default=None,
        description="Label Studio's task; its number may be another image's later.",
        ge=0,
        le=MAX_NUMBER,
    )

    @field_validator("annotated_at", "created_at")
    @classmethod
    def _utc(cls, moment: datetime | None) -> datetime | None:
        return in_bounds(moment) if moment else None

    def to_json(self) -> bytes:
        """The snapshot as the bytes to store."""
        return self.model_dump_json(indent=1).encode("utf-8")


def parse_snapshot(data: bytes, key: str) -> AnnotationSnapshot:
    """Parse the snapshot in ``data``, the object at ``key``.

    Raises:
        SnapshotError: it is not a snapshot; the message names the key and each invalid field.
    """
    try:
        snapshot = AnnotationSnapshot.model_validate_json(data)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors()
        )
        raise SnapshotError(f"{key} is not an annotation snapshot: {wrong}") from None
    if _INGESTED.fullmatch(key) and ingested_key(snapshot) != key:
        raise SnapshotError(f"{key} holds what {ingested_key(snapshot)} should: it was changed")
    return snapshot


def labels_hash(labels: Sequence[str]) -> str:
    """Eight hex digits that identify a set of labels in any order."""
    return hashlib.sha256(json.dumps(sorted(labels)).encode("utf-8")).hexdigest()[:8]


def epoch_ms(moment: datetime) -> int:
    """Milliseconds since 1970, UTC, rounded down."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def ingested_key(snapshot: AnnotationSnapshot) -> str:
    """The key of a snapshot of ingested labels; a listing of keys is enough to know the labels."""
    moment = epoch_ms(snapshot.annotated_at)
    return f"{INGESTED_PREFIX}{snapshot.sha256}-{moment:013d}-{labels_hash(snapshot.labels)}.json"


def parse_ingested_key(key: str) -> tuple[str, int, str]:
    """Parse a key into the image's sha256, the time in ms since 1970 and the hash of the labels.

    Raises:
        SnapshotError: it is not a key of ``ingested_key``.
    """
    parts = key.removeprefix(INGESTED_PREFIX).removesuffix(".json").split("-")
    if len(parts) != 3 or not re.fullmatch(r"\d{1,13}", parts[1], re.ASCII):
        raise SnapshotError(
            f"{key} is not the key of an ingested annotation "
            "(<sha256>-<milliseconds>-<hash>.json); move it elsewhere under annotations/"
        )
    return parts[0], int(parts[1]), parts[2]

"""Corrections: the labels that a user of the predictor gave an image."""

import re
from collections.abc import Mapping
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from errors.base import ImgclfError
from labelling.labels.snapshots import epoch_ms, in_bounds, labels_hash

CORRECTIONS_PREFIX = "corrections/"
CORRECTED_IMAGES_PREFIX = "raw/corrections/"
"""Prefix of images that came with a correction and that the store did not have."""

MAX_LABELS = 1000
"""The most labels of one correction, and of one model's prediction."""


class CorrectionError(ImgclfError, ValueError):
    """An object under ``corrections/`` is not a correction; the message names its key."""


class Opinion(BaseModel):
    """A model's prediction for the image: all its scores, and the labels that it chose."""

    # JSON has no NaN: it would be written as null, which is not a score when it is read.
    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False
    )

    stage: str = Field(default="", max_length=20)
    model_version: str = Field(max_length=200)
    digest: str = Field(default="", max_length=64)
    prediction_id: str = Field(default="", max_length=200)
    predicted: tuple[str, ...] = Field(default=(), max_length=MAX_LABELS)
    scores: Mapping[str, float] = Field(default={}, max_length=MAX_LABELS)


class Correction(BaseModel):
    """What a person says is on an image. Written once; the newest one of an image counts.

    It is a reason to look at the image, not yet a label: it goes to the labelling queue.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="The image, by its bytes.")
    raw_key: str = Field(min_length=1, description="Where the store has the image.")
    labels: tuple[str, ...] = Field(
        max_length=MAX_LABELS, description="Empty: none of the labels (multi_label only)."
    )
    by: str = Field(min_length=1, max_length=200, description="Who made the correction.")
    corrected_at: AwareDatetime
    said: tuple[Opinion, ...] = Field(default=(), max_length=10)

    @field_validator("corrected_at")
    @classmethod
    def _utc(cls, moment: datetime) -> datetime:
        return in_bounds(moment)

    def to_json(self) -> bytes:
        """The bytes to store."""
        return self.model_dump_json(indent=1).encode("utf-8")


def correction_key(correction: Correction) -> str:
    """The key of a correction."""
    moment = epoch_ms(correction.corrected_at)
    named = labels_hash(correction.labels)
    return f"{CORRECTIONS_PREFIX}{correction.sha256}-{moment:013d}-{named}.json"


def parse_correction_key(key: str) -> tuple[str, int, str]:
    """Parse a key into the image's sha256, the time in ms since 1970 and the hash of the labels.

    Raises:
        CorrectionError: it is not a key of ``correction_key``.
    """
    parts = key.removeprefix(CORRECTIONS_PREFIX).removesuffix(".json").split("-")
    if len(parts) != 3 or len(parts[0]) != 64 or not re.fullmatch(r"\d{1,13}", parts[1], re.ASCII):
        raise CorrectionError(
            f"{key} is not the key of a correction (<sha256>-<milliseconds>-<hash>.json); "
            "move it out of corrections/"
        )
    return parts[0], int(parts[1]), parts[2]


def parse_correction(data: bytes, key: str) -> Correction:
    """Parse the correction in ``data``, the object at ``key``.

    Raises:
        CorrectionError: it is not a correction, or ``key`` is not its key; the message names the
        key and each invalid field.
    """
    try:
        correction = Correction.model_validate_json(data)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors()
        )
        raise CorrectionError(f"{key} is not a correction: {wrong}") from None
    if correction_key(correction) != key:
        raise CorrectionError(f"{key} holds the correction of {correction_key(correction)}")
    return correction

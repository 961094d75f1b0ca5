"""Takes corrections from the predictor into the store: the image first, then its labels."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labelling.labels.corrections import (
    CORRECTED_IMAGES_PREFIX,
    CORRECTIONS_PREFIX,
    MAX_LABELS,
    Correction,
    CorrectionError,
    Opinion,
    correction_key,
    parse_correction,
    parse_correction_key,
)
from labelling.labels.schema import LabelSchema, Task
from object_store.store import ObjectStore
from serving.endpoint.host import Serving
from serving.endpoint.inference import MAX_BODY_BYTES, decoded_base64
from serving.errors import RequestRefused
from serving.labelling.images import known_key
from serving.limits.work import BIG_PICTURE
from training.images.images import DEFAULT_MAX_PIXELS, ImageFacts, ImageRejected, inspect

MAX_CORRECTION_BYTES = MAX_BODY_BYTES * 4 // 3 + 1024**2
"""Largest request: the largest image that an endpoint takes, in base64, and its labels."""

_EXTENSIONS = {
    "JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp", "AVIF": "avif", "GIF": "gif",
    "TIFF": "tif", "BMP": "bmp", "DIB": "bmp", "PPM": "ppm", "JPEG2000": "jp2",
}  # fmt: skip


log = logging.getLogger("serving")


class CorrectionRequest(BaseModel):
    """The predictor's request: an image in base64, its right labels, the models' predictions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str = Field(min_length=1)
    labels: tuple[str, ...] = Field(max_length=MAX_LABELS)
    by: str = Field(default="predictor", min_length=1, max_length=200)
    said: tuple[Opinion, ...] = Field(default=(), max_length=10)


class LabelsOffered(BaseModel):
    """The labels to choose from: those of the model that is served."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    task: Task
    labels: tuple[str, ...]
    model_version: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A correction that is in the store; ``fresh``: whether this request wrote it."""

    correction: Correction
    key: str
    fresh: bool


class CorrectionDesk:
    """Stores corrections, one at a time.

    Args:
        store: gets the corrections and their images.
        serving: returns the model that is served; its labels are valid.
        max_pixels: an image with more pixels is refused.
    """

    def __init__(
        self,
        store: ObjectStore,
        serving: Callable[[], Serving | None],
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        self._store = store
        self._serving = serving
        self._max_pixels = max_pixels
        self._lock = threading.Lock()

    def offered(self) -> LabelsOffered:
        """Return the labels to choose from.

        Raises:
            RequestRefused: 503, no model is served.
        """
        serving = self._serving()
        if serving is None:
            raise RequestRefused(
                503, "no_model", "no model is served yet, so there are no labels to choose from"
            )
        manifest = serving.model.manifest
        return LabelsOffered(
            task=manifest.task, labels=manifest.labels, model_version=manifest.model_version
        )

    def take(self, body: bytes) -> Taken:
        """Write a correction (JSON of ``CorrectionRequest``) to the store.

        A correction with the labels of the image's newest one is not written again: people
        double-click.

        Raises:
            RequestRefused: 400, it is invalid; 413, the image is too big; 503, there is no model.
            StoreError: the store does not answer.
        """
        request = _parsed(body)
        offered = self.offered()
        schema = LabelSchema(task=offered.task, names=offered.labels)
        if problem := schema.problem(request.labels):
            raise RequestRefused(400, "bad_labels", problem)
        with BIG_PICTURE:  # a small file can have many pixels
            image, facts = _image(request.image, self._max_pixels)
        with self._lock:
            newest = self._newest(facts.sha256)
            known = self._read(newest) if newest else None
            if known and set(known.correction.labels) == set(request.labels):
                return known
            raw_key = self._keep(image, facts)
            correction = Correction(
                sha256=facts.sha256,
                raw_key=raw_key,
                labels=request.labels,
                by=request.by,
                corrected_at=_after(newest),
                said=request.said,
            )
            key = correction_key(correction)
            fresh = self._store.create(key, correction.to_json())
        return Taken(correction, key, fresh)

    def _newest(self, sha256: str) -> str:
        """Return the key of the newest correction of an image; empty if there is none."""
        found = self._store.named(CORRECTIONS_PREFIX, f"{sha256}-")
        return found[-1].key if found else ""

    def _read(self, key: str) -> Taken | None:
        """Read the correction at ``key``; ``None`` if it is damaged, so that it can be sent again."""
        try:
            return Taken(parse_correction(self._store.get(key), key), key, fresh=False)
        except CorrectionError as error:
            log.warning("%s; the correction that comes now counts", error)
            return None

    def _keep(self, image: bytes, facts: ImageFacts) -> str:
        """Return the image's key in the store; write it if the store does not have it."""
        key = known_key(self._store, facts.sha256)
        if key is None:
            key = f"{CORRECTED_IMAGES_PREFIX}{facts.sha256}.{_EXTENSIONS.get(facts.format, 'img')}"
            # A correction counts only with its image, which must not be lost in a power cut either.
            self._store.create(key, image, durable=True)
        return key


def _after(key: str) -> datetime:
    """Return the present time, or just after the correction at ``key`` if the clock was set back."""
    now = datetime.now(UTC)
    if not key:
        return now
    _, moment, _ = parse_correction_key(key)
    return max(now, datetime.fromtimestamp((moment + 1) / 1000, UTC))


def _parsed(body: bytes) -> CorrectionRequest:
    try:
        return CorrectionRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        raise RequestRefused(400, "bad_request", f"{place}: {first['msg']}") from None


def _image(encoded: str, max_pixels: int) -> tuple[bytes, ImageFacts]:
    try:
        data = decoded_base64(encoded)
    except ValueError as error:
        raise RequestRefused(400, "bad_request", f"image is not base64: {error}") from None
    if len(data) > MAX_BODY_BYTES:
        raise RequestRefused(
            413, "too_large", f"the image has more than {MAX_BODY_BYTES / 1024**2:.0f} MB"
        )
    try:
        return data, inspect(data, max_pixels=max_pixels)
    except ImageRejected as error:
        raise RequestRefused(400, "unreadable_image", error.reason) from None
    except MemoryError:
        raise RequestRefused(
            413,
            "too_large",
            "the image needs more memory to decode than is available; send a smaller image",
        ) from None

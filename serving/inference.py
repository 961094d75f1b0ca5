"""From the body of a request to ranked labels. Plain functions: nothing of HTTP but its words."""

import base64
import binascii
import json
from collections.abc import Iterator, Sequence
from typing import TypedDict
from uuid import uuid4

import numpy as np

from serving.errors import RequestRefused
from training.images import DEFAULT_MAX_PIXELS, ImageRejected, decode, to_array
from training.predictor import OnnxPredictor

MAX_BODY_BYTES = 25 * 1024**2
"""Largest request, as for a real-time SageMaker endpoint
(https://docs.aws.amazon.com/sagemaker/latest/dg/realtime-endpoints.html)."""

MAX_INSTANCES = 1000
"""Most images in one request: the smallest image file takes 70 bytes and its answer far more."""

_CHUNK_BYTES = 64 * 1024**2
"""Decoded pixels held at once for a request of many images."""


class RankedLabel(TypedDict):
    """A label and its probability."""

    label: str
    score: float


class Prediction(TypedDict):
    """The answer for one image: all or the top labels, most probable first, and those predicted."""

    prediction_id: str
    labels: list[RankedLabel]
    predicted: list[str]


def read_images(body: bytes, content_type: str) -> list[bytes]:
    """The image files in a request.

    Args:
        body: the request's body.
        content_type: its media type; parameters are ignored.

    Raises:
        RequestRefused: 415 for another media type, 413 for too many, 400 for what cannot be read.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type.startswith("image/") or media_type == "application/x-image":
        return [body]
    if media_type == "application/json":
        return _instances(body)
    raise RequestRefused(
        415,
        "unsupported_media_type",
        f"content type {media_type or '(none)'} is not understood; send one image as image/jpeg, "
        'image/png, image/webp, …, or many as application/json {"instances":[{"b64": "…"}]}',
    )


def predict(
    model: OnnxPredictor, images: Sequence[bytes], *, top_k: int | None, inference_id: str | None
) -> list[Prediction]:
    """Rank the labels of each image.

    Args:
        model: what answers.
        images: image files.
        top_k: how many labels to name, all if ``None``.
        inference_id: the client's own id of the request; the answers are named after it.

    Raises:
        RequestRefused: 400, naming the image that cannot be read.
    """
    probabilities = np.concatenate(
        [model.predict_images(chunk) for chunk in _pixel_chunks(model, images)]
    )
    base = inference_id or uuid4().hex
    ids = [base] if len(images) == 1 else [f"{base}-{index}" for index in range(len(images))]
    return [
        _ranked(model, row, predicted, prediction_id, top_k)
        for row, predicted, prediction_id in zip(
            probabilities, model.decide(probabilities), ids, strict=True
        )
    ]


def _instances(body: bytes) -> list[bytes]:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestRefused(400, "bad_json", f"the body is not JSON: {error}") from None
    instances = request.get("instances") if isinstance(request, dict) else None
    if not isinstance(instances, list) or not instances:
        raise RequestRefused(
            400, "bad_request", 'the JSON must be {"instances":[{"b64": "…"}, …]} with one or more'
        )
    if len(instances) > MAX_INSTANCES:
        raise RequestRefused(
            413, "too_large", f"{len(instances)} instances; at most {MAX_INSTANCES} in one request"
        )
    return [_instance(instance, index) for index, instance in enumerate(instances)]


def _instance(instance: object, index: int) -> bytes:
    encoded = instance.get("b64") if isinstance(instance, dict) else None
    if not isinstance(encoded, str):
        raise RequestRefused(
            400, "bad_instance", f'instances[{index}] must be {{"b64": "…"}}, an image in base64'
        )
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestRefused(
            400, "bad_instance", f"instances[{index}].b64 is not base64: {error}"
        ) from None


def _pixel_chunks(model: OnnxPredictor, images: Sequence[bytes]) -> Iterator[list[np.ndarray]]:
    """Decoded images, a bounded number of bytes at a time: small files can be huge pictures."""
    chunk: list[np.ndarray] = []
    held = 0
    for index, data in enumerate(images):
        try:
            picture = decode(data, max_pixels=DEFAULT_MAX_PIXELS, fit=model.manifest.input_size)
        except ImageRejected as error:
            which = "the image" if len(images) == 1 else f"instances[{index}]"
            raise RequestRefused(
                400, "unreadable_image", f"{which} cannot be read: {error.reason}"
            ) from None
        pixels = to_array(picture)
        chunk.append(pixels)
        held += pixels.nbytes
        if held >= _CHUNK_BYTES:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def _ranked(
    model: OnnxPredictor,
    probabilities: np.ndarray,
    predicted: Sequence[str],
    prediction_id: str,
    top_k: int | None,
) -> Prediction:
    order = np.argsort(-probabilities, kind="stable")[:top_k]
    return {
        "prediction_id": prediction_id,
        "labels": [
            {"label": model.labels[index], "score": float(probabilities[index])} for index in order
        ],
        "predicted": list(predicted),
    }

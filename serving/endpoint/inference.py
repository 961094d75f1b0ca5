"""From a request body to ranked labels. Plain functions without HTTP, but for its status codes."""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict
from uuid import uuid4

import numpy as np

from serving.errors import RequestRefused
from serving.limits.limits import ServingLimits
from serving.limits.work import Ticket
from training.artefact.predictor import OnnxPredictor
from training.images.decode_cost import SMALL_MEMORY, SMALL_WORK, decode_cost
from training.images.images import ImageRejected, decode, to_array

MAX_BODY_BYTES = 25 * 1024**2
"""Largest request, as for a real-time SageMaker endpoint
(https://docs.aws.amazon.com/sagemaker/latest/dg/realtime-endpoints.html)."""

MAX_INSTANCES = 1000
"""Most images in one request: the smallest image file has 70 bytes, and its result far more."""

MAX_SCORES = 200_000
"""Most scores in one response (images × labels). SageMaker's responses are limited, too."""

_MAX_JSON_VALUES = 50 * MAX_INSTANCES
"""Most brackets and commas in a JSON body: each value takes at least 50 bytes of memory."""

_CHUNK_BYTES = 16 * 1024**2
"""Bytes of decoded images held at a time, for a request with many images."""

_LINE_BREAKS = re.compile(r"[ \t\r\n]+")


class RankedLabel(TypedDict):
    """A label and its probability."""

    label: str
    score: float


class Prediction(TypedDict):
    """The result for one image: all or the top labels, most probable first, and the predicted ones."""

    prediction_id: str
    labels: list[RankedLabel]
    predicted: list[str]


def read_images(body: bytes, content_type: str) -> list[bytes]:
    """Return the image files in a request.

    Args:
        body: body of the request.
        content_type: its media type; parameters are ignored.

    Raises:
        RequestRefused: 415 for another media type, 413 for too many images, 400 for invalid JSON.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type.startswith("image/") or media_type == "application/x-image":
        return [body]
    if media_type == "application/json":
        return _instances(body)
    raise RequestRefused(
        415,
        "unsupported_media_type",
        f"content type {media_type or '(none)'} is not supported; send one image as image/jpeg, "
        'image/png, image/webp, …, or many as application/json {"instances":[{"b64": "…"}]}',
    )


@dataclass(frozen=True, slots=True)
class Pictures:
    """The image files of a request.

    Attributes:
        files: the files.
        max_pixels: no image has more.
        small: whether all together take little time and memory to decode.
    """

    files: Sequence[bytes]
    max_pixels: int
    small: bool


def weigh(images: Sequence[bytes], side: int, limits: ServingLimits) -> Pictures:
    """Estimate from their headers what it costs to decode the images.

    Args:
        images: image files.
        side: side of the model's input, in pixels.
        limits: limits of an image and of a request.

    Raises:
        RequestRefused: 400, an image has too many pixels; 413, all together have.
    """
    costs = [decode_cost(data, fit=side) for data in images]
    for index, cost in enumerate(costs):
        if cost.pixels > limits.max_pixels:
            raise RequestRefused(
                400,
                "unreadable_image",
                f"{_which(images, index)} cannot be read: {cost.pixels:,} pixels, more than "
                f"{limits.max_pixels:,} (max_pixels under [serving] in imgclf.toml)",
            )
    pixels = sum(cost.pixels for cost in costs)
    if pixels > limits.max_request_pixels:
        raise RequestRefused(
            413,
            "too_large",
            f"the images have {pixels:,} pixels in all, more than {limits.max_request_pixels:,}; "
            "send them in several requests (max_request_pixels under [serving] in imgclf.toml)",
        )
    small = (
        max(cost.memory for cost in costs) <= SMALL_MEMORY
        and sum(cost.work for cost in costs) <= SMALL_WORK
    )
    return Pictures(images, limits.max_pixels, small)


def predict(
    model: OnnxPredictor,
    pictures: Pictures,
    *,
    top_k: int | None,
    inference_id: str | None,
    ticket: Ticket,
) -> list[Prediction]:
    """Rank the labels of each image.

    Args:
        model: the model.
        pictures: image files.
        top_k: number of labels to return; ``None``: all.
        inference_id: the client's id of the request, used in the ids of the predictions.
        ticket: checked after each image.

    Raises:
        RequestRefused: 400, an image cannot be read; 413, the response would be too long, or an
            image takes too much memory; 503, the deadline passed.
        ClientDisconnect: the request was cancelled.
    """
    count, named = len(pictures.files), min(top_k or len(model.labels), len(model.labels))
    if count * named > MAX_SCORES:
        raise RequestRefused(
            413,
            "too_large",
            f"{count} images × {named} labels are more than {MAX_SCORES:,} scores; give top_k, "
            "or send fewer images",
        )
    probabilities = np.concatenate(
        [model.predict_images(chunk) for chunk in _pixel_chunks(model, pictures, ticket)]
    )
    base = inference_id or uuid4().hex
    ids = [base] if count == 1 else [f"{base}-{index}" for index in range(count)]
    return [
        _ranked(model, row, predicted, prediction_id, top_k)
        for row, predicted, prediction_id in zip(
            probabilities, model.decide(probabilities), ids, strict=True
        )
    ]


def _instances(body: bytes) -> list[bytes]:
    if sum(map(body.count, (b"{", b"[", b","))) > _MAX_JSON_VALUES:
        raise RequestRefused(
            400,
            "bad_json",
            f"the body is not JSON of a request: it has more than {_MAX_JSON_VALUES:,} values",
        )
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
        return decoded_base64(encoded)
    except (binascii.Error, ValueError) as error:
        raise RequestRefused(
            400, "bad_instance", f"instances[{index}].b64 is not base64: {error}"
        ) from None


def decoded_base64(encoded: str) -> bytes:
    """Decode base64; line breaks, as `base64` and MIME write them, are ignored.

    Raises:
        ValueError: it is not base64.
    """
    return base64.b64decode(_LINE_BREAKS.sub("", encoded), validate=True)


def _pixel_chunks(
    model: OnnxPredictor, pictures: Pictures, ticket: Ticket
) -> Iterator[list[np.ndarray]]:
    """Yield decoded images, uint8 [height, width, 3] each, in chunks of a bounded number of bytes."""
    chunk: list[np.ndarray] = []
    held = 0
    for index, data in enumerate(pictures.files):
        ticket.check()
        try:
            pixels = to_array(
                decode(data, max_pixels=pictures.max_pixels, fit=model.manifest.input_size)
            )
        except ImageRejected as error:
            raise RequestRefused(
                400,
                "unreadable_image",
                f"{_which(pictures.files, index)} cannot be read: {error.reason}",
            ) from None
        except MemoryError:
            raise RequestRefused(
                413,
                "too_large",
                f"{_which(pictures.files, index)} needs more memory to decode than is available; "
                "send a smaller image",
            ) from None
        chunk.append(pixels)
        held += pixels.nbytes
        if held >= _CHUNK_BYTES:
            ticket.check()
            yield chunk
            chunk, held = [], 0
    if chunk:
        ticket.check()
        yield chunk


def _which(images: Sequence[bytes], index: int) -> str:
    return "the image" if len(images) == 1 else f"instances[{index}]"


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

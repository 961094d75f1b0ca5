"""Pre-labels for Label Studio's tasks, by the contract of its ML backends.

A task without a pre-label gets an empty list, which Label Studio takes for "no prediction". It
would store an empty *result*, and never ask for that task and version again.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from labelling.label_studio.config import CONTROL, OBJECT
from object_store.store import ObjectStore
from serving.endpoint.host import Serving
from serving.labelling.images import NoImage, task_image
from serving.limits.limits import ServingLimits
from serving.limits.work import BIG_PICTURE, Ticket, in_lane
from training.artefact.predictor import MAX_BATCH_IMAGES, OnnxPredictor
from training.images.decode_cost import decode_cost
from training.images.images import ImageRejected, decode, to_array

CHUNK = MAX_BATCH_IMAGES
"""Images predicted at a time."""

_FILES = 4
"""Files in memory at a time, of which one may be big."""

log = logging.getLogger("serving")


class LabelStudioTask(BaseModel):
    """What is needed of a task that Label Studio sends; it sends much more."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: int
    data: Mapping[str, Any] = {}


class Params(BaseModel):
    """Of ``POST /predict``; the login and password that may be there are not read."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    context: Any = None


class PredictRequest(BaseModel):
    """The body of ``POST /predict``. With a ``context``, the editor asks as a person works."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    tasks: tuple[LabelStudioTask, ...]
    label_config: str = ""
    params: Params = Params()


@dataclass(frozen=True, slots=True)
class Bounds:
    """Time limits of responses to Label Studio (seconds).

    A person waits for one task while it opens; Label Studio gives up on a whole batch after 100 s
    (``ML_TIMEOUT_PREDICT``).
    """

    one_task_s: float = 2.5
    batch_s: float = 90.0


class Prelabeller:
    """Predicts tasks from the images in the store.

    Args:
        store: has the images.
        bounds: time limits of responses.
        limits: limits of an image.
        workers: images decoded, or chunks predicted, at a time.
        max_requests: concurrent requests; more get no pre-labels, at once.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        bounds: Bounds | None = None,
        limits: ServingLimits | None = None,
        workers: int = 1,
        max_requests: int = 16,
    ) -> None:
        self._store = store
        self._bounds = bounds or Bounds()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="prelabel")
        self._free = max_requests
        self._max_pixels = (limits or ServingLimits()).max_pixels
        self._files = asyncio.Semaphore(_FILES)
        self._big_file = asyncio.Lock()

    async def answer(
        self, serving: Serving, tasks: Sequence[LabelStudioTask], allowed: frozenset[str] | None
    ) -> list[Any]:
        """Return one pre-label for each task, in their order; what is not ready in time is empty.

        Args:
            serving: the model for all of them.
            tasks: tasks of Label Studio.
            allowed: the project's labels; ``None``: unknown.
        """
        answers: list[Any] = [[] for _ in tasks]
        if self._free <= 0:
            log.warning("%d tasks get no pre-label: too many requests are waiting", len(tasks))
            return answers
        limit = self._bounds.one_task_s if len(tasks) == 1 else self._bounds.batch_s
        self._free -= 1
        ticket = Ticket(2 * limit)  # dropped at the limit or on disconnect
        try:
            await asyncio.wait_for(self._fill(answers, serving, tasks, allowed, ticket), limit)
        except TimeoutError:
            late = sum(not answer for answer in answers)
            log.warning("%d of %d tasks get no pre-label within %g s", late, len(tasks), limit)
        finally:
            ticket.drop()
            self._free += 1
        return answers

    def close(self) -> None:
        """Wait for running predictions, and cancel the queued ones."""
        self._pool.shutdown(cancel_futures=True)

    async def _fill(
        self,
        answers: list[Any],
        serving: Serving,
        tasks: Sequence[LabelStudioTask],
        allowed: frozenset[str] | None,
        ticket: Ticket,
    ) -> None:
        """Answer all tasks; those with big images last and one by one, so that the others do not wait."""
        later: list[int] = []
        for start in range(0, len(tasks), CHUNK):
            chunk = range(start, min(start + CHUNK, len(tasks)))
            await self._answered(answers, chunk, serving, tasks, allowed, ticket, later)
        for index in later:
            await self._answered(answers, [index], serving, tasks, allowed, ticket, None)

    async def _answered(
        self,
        answers: list[Any],
        places: Sequence[int],
        serving: Serving,
        tasks: Sequence[LabelStudioTask],
        allowed: frozenset[str] | None,
        ticket: Ticket,
        later: list[int] | None,
    ) -> None:
        """Answer the tasks at ``places``; positions of big images are added to ``later``, if given."""
        found = await asyncio.gather(
            *(self._pixels(serving, tasks[place], ticket, later is None) for place in places)
        )
        if later is not None:
            later += [place for place, one in zip(places, found, strict=True) if one is _BIG]
        chunk = [tasks[place] for place in places]
        pixels = [one if isinstance(one, np.ndarray) else None for one in found]
        prelabels = await in_lane(self._pool, ticket, _prelabels, serving, chunk, pixels, allowed)
        for place, answer in zip(places, prelabels, strict=True):
            answers[place] = answer

    async def _pixels(
        self, serving: Serving, task: LabelStudioTask, ticket: Ticket, also_big: bool
    ) -> np.ndarray | object | None:
        """Return a task's decoded image, uint8 [height, width, 3]; ``None`` if it cannot be read;
        ``_BIG`` if it is left for later.
        """
        side = serving.model.manifest.input_size
        async with self._files, AsyncExitStack() as held:
            try:
                data = await task_image(
                    self._store,
                    task.data,
                    before_big=lambda: held.enter_async_context(self._big_file),
                )
                return await in_lane(
                    self._pool, ticket, _decoded, data, self._max_pixels, side, also_big
                )
            except (NoImage, ImageRejected) as error:
                log.warning("task %d gets no pre-label: %s", task.id, error)
                return None


_BIG = object()
"""Stands for an image that takes long to decode."""


def _decoded(data: bytes, max_pixels: int, side: int, also_big: bool) -> np.ndarray | object:
    if not also_big and not decode_cost(data, fit=side).is_small:
        return _BIG
    try:
        with BIG_PICTURE if also_big else nullcontext():
            return to_array(decode(data, max_pixels=max_pixels, fit=side))
    except MemoryError:
        raise ImageRejected("it needs more memory to decode than is available") from None


def _prelabels(
    serving: Serving,
    tasks: Sequence[LabelStudioTask],
    pictures: Sequence[np.ndarray | None],
    allowed: frozenset[str] | None,
) -> list[Any]:
    """Return the pre-labels of one chunk; tasks without a picture (``None``) get an empty list."""
    answers: list[Any] = [[] for _ in tasks]
    pixels = {index: one for index, one in enumerate(pictures) if one is not None}
    if not pixels:
        return answers
    try:
        probabilities = serving.model.predict_images(list(pixels.values()))
    except Exception:  # the task must open all the same
        log.exception("%s does not predict", serving.record.model_version)
        return answers
    meant = serving.model.decide(probabilities)
    for index, row, labels in zip(pixels, probabilities, meant, strict=True):
        unknown = set(labels) - allowed if allowed is not None else set()
        if unknown:
            # Label Studio refuses the whole response for a label that the project does not have.
            log.warning("task %d gets no pre-label: the project has no label %s", tasks[index].id,
                        ", ".join(sorted(unknown)))  # fmt: skip
            continue
        answers[index] = prelabel(serving, row, labels, tasks[index])
    return answers


def prelabel(
    serving: Serving, probabilities: np.ndarray, labels: Sequence[str], task: LabelStudioTask
) -> dict[str, Any]:
    """Return a prediction in Label Studio's format.

    Args:
        serving: the model.
        probabilities: float32 [labels of the model].
        labels: the predicted labels; for multi_label possibly none, with an empty ``result``.
        task: the predicted task.
    """
    probs = {
        label: round(float(value), 6)
        for label, value in zip(serving.model.labels, probabilities, strict=True)
    }
    sure = confidence(probabilities, serving.model)
    region = {
        "id": str(task.data.get("sample_id", ""))[:10],
        "from_name": CONTROL,
        "to_name": OBJECT,
        "type": "choices",
        "value": {"choices": list(labels)},
        "meta": {"probs": probs, "confidence": sure},
    }
    return {
        "result": [region] if labels else [],
        "score": sure,
        "model_version": serving.record.model_version,
    }


def confidence(probabilities: np.ndarray, model: OnnxPredictor) -> float:
    """Return a model's confidence in [0, 1]; uncertainty sampling serves the lowest first.

    For single_label the highest probability; for multi_label the minimum over the labels of the
    distance to the threshold, relative to the largest possible distance on that side.
    """
    thresholds = model.manifest.thresholds
    if not thresholds:
        return round(float(probabilities.max()), 6)
    limits = np.array([thresholds[label] for label in model.labels], dtype=np.float64)
    distance = probabilities - limits
    room = np.where(distance >= 0, 1 - limits, limits)
    return round(float(np.min(np.abs(distance) / np.maximum(room, 1e-9)).clip(0, 1)), 6)

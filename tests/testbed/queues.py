"""moto's queues, at a cost that does not grow with their messages."""

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

_sending = threading.local()


def without_counting(send: Callable[..., Any]) -> Callable[..., Any]:
    """``SQSBackend.send_message`` as it is, at a tenth of its cost.

    moto asks there for *all* attributes of the queue, its three counts of messages included, only
    to see whether it removes duplicates: with a thousand messages, that takes 10 ms.
    """
    from moto.sqs.models import Queue

    every = Queue.attributes.fget

    def attributes(self: Any) -> dict[str, Any]:
        if getattr(_sending, "now", False) and not self.fifo_queue:
            return {}
        found: dict[str, Any] = every(self)
        return found

    Queue.attributes = property(attributes)

    @wraps(send)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        _sending.now = True
        try:
            return send(*args, **kwargs)
        finally:
            _sending.now = False

    return wrapped

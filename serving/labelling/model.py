"""The model for annotators: production's, or staging's while production has none."""

import logging
import threading

from object_store.store import ObjectStore
from serving.endpoint.host import EndpointHost, Serving, Slot

POLL_S = 1.0
BUCKET_POLL_S = 15.0
"""Seconds between two listings of a bucket, where each costs money."""

log = logging.getLogger("serving")


class ServedModel:
    """Follows the deployment records of a project and holds one model, or none.

    It keeps its model until the newer one is loaded and warm.

    Args:
        store: has the records and models.
        project: endpoints are ``<project>-<stage>``.
        threads: threads of one prediction.
    """

    def __init__(self, store: ObjectStore, project: str, *, threads: int = 1) -> None:
        self._poll_s = BUCKET_POLL_S if store.is_bucket else POLL_S
        self._prod = EndpointHost(store, project, threads=threads, stages=("prod",))
        self._staging = EndpointHost(store, project, threads=threads, stages=("staging",))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follow", daemon=True)

    @property
    def current(self) -> Serving | None:
        """The model that is served; ``None`` if there is none. Read it once a request."""
        return _slot(self._prod).serving or _slot(self._staging).serving

    @property
    def version(self) -> str:
        """Version of the model that is served; empty if there is none."""
        serving = self.current
        return serving.record.model_version if serving else ""

    @property
    def absence(self) -> str:
        """Why there is no model, for people."""
        problem = self._prod.store_problem or self._staging.store_problem
        if problem:
            return problem
        slots = [_slot(self._prod), _slot(self._staging)]
        if any(slot.status.changing for slot in slots):
            return "the model is being loaded; try again in a moment"
        failures = [slot.status.failure_reason for slot in slots if slot.status.failure_reason]
        return failures[0] if failures else "no model is deployed yet; train one with imgclf run"

    def converge(self) -> None:
        """List the records once, and switch to another model if it is due."""
        self._prod.converge()
        prod, staging = _slot(self._prod), _slot(self._staging)
        if prod.serving is None and not prod.status.changing:
            self._staging.converge()
        elif prod.serving is not None and staging.serving is not None:
            log.info("%s takes over from %s", prod.name, staging.name)
            staging.serving, staging.settled_key = None, None

    def start(self) -> None:
        """Start a thread that follows the records."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop following the records; the loaded model stays."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.converge()
            self._stop.wait(self._poll_s)


def _slot(host: EndpointHost) -> Slot:
    (slot,) = host.slots.values()
    return slot

"""The endpoint host: each stage serves the model of its newest deployment record."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from object_store.errors import StoreError
from object_store.store import ObjectStore
from serving.deployments import (
    STAGES,
    DeploymentRecord,
    EndpointState,
    EndpointStatus,
    RecordError,
    Stage,
    endpoint_name,
    read_record,
    record_keys,
)
from serving.endpoint.model import load_model
from serving.errors import ModelUnusable
from training.artefact.predictor import OnnxPredictor

POLL_S = 0.25
"""Seconds between two listings of the store."""

_MAX_BACKOFF_S = 30.0

log = logging.getLogger("serving")


@dataclass(frozen=True, slots=True)
class Serving:
    """The model that a stage serves, and its deployment record."""

    model: OnnxPredictor
    record: DeploymentRecord


class Slot:
    """One stage. Only the host's thread writes; a request reads ``serving`` once and keeps it.

    ``status`` is replaced as a whole, so that readers see no partial change.
    """

    def __init__(self, stage: Stage, name: str) -> None:
        self.stage = stage
        self.name = name
        self.serving: Serving | None = None
        # Until the store has answered, it is unknown whether something is deployed.
        self.status = EndpointStatus(stage=stage, name=name, status="Creating")
        self.settled_key: str | None = None
        self.retry_at = 0.0
        self.backoff_s = POLL_S

    def report(
        self, state: EndpointState, newest_key: str | None, failure: str | None = None
    ) -> None:
        """Replace ``status``.

        Args:
            state: SageMaker's endpoint state.
            newest_key: key of the newest record, if there is one.
            failure: why the newest record is not served.
        """
        record = self.serving.record if self.serving else None
        self.status = EndpointStatus(
            stage=self.stage,
            name=self.name,
            status=state,
            model_version=record.model_version if record else None,
            digest=record.digest if record else None,
            since=record.created_at if record else None,
            failure_reason=failure,
            record_key=newest_key,
        )


class EndpointHost:
    """Serves the stages of a project from the records in the store.

    A stage keeps its model until the newer one is loaded and warm; the switch is one assignment. A
    record whose model cannot be served changes nothing and is reported as Failed. After a start,
    the newest record that can be served is used.

    Args:
        store: has the records and models.
        project: endpoints are ``<project>-<stage>``.
        threads: threads of one prediction.
        stages: the stages to serve.
    """

    def __init__(
        self,
        store: ObjectStore,
        project: str,
        *,
        threads: int = 1,
        stages: Sequence[Stage] = STAGES,
    ) -> None:
        self.store = store
        self.project = project
        self.store_problem: str | None = None
        self.slots = {
            endpoint_name(project, stage): Slot(stage, endpoint_name(project, stage))
            for stage in stages
        }
        self._threads = threads
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="converge", daemon=True)

    def start(self) -> None:
        """Start a thread that follows the records."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop following the records; loaded models stay."""
        self._stop.set()
        self._thread.join(timeout_s)

    def converge(self) -> None:
        """List the records once, and switch each stage whose newest record is not served yet."""
        for slot in self.slots.values():
            try:
                self._converge_slot(slot)
            except (StoreError, OSError) as error:  # OSError: no space for a model, for example
                # Keep the present model.
                self.store_problem = _first_line(error)
                slot.retry_at = time.monotonic() + slot.backoff_s
                slot.backoff_s = min(2 * slot.backoff_s, _MAX_BACKOFF_S)
                log.warning("%s: %s", slot.name, self.store_problem)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.converge()
            self._stop.wait(POLL_S)

    def _converge_slot(self, slot: Slot) -> None:
        if time.monotonic() < slot.retry_at:
            return
        newer = record_keys(self.store, slot.stage, after=slot.settled_key)
        self.store_problem = None
        slot.backoff_s = POLL_S
        if not newer:
            if slot.settled_key is None:
                slot.report("NotFound", None)
            return
        newest = newer[-1]
        slot.report("Updating" if slot.serving else "Creating", newest)
        failure = self._try_record(slot, newest)
        if failure is not None and slot.serving is None:
            self._fall_back(slot, newer[:-1])
        slot.report("InService" if failure is None else "Failed", newest, failure)
        slot.settled_key = newest

    def _fall_back(self, slot: Slot, older: list[str]) -> None:
        for key in reversed(older):
            if self._try_record(slot, key) is None:
                return

    def _try_record(self, slot: Slot, key: str) -> str | None:
        """Serve the record at ``key``; return the reason if its model cannot be served."""
        try:
            record = read_record(self.store, key)
            model = self._loaded(record.digest)
            if model is None:
                started = time.monotonic()
                model = load_model(record, self.store.download, threads=self._threads)
                log.info("%s loaded in %.2f s", record.model_version, time.monotonic() - started)
        except (ModelUnusable, RecordError) as error:
            log.error("%s: cannot serve %s: %s", slot.name, key, error)
            return str(error)
        slot.serving = Serving(model, record)
        log.info("%s serves %s (%s)", slot.name, record.model_version, record.digest[:12])
        return None

    def _loaded(self, digest: str) -> OnnxPredictor | None:
        """Return the model if a stage has it in memory: production reuses the one tested in staging."""
        for slot in self.slots.values():
            if slot.serving is not None and slot.serving.model.digest == digest:
                return slot.serving.model
        return None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__

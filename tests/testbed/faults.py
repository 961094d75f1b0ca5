"""Faults on demand: what AWS does to its callers on a bad day."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from xml.sax.saxutils import escape

CALL_KINDS = ("throttle", "error500", "slow", "lost", "quota", "refused", "clock")
"""Applied to a call, by app.py."""
EVENT_KINDS = (
    "spot_interruption",
    "capacity",
    "internal",
    "unhealthy",
    "silent_rollback",  # of an endpoint's update: InService as before, and no FailureReason
    "stale",  # ListModelPackages does not know the newest package yet
)
"""Taken by what runs a job or an endpoint, or lists packages."""

CLOCK_LIMIT_S = 300.0

_ERRORS = {
    "throttle": (400, "ThrottlingException", "Rate exceeded"),
    "error500": (500, "InternalFailure", "We encountered an internal error. Please try again."),
    "quota": (
        400,
        "ResourceLimitExceeded",
        "The account-level service limit 'ml.g5.xlarge for training job usage' is 0 Instances, "
        "with current utilization of 0 Instances and a request delta of 1 Instances. Please use "
        "AWS Service Quotas to request an increase for this quota.",
    ),
}
_S3_ERRORS = {
    "throttle": (503, "SlowDown", "Please reduce your request rate."),
    "error500": (500, "InternalError", "We encountered an internal error. Please try again."),
}


@dataclass
class Fault:
    """One fault and how often it will still happen (-1: always)."""

    operation: str
    kind: str
    times: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    taken: int = 0

    def wants(self, service: str, operation: str, request: Mapping[str, Any]) -> bool:
        """Whether a call is of those that it is meant for."""
        if self.operation not in ("*", service, operation):
            return False
        wanted: dict[str, str] = self.options.get("match", {})
        return all(fnmatchcase(str(request.get(k, "")), v) for k, v in wanted.items())


class Faults:
    """The faults that are armed, in the order in which they were."""

    def __init__(self) -> None:
        """None is armed."""
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, operation: str, kind: str, times: int = 1, **options: Any) -> None:
        """Arm a fault.

        Raises:
            ValueError: no such kind.
        """
        if kind not in (*CALL_KINDS, *EVENT_KINDS):
            raise ValueError(f"no fault {kind!r}; there are {', '.join(CALL_KINDS + EVENT_KINDS)}")
        with self._lock:
            self._faults.append(Fault(operation, kind, times, options))

    def clear(self) -> None:
        """Disarm all."""
        with self._lock:
            self._faults.clear()

    def armed(self) -> list[dict[str, Any]]:
        """What is left, and what was used up."""
        with self._lock:
            return [dict(vars(fault)) for fault in self._faults]

    def for_call(self, service: str, operation: str, request: Mapping[str, Any]) -> Fault | None:
        """The fault that this call meets, used up by it."""
        with self._lock:
            for fault in self._faults:
                if (
                    fault.kind in CALL_KINDS
                    and fault.times
                    and fault.wants(service, operation, request)
                ):
                    if fault.options.get("skip", 0) > 0:
                        fault.options["skip"] -= 1
                        continue
                    return _use(fault)
        return None

    def find(self, kind: str, **names: str) -> Fault | None:
        """The armed event that concerns these names, not used up: see :meth:`take`."""
        with self._lock:
            return self._event(kind, names)

    def take(self, kind: str, **names: str) -> Fault | None:
        """The armed event that concerns these names (``job=``, ``endpoint=``), used up."""
        with self._lock:
            fault = self._event(kind, names)
            return _use(fault) if fault else None

    def _event(self, kind: str, names: Mapping[str, str]) -> Fault | None:
        for fault in self._faults:
            if (
                fault.kind == kind
                and fault.times
                and all(
                    fnmatchcase(value, fault.options.get(name, "*"))
                    for name, value in names.items()
                )
            ):
                return fault
        return None


def _use(fault: Fault) -> Fault:
    fault.times -= fault.times > 0
    fault.taken += 1
    return fault


def answer(fault: Fault, service: str, protocol: str) -> tuple[int, str, bytes] | None:
    """(HTTP status, content type, body) of a fault in the protocol of a service.

    None if the call is to be done after all, which for ``slow`` is after the wait.
    """
    if fault.kind == "slow":
        time.sleep(float(fault.options.get("seconds", 1.0)))
    if fault.kind == "clock":
        return _wrong_clock(float(fault.options["seconds"]), service, protocol)
    if fault.kind == "refused":
        given = fault.options
        return refusal(
            int(given.get("status", 400)), given["code"], given["message"], service, protocol
        )
    if fault.kind not in _ERRORS:
        return None
    status, code, message = (_S3_ERRORS if service == "s3" else _ERRORS).get(
        fault.kind, _ERRORS[fault.kind]
    )
    if protocol == "query" and service != "s3":
        code = code.removesuffix("Exception")
    return refusal(status, code, message, service, protocol)


def _wrong_clock(seconds: float, service: str, protocol: str) -> tuple[int, str, bytes] | None:
    """AWS's clock is ``seconds`` ahead of ours: more than five minutes, and it refuses the call."""
    if abs(seconds) <= CLOCK_LIMIT_S:
        return None
    if service == "s3":
        text = "The difference between the request time and the current time is too large."
        return refusal(403, "RequestTimeTooSkewed", text, service, protocol)
    text = "Signature expired" if seconds > 0 else "Signature not yet current"
    return refusal(403, "SignatureDoesNotMatch", f"{text} (5 min.)", service, protocol)


def refusal(
    status: int, code: str, message: str, service: str, protocol: str
) -> tuple[int, str, bytes]:
    """An error in the protocol of a service."""
    text = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    if service == "s3":
        return status, "application/xml", f"<Error>{text}".encode()
    if protocol == "query":
        text = f"<ErrorResponse><Error><Type>Sender</Type>{text}</ErrorResponse>"
        return status, "text/xml", text.encode()
    return status, "application/x-amz-json-1.1", error_body(code, message)


def denial(message: str, service: str, protocol: str) -> tuple[int, str, bytes]:
    """The answer to a caller without the permission."""
    if protocol == "json":
        return refusal(400, "AccessDeniedException", message, service, protocol)
    return refusal(403, "AccessDenied", message, service, protocol)


def error_body(code: str, message: str) -> bytes:
    """An error of the JSON protocols."""
    import json

    return json.dumps({"__type": code, "message": message}).encode()

"""What training and processing jobs have in common: hosts that run a command, and how they end."""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.testbed.logs import LogStream
from tests.testbed.processes import Process
from tests.testbed.state import ACCOUNT, REPOSITORY, ApiError, State, now, runnable

POLL_S = 0.02
REASON_CHARACTERS = 1024
INTERNAL = "InternalServerError: We encountered an internal error. Please try again."
CAPACITY = (
    "CapacityError: Unable to provision requested ML compute capacity. "
    "Please retry using a different ML instance type."
)


class Job:
    """A job of any kind.

    Attributes:
        request: of its creation.
        status: ``InProgress``, ``Completed``, ``Failed``, ``Stopping`` or ``Stopped``.
    """

    def __init__(self, state: State, kind: str, name: str, request: dict[str, Any]) -> None:
        """``kind`` is the ARN's, such as ``training-job``."""
        self.state = state
        self.name = name
        self.request = request
        self.arn = state.arn(kind, name)
        self.status = "InProgress"
        self.failure = ""
        self.created = self.modified = now()
        self.began: Any = None
        self.ended: Any = None
        self.stop_asked = threading.Event()
        self.folder = state.folder / kind / f"{name}-{time.time_ns()}"

    def touch(self) -> None:
        """Note that it was modified."""
        self.modified = now()

    def describe_request(self, *left_out: str) -> dict[str, Any]:
        """The members of its creation that a description repeats."""
        return {k: v for k, v in self.request.items() if k not in (*left_out, "Tags")}


class Hosts:
    """The instances of one attempt, each a process with an ``/opt/ml`` of its own."""

    def __init__(self, state: State, folder: Path, count: int) -> None:
        """Nothing is laid out yet."""
        self.names = [f"algo-{number}" for number in range(1, count + 1)]
        self.roots = [folder / name / "ml" for name in self.names]
        self._state = state
        self._processes: list[Process] = []
        self._streams: list[LogStream] = []
        self.failed = 0
        """Index of the host that failed first."""

    def start(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        group: str,
        job: str,
        on_line: Callable[[str], None],
    ) -> None:
        """Start the command on every host; logs go to the group's streams ``<job>/<host>-…``."""
        port = str(free_port())
        for name, root in zip(self.names, self.roots, strict=True):
            stream = LogStream(self._state, group, f"{job}/{name}-{int(time.time())}")
            self._streams.append(stream)
            given = {
                **self._state.container_environ(root),
                "IMGCLF_MASTER_PORT": port,
                **environ,
            }
            given["PYTHONPATH"] = _path(given["PYTHONPATH"])
            self._processes.append(
                self._state.processes.start(
                    runnable(list(command)), cwd=root, environ=given, sink=_both(stream, on_line)
                )
            )

    def poll(self) -> int | None:
        """None while they run; 0 once all are done; the code of the first one that failed."""
        codes = [process.poll() for process in self._processes]
        for number, code in enumerate(codes):
            if code:
                self.failed = number
                self.kill()
                return code
        return None if None in codes else 0

    def terminate(self) -> int:
        """SIGTERM, and SIGKILL after the grace; returns the highest exit code."""
        grace = float(self._state.settings["grace_s"])
        codes: list[int] = []
        threads = [
            threading.Thread(target=lambda p=p: codes.append(p.terminate(grace)))
            for p in self._processes
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return max(codes, default=0)

    def kill(self) -> None:
        """SIGKILL."""
        for process in self._processes:
            process.kill()

    def close(self) -> None:
        """End what still runs, and write the last lines of the logs."""
        self.kill()
        for stream in self._streams:
            stream.close()


def _both(stream: LogStream, on_line: Callable[[str], None]) -> Callable[[str], None]:
    def sink(line: str) -> None:
        stream.line(line)
        on_line(line)

    return sink


def resource_config(hosts: Hosts, number: int, instance_type: str) -> dict[str, Any]:
    """``resourceconfig.json`` of one host; the interface is the one that exists here."""
    return {
        "current_host": hosts.names[number],
        "current_instance_type": instance_type,
        "current_group_name": "homogeneousCluster",
        "hosts": hosts.names,
        "instance_groups": [
            {
                "instance_group_name": "homogeneousCluster",
                "instance_type": instance_type,
                "hosts": hosts.names,
            }
        ],
        "network_interface_name": "lo",
    }


def write_json(path: Path, value: Any) -> None:
    """Write a configuration file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def inside(root: Path, path: str) -> Path:
    """Where a container's path is on this machine.

    Raises:
        ApiError: it is outside of ``/opt/ml``, which is all that a process can have moved.
    """
    if path != "/opt/ml" and not path.startswith("/opt/ml/"):
        raise ApiError("ValidationException", f"{path}: the stand-in has only /opt/ml")
    return root / path.removeprefix("/opt/ml").lstrip("/")


def reason(text: str, code: int) -> str:
    """FailureReason of a container that failed; 1024 characters at most."""
    text = text[: REASON_CHARACTERS - 40]
    return f"AlgorithmError: {text}, exit code: {code}"


def check_role(arn: str) -> None:
    """A role that the account has must be one that SageMaker may assume.

    Raises:
        ApiError: it is not. (A role that was never created is not looked for.)
    """
    from moto.iam.models import iam_backends

    roles = {role.arn: role for role in iam_backends[ACCOUNT]["aws"].roles.values()}
    role = roles.get(arn)
    if role is not None and "sagemaker.amazonaws.com" not in str(role.assume_role_policy_document):
        raise ApiError(
            "ValidationException",
            f"Could not assume role {arn}. Please ensure that the role exists and allows principal "
            "'sagemaker.amazonaws.com' to assume the role.",
        )


def find(state: State, kind: str, name: str, message: str) -> Any:
    """A job by name.

    Raises:
        ApiError: as SageMaker says it, with ``message``.
    """
    with state.lock:
        if name not in state.table(kind):
            raise ApiError("ValidationException", message)
        return state.table(kind)[name]


def require_running(status: str, noun: str) -> None:
    """Only what runs can be stopped.

    Raises:
        ApiError: as SageMaker says it, of a job of ``noun``, such as ``training``.
    """
    if status not in ("InProgress", "Stopping"):
        raise ApiError(
            "ValidationException",
            f"The request was rejected because the {noun} job is in status {status}",
        )


def _path(given: str) -> str:
    """The image has our packages whatever else the request puts on Python's path."""
    ours = str(REPOSITORY)
    return given if ours in given.split(os.pathsep) else os.pathsep.join([ours, given])

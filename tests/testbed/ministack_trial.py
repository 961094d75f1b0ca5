"""ministack with one more resource type, ``Custom::Trial``, that takes its time or fails as told.

Started by ``trial_stacks(folder)`` as a process of its own. Properties of the type: ``Value``
(any), ``Seconds`` (how long it takes), ``Fail`` (fails with this reason), ``FailDelete`` (its
deletion does).
"""

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TAKEN_ON_TRUST = ("AWS::Budgets::Budget", "AWS::SageMaker::ModelPackageGroup")
"""Types that ministack lacks and foundation.yaml has: accepted, and nothing is made."""

ENVIRON = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def trial_stacks(folder: Path) -> Iterator[str]:
    """The URL of a ministack of its own; its log and its files lie under ``folder``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = os.environ | ENVIRON | {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
    environ |= {"TMPDIR": str(folder), "MINISTACK_ACCOUNT_ID": "123456789012"}
    root = Path(__file__).parents[2]
    with (folder / "ministack.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.testbed.ministack_trial"],
            cwd=root,
            env=environ,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _await(port, process, folder / "ministack.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"ministack did not start:\n{log.read_text()}")


def _act(props: dict) -> dict:
    time.sleep(float(props.get("Seconds", 0)))
    if props.get("Fail"):
        raise RuntimeError(props["Fail"])
    return {"Value": props.get("Value", "")}


def _create(logical_id: str, props: dict, stack_name: str) -> tuple[str, dict]:
    return f"trial-{uuid.uuid4().hex[:8]}", _act(props)


def _update(physical_id: str, old: dict, new: dict, stack_name: str, **_: object) -> tuple:
    return physical_id, _act(new)


def _delete(physical_id: str, props: dict) -> None:
    if props.get("FailDelete"):
        raise RuntimeError(props["FailDelete"])


def _accept(logical_id: str, props: dict, stack_name: str) -> tuple[str, dict]:
    return f"{stack_name}-{logical_id}", {}


def main() -> None:
    """Run ministack in this process."""
    from ministack.app import main as serve
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS

    from tests.testbed import ministack_answers

    handlers = {"create": _create, "update": _update, "delete": _delete}
    _RESOURCE_HANDLERS["Custom::Trial"] = handlers
    for kind in TAKEN_ON_TRUST:
        _RESOURCE_HANDLERS[kind] = {"create": _accept, "delete": _delete}
    ministack_answers.correct()
    sys.argv = ["ministack"]
    serve()


if __name__ == "__main__":
    main()

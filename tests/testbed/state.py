"""What the stand-in knows, shared by all its operations."""

import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.testbed.faults import Faults
from tests.testbed.image import programs
from tests.testbed.processes import Processes
from tests.warm_programs import VARIABLES, with_client

ACCOUNT = "123456789012"
REPOSITORY = Path(__file__).resolve().parents[2]

_INHERITED = (
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    *VARIABLES,
)


class ApiError(Exception):
    """An error of the API, as its client sees it."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        """``code`` such as ``ValidationException``."""
        super().__init__(message)
        self.code = code
        self.status = status


class State:
    """Tables of what was created, and what a container is started with."""

    def __init__(self, folder: Path, region: str = "us-east-1") -> None:
        """``folder`` takes the containers' files and logs; ``url`` is set once it is known."""
        self.folder = folder
        self.region = region
        self.url = ""
        self.lock = threading.RLock()
        self.faults = Faults()
        self.processes = Processes()
        self.stopping = threading.Event()
        self.request = threading.local()
        """What a thread's request says beside its members: ``access_key``."""
        self.tags: dict[str, dict[str, str]] = {}
        self.settings: dict[str, Any] = {
            "grace_s": 10.0,
            "image_entrypoint": None,
            "time_scale": float(os.environ.get("IMGCLF_STANDIN_TIME_SCALE", "100")),
            "cloudwatch_url": "",
        }
        self._tables: dict[str, dict[str, Any]] = {}

    def table(self, kind: str) -> dict[str, Any]:
        """Everything of a kind, by name, in the order of its creation."""
        with self.lock:
            return self._tables.setdefault(kind, {})

    def arn(self, kind: str, name: str) -> str:
        """Such as ``arn:aws:sagemaker:us-east-1:123456789012:training-job/NAME``."""
        return f"arn:aws:sagemaker:{self.region}:{ACCOUNT}:{kind}/{name}"

    def tag(self, arn: str, tags: list[dict[str, str]] | None) -> None:
        """Add tags to a resource."""
        with self.lock:
            self.tags.setdefault(arn, {}).update({t["Key"]: t["Value"] for t in tags or ()})

    def thread(self, function: Callable[..., None], *args: Any) -> threading.Thread:
        """Run a function beside the requests."""
        thread = threading.Thread(target=function, args=args, daemon=True)
        thread.start()
        return thread

    def container_environ(self, root: Path) -> dict[str, str]:
        """What every container finds in its environment; nothing of the tests' own."""
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return {
            **inherited,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": with_client(str(REPOSITORY)),
            "PYTHONUNBUFFERED": "1",
            "IMGCLF_ML_ROOT": str(root),
            "IMGCLF_MASTER_ADDRESS": "127.0.0.1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def image_command(self, arguments: list[str]) -> list[str]:
        """What ``docker run IMAGE arguments`` runs: a program of the image, unless told otherwise."""
        given = self.settings["image_entrypoint"]
        if given:
            return runnable([*given, *arguments])
        program = programs(REPOSITORY).get(arguments[0], arguments[:1])
        return runnable([*program, *arguments[1:]])

    def stop(self) -> None:
        """End every container."""
        self.stopping.set()
        self.processes.kill_all()


def runnable(command: list[str]) -> list[str]:
    """A container's command on this machine: its Python is ours."""
    if Path(command[0]).name in ("python", "python3"):
        return [sys.executable, *command[1:]]
    return command


def now() -> datetime:
    """As AWS gives times: in UTC, to the millisecond."""
    return datetime.fromtimestamp(round(time.time(), 3), UTC)

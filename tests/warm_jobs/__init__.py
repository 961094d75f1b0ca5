"""Jobs of the line in copies of one process that has imported PyTorch: 5 CPU seconds less for each.

``sitecustomize`` is the client, ``server`` forks. Tests that kill programs at named points
(``tests/e2e/sabotage``) start theirs as users do. ``PYTEST_COLD_JOBS=1`` has all tests do so.
"""

import os
import shutil
import tempfile
from pathlib import Path

CLIENT = Path(__file__).parent
"""The folder that jobs need on PYTHONPATH."""

SOCKET, OWNER = "PYTEST_WARM_JOBS", "PYTEST_WARM_JOBS_OF"
VARIABLES = (SOCKET, OWNER)
"""What jobs need in their environment: where the server listens, and whom it ends with."""


def offer() -> None:
    """Have the jobs of this process, and of all that it starts, use a server."""
    # A copy cannot use CUDA: its parent may have started it.
    gpus = any(path.name[6:].isdigit() for path in Path("/dev").glob("nvidia*"))
    if not hasattr(os, "pidfd_open") or gpus or os.environ.get("PYTEST_COLD_JOBS"):
        return
    os.environ[SOCKET] = str(Path(tempfile.mkdtemp(prefix="imgclf-jobs-")) / "socket")
    os.environ[OWNER] = str(os.getpid())
    os.environ["PYTHONPATH"] = with_client(os.environ.get("PYTHONPATH", ""))


def withdraw() -> None:
    """Remove the server's folder; it ends with this process."""
    if os.environ.get(OWNER) == str(os.getpid()):
        shutil.rmtree(Path(os.environ[SOCKET]).parent, ignore_errors=True)


def with_client(path: str) -> str:
    """``path``, of the form of PYTHONPATH, with the client's folder if there may be a server."""
    if SOCKET not in os.environ or str(CLIENT) in path.split(os.pathsep):
        return path
    return os.pathsep.join(filter(None, [path, str(CLIENT)]))

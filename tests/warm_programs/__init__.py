"""Programs of the line in copies (forks) of processes that have imported what they need.

``sitecustomize`` is the client, ``server`` forks. There is a server for jobs, with PyTorch, and one for
``imgclf``, Dagster, MLflow and the web pages. What is started cold, and why, is in docs/testing.md.
"""

import os
import shutil
import tempfile
from pathlib import Path

CLIENT = Path(__file__).parent
"""The folder that programs need on PYTHONPATH."""

FOLDER, OWNER = "PYTEST_WARM_PROGRAMS", "PYTEST_WARM_PROGRAMS_OF"
VARIABLES = (FOLDER, OWNER)
"""What programs need in their environment: the folder of the servers' sockets, and the id of the
process that they end with."""


def offer() -> None:
    """Have the programs of this process, and of all that it starts, use the servers."""
    # A copy cannot use CUDA: its parent may have started it.
    gpus = any(path.name[6:].isdigit() for path in Path("/dev").glob("nvidia*"))
    if not hasattr(os, "pidfd_open") or gpus or os.environ.get("PYTEST_COLD_JOBS"):
        return
    os.environ[FOLDER] = tempfile.mkdtemp(prefix="imgclf-warm-")
    os.environ[OWNER] = str(os.getpid())
    os.environ["PYTHONPATH"] = with_client(os.environ.get("PYTHONPATH", ""))


def withdraw() -> None:
    """Remove the servers' folder; they end with this process."""
    if os.environ.get(OWNER) == str(os.getpid()):
        shutil.rmtree(os.environ[FOLDER], ignore_errors=True)


def with_client(path: str) -> str:
    """``path``, of the form of PYTHONPATH, with the client's folder if there may be a server."""
    if FOLDER not in os.environ or str(CLIENT) in path.split(os.pathsep):
        return path
    return os.pathsep.join(filter(None, [path, str(CLIENT)]))

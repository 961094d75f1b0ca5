"""The end of a job's process."""

import logging
import os
import sys
from typing import NoReturn


def leave() -> NoReturn:
    """End this process with exit code 0 as soon as its output is written.

    The interpreter would first collect all of PyTorch's objects, which takes 2 s, and libraries
    bound by nanobind (triton, onnx) would write to the job's log what they find left
    (https://nanobind.readthedocs.io/en/latest/refleaks.html). Nothing is left to do: files are
    closed, and Dagster has the message that completes the job.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)

"""The container image, of which the stand-in has only the programs that SageMaker calls."""

import re
import shlex
from pathlib import Path

_PROGRAM = re.compile(
    r"""printf\s+'\#!/bin/sh\\nexec\s+(?P<command>[^']+?)\\n'\s*>\s*"?\S*?/bin/(?P<name>\w+)"?""",
    re.VERBOSE,
)


def programs(repository: Path) -> dict[str, list[str]]:
    """The commands behind ``serve`` and ``train``, as the repository's Dockerfile writes them."""
    text = (repository / "Dockerfile").read_text(encoding="utf-8")
    return {found["name"]: shlex.split(found["command"]) for found in _PROGRAM.finditer(text)}

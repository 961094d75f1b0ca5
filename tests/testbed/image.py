"""The container image, of which the stand-in has only the command."""

import json
import re
from pathlib import Path

_DEFAULT = ["python", "-m", "serving.container"]


def entrypoint(repository: Path) -> list[str]:
    """The ENTRYPOINT (exec form) of the repository's Dockerfile."""
    path = repository / "Dockerfile"
    if not path.is_file():
        return _DEFAULT
    found = re.findall(r"^ENTRYPOINT\s+(\[.*\])\s*$", path.read_text(encoding="utf-8"), re.M)
    return json.loads(found[-1]) if found else _DEFAULT

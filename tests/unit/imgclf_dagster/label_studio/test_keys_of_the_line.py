"""What Label Studio's backup keeps clear of is what the code really writes."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from imgclf_dagster.label_studio.setup import KEYS_OF_THE_LINE

ROOT = Path(__file__).parents[4]
ROOMS = (
    "assets",
    "resources",
    "object_store",
    "labelling",
    "training",
    "serving",
    "imgclf_dagster",
)

NO_KEYS = frozenset(
    [
        *("application", "image", "text"),  # media types
        *("dagster", "imgclf"),  # tags of runs
        *("dataset", "raw_images", "trained_model"),  # subjects of verdicts, below checks/
        *("contact_sheets", "sources"),  # below datasets/<version>/
        *("pretrained", "probabilities", "shards", "shown"),  # below another key
        *("config", "input", "output", "processing"),  # below a job's folder
        *("cloudformation", "lib", "stages"),  # files of ours, and of an environment
        *("endpoint", "model", "stack"),  # resources in a policy
        "timm",  # a library, before the name of a net
    ]
)
"""What looks like the beginning of a key in the code, and is none."""


def test_every_prefix_that_the_code_writes_is_known() -> None:
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    # What is read of people's folders and lists has paths of its own (`ImageSets/Main`, `n/a`).
    ours = [path for path in files if not path.is_relative_to(ROOT / "labelling" / "sources")]
    begins = {begin for path in ours for begin in of(path)}
    assert begins - NO_KEYS == KEYS_OF_THE_LINE


def of(path: Path) -> Iterator[str]:
    """First parts of the strings with slashes in a file: of ``f"models/{job}/"``, ``models``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and (found := re.fullmatch(r"([a-z][a-z_]*)/\S*", text)):
            yield found[1]

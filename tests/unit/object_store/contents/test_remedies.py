"""Every prefix that the product writes has a remedy for a damaged object, and none sends a person
round in circles."""

import re
from pathlib import Path

import pytest

from object_store.contents.damage import remedy_for

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[4]
PACKAGES = ("assets", "imgclf_dagster", "labelling", "object_store", "resources", "serving")
KEY_BEGINS = re.compile(
    r"""(?:^[A-Z_]+(?::\ \w+)?\ =\ |return\ |key\ =\ |prefix\ =\ |,\ )f?"([a-z][a-z-]*/[a-z]*)""",
    re.M | re.X,
)
NO_KEYS = {
    *("application/x", "application/vnd", "text/plain", "text/html"),  # media types
    *("dagster/data", "dagster/input", "dagster/max", "dagster/will"),  # Dagster's tags
    *("imgclf/decision", "imgclf/asked", "imgclf/process"),  # tags of runs
    *("dataset/", "probabilities/"),  # a verdict's subject; a file of a job's archive
    *("inputs/", "checkpoints/", "inputs/x", "checkpoints/x"),  # the transfer bucket's, on AWS
    *("processing/",),  # a file in a container
    "annotations/instances",  # a file of an export
    "damaged/",  # where damaged objects go
}


def written() -> dict[str, str]:
    """The beginning of each key in the product's sources, and a file that has it."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if path.name in ("aws_role_needs.py", "voc_lists.py"):
                continue  # names of AWS resources; files of a foreign layout
            for match in KEY_BEGINS.finditer(path.read_text()):
                found[match[1]] = str(path.relative_to(ROOT))
    return {begin: path for begin, path in found.items() if begin not in NO_KEYS}


def test_every_prefix_that_is_written_has_its_own_remedy() -> None:
    known = written()
    prefixes = {begin.partition("/")[0] for begin in known}
    assert {"raw", "checks", "materializations", "splits", "arrivals", "registry"} <= prefixes
    for begin, path in known.items():
        assert remedy_for(f"{begin}x/0000000000001.json") != remedy_for("nobody/writes.this"), (
            f"{path} writes {begin}…: add it to _REMEDIES"
        )


@pytest.mark.parametrize("key", ["splits/dealt/0000000000001.json", "strange/file", "x.json"])
def test_a_remedy_is_more_than_the_command_that_prints_it(key: str) -> None:
    assert not remedy_for(key).startswith("see ")
    assert "`imgclf doctor --store`" not in remedy_for(key)
    assert len(remedy_for(key)) > 40

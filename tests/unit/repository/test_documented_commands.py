"""The `imgclf` commands on the pages: each of them and each of their options exists."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imgclf_dagster.cli.main import COMMANDS, load_command

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{page.name}" for page in ROOT.glob("docs/*.md")))


def commands(page: str) -> Iterator[str]:
    """Yield the lines with a command in the page's blocks for a shell."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            if re.match(r"(\w+=\S+ )*(\S*/)?imgclf ", line):
                yield line


def flaw(line: str) -> str:
    """Return what no shell and no `imgclf` takes in a line; empty if nothing."""
    words = shlex.split(line, comments=True)
    while not words.pop(0).endswith("imgclf"):
        pass
    command: Any = None
    for word in words:
        if word in (";", "|", ">", "&&"):
            break
        if word.startswith("["):
            return f"{word} is not an argument"
        if command is None and not word.startswith("-"):
            if word not in COMMANDS:
                return f"there is no command {word}"
            command = load_command(word)
        elif hasattr(command, "get_command") and not word.startswith("-"):
            found = command.get_command(None, word)
            if found is None:
                return f"{command.name} has no command {word}"
            command = found
        elif command is not None and word.startswith("--"):
            known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
            if word.partition("=")[0] not in {*known, "--help"}:
                return f"{command.name} has no option {word}"
    return ""


@pytest.mark.parametrize("page", PAGES)
def test_each_command_can_be_typed_as_it_stands(page: str) -> None:
    assert [(line, why) for line in commands(page) if (why := flaw(line))] == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("imgclf doctor --store [--repair]  # all", "[--repair] is not an argument"),
        ("imgclf doctor --everything", "doctor has no option --everything"),
        ("HOME=/x .venv/bin/imgclf examine", "there is no command examine"),
        ('imgclf approve --reason "better" # or reject', ""),
    ],
)
def test_what_cannot_be_typed_is_found(line: str, why: str) -> None:
    assert flaw(line).startswith(why) if why else flaw(line) == ""

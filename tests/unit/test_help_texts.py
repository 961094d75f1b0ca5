"""The help of every command is printed as it is written: nothing in it is taken for markup."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from rich.markup import render
from typer.main import get_command

from imgclf_dagster.cli.main import app

pytestmark = pytest.mark.unit


def texts(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Each text of help, and whose it is."""
    for text in (command.help, command.short_help, command.epilog):
        yield " ".join(path), text or ""
    for parameter in command.params:
        yield " ".join((*path, parameter.name)), getattr(parameter, "help", None) or ""
        yield " ".join((*path, parameter.name)), parameter.metavar or ""
    for name, below in getattr(command, "commands", {}).items():
        yield from texts(below, (*path, name))


def test_no_section_of_the_settings_is_eaten_as_markup() -> None:
    found = list(texts(get_command(app)))
    assert len({whose for whose, _ in found}) > 60
    for whose, text in found:
        written = re.sub(r"\\(?=\[)", "", text)
        assert render(text).plain == written, f"{whose}: write \\[ for [ in {text!r}"


def test_the_section_of_the_splits_is_in_the_help_of_dealing_anew() -> None:
    (told,) = {
        text for whose, text in texts(get_command(app)) if whose == "splits deal-anew" and text
    }
    assert "under [split] deals anew" in " ".join(render(told).plain.split())

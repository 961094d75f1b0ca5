"""The help of every command is printed as it is written: nothing in it is taken for markup."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from rich.markup import render
from typer.main import get_command
from typer.testing import CliRunner

from imgclf_dagster.cli.main import COMMANDS, app, load_command

pytestmark = pytest.mark.unit


def texts(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Each text of help, and whose it is."""
    for text in (command.help, command.short_help, command.epilog):
        yield " ".join(path), (text or "").partition("\f")[0]  # as Typer prints it
    for parameter in command.params:
        yield " ".join((*path, parameter.name)), getattr(parameter, "help", None) or ""
        yield " ".join((*path, parameter.name)), parameter.metavar or ""
    for name, below in getattr(command, "commands", {}).items():
        yield from texts(below, (*path, name))


def all_texts() -> Iterator[tuple[str, str]]:
    """Those of ``imgclf`` and of every command below it."""
    yield from texts(get_command(app))
    for name in COMMANDS:
        yield from texts(load_command(name), (name,))


def test_no_section_of_the_settings_is_eaten_as_markup() -> None:
    found = list(all_texts())
    assert len({whose for whose, _ in found}) > 60
    for whose, text in found:
        written = re.sub(r"\\(?=\[)", "", text)
        assert render(text).plain == written, f"{whose}: write \\[ for [ in {text!r}"


def test_help_shows_no_documentation_of_parameters_for_developers() -> None:
    """Docstrings have it after a form feed; the help of options is beside each option."""
    assert [whose for whose, text in all_texts() if "Args:" in text] == []
    printed = CliRunner().invoke(app, ["predict", "--help"])
    assert "Predict the labels of images" in printed.output
    assert "Args:" not in printed.output


def test_the_section_of_the_splits_is_in_the_help_of_dealing_again() -> None:
    (reason,) = {text for whose, text in all_texts() if whose == "splits deal-again" and text}
    assert "under [split] deals again" in " ".join(render(reason).plain.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_is_the_first_paragraph_of_the_help_of_the_command(name: str) -> None:
    command = load_command(name)
    assert command.name == name
    assert " ".join(command.help.partition("\n\n")[0].split()) == COMMANDS[name].summary


def test_a_name_that_is_mistyped_is_answered_by_the_one_that_is_meant() -> None:
    refused = CliRunner().invoke(app, ["statu"])
    assert refused.exit_code == 2
    assert "Did you mean 'status'?" in refused.output


def test_a_command_has_no_options_of_shell_completion() -> None:
    for name in COMMANDS:
        options = {option for parameter in load_command(name).params for option in parameter.opts}
        assert "--install-completion" not in options

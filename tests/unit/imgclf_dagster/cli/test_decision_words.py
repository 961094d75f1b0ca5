"""Who decides, and why: on the command line."""

import pytest
import typer
from typer.testing import CliRunner

from imgclf_dagster.cli import release

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "command", [release.approve_command, release.reject_command, release.rollback_command]
)
@pytest.mark.parametrize("words", [("--reason", "  "), ("--reason", "good", "--by", "\t")])
def test_a_decision_without_a_word_is_none(command, words, tmp_path, monkeypatch):
    monkeypatch.setenv("IMGCLF_HOME", str(tmp_path / "home"))
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "it is empty" in result.output
    assert not (tmp_path / "home").exists(), "nothing was looked at"

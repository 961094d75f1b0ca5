"""`imgclf tune` refuses wrong limits before anything runs."""

import pytest
from typer.testing import CliRunner

from imgclf_dagster.cli.main import app

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("minutes", ["-5", "0", "nan", "inf"])
def test_minutes_that_are_no_time_are_refused_at_once(
    minutes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*_: object, **__: object) -> None:
        raise AssertionError("the line was started")

    monkeypatch.setattr("imgclf_dagster.line.runner.line_runner", started)
    answer = CliRunner().invoke(app, ["tune", "--minutes", minutes])
    assert answer.exit_code == 2
    assert "--minutes" in answer.output
    assert "errors.pydantic.dev" not in answer.output

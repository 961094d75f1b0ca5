"""The settings of section ``[serving]`` reach every server that is started."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from imgclf_dagster.cli.up.up import programs
from imgclf_dagster.profiles.chosen import build_endpoints
from imgclf_dagster.settings.root import load_settings
from serving.limits.limits import ServingLimits
from tests.unit.cloudformation.templates.template import Template

pytestmark = pytest.mark.unit


def test_what_a_request_may_cost_reaches_the_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGCLF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("IMGCLF_SETTINGS", raising=False)
    monkeypatch.setenv("IMGCLF_SERVING__MAX_PIXELS", "77")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "imgclf.toml").write_text("[serving]\nanswer_s = 7.5\n")
    settings = load_settings(home=tmp_path / "home")
    expected = ServingLimits(max_pixels=77, answer_s=7.5).to_environment()
    settings.run_dir.mkdir(parents=True)
    (endpoints,) = [spec for spec in programs(settings) if spec.name == "Endpoints"]
    assert endpoints.env == expected
    host = build_endpoints(settings)
    assert host.environment == expected


def test_on_aws_they_are_a_parameter_of_the_stack_only_if_they_are_no_defaults() -> None:
    from imgclf_dagster.profiles.aws import _serving_limits

    def parameters(**limits: float) -> dict[str, str]:
        settings: Any = SimpleNamespace(serving=ServingLimits(**limits))
        return _serving_limits(settings)

    assert parameters() == {}, "an endpoint that is there stays as it is"
    given = parameters(max_pixels=5, answer_s=7.5)
    assert ServingLimits.model_validate_json(given["ServingLimits"]).answer_s == 7.5
    pattern = Template.ours("endpoint.yaml").parameters["ServingLimits"]["AllowedPattern"]
    everything = ServingLimits(
        max_pixels=1, max_request_pixels=1, body_s=0.1, answer_s=0.1
    ).model_dump_json()
    assert re.fullmatch(pattern, given["ServingLimits"])
    assert re.fullmatch(pattern, everything)
    assert len(everything) < 256

"""``imgclf up`` on profile aws: images come, the line runs by itself, a person only approves."""

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from assets.verdicts import STAGING_CHECKS
from tests.e2e.up_program import Up, wait_for
from tests.testbed.bed import TestBed

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]

LINE_S = 300.0
"""Seconds that the line may take on a busy machine; on a quiet one it takes 40."""


@pytest.fixture
def on_aws(imgclf: Any, aws_variables: dict[str, str], fast: dict[str, str]) -> Any:
    imgclf.settings = {
        **fast,
        **aws_variables,
        "IMGCLF_PROJECT": aws_variables["IMGCLF_AWS__BUCKET"],
        "IMGCLF_SENSORS__INTERVAL_S": "1",
        "IMGCLF_GATES__MAX_STAGING_LATENCY_MS": "10000",
    }
    return imgclf


@pytest.fixture
def up(on_aws: Any) -> Iterator[Up]:
    program = Up(on_aws.home, on_aws.environment())
    yield program
    program.end()


def staged(imgclf: Any) -> str | None:
    """The version whose checks on staging were passed."""
    found = [
        re.match(rf"checks/trained_model/(train-\w+)/{STAGING_CHECKS[-1]}/", key)
        for key in imgclf.objects()
    ]
    return next((match[1] for match in found if match), None)


def test_images_reach_production_by_themselves_but_for_an_approval(
    up: Up,
    on_aws: Any,
    bed: TestBed,
    colours: Callable[..., Path],
    tmp_path: Path,
    browser: "Browser",
) -> None:
    up.wait_until_up()
    assert "!" not in up.said, "something crashed on the way up"
    assert "MLflow" not in up.said
    assert "Endpoints" not in up.said

    pictures = colours(tmp_path / "pictures", 12)
    ingested = on_aws("ingest", pictures, "--json")
    assert ingested.code == 0, ingested.said
    wait_for(lambda: staged(on_aws), LINE_S, lambda: tail(on_aws))
    version = staged(on_aws)

    approved = on_aws("approve", "--reason", "looks right", "--by", "ann")
    assert approved.code == 0, approved.said
    assert f"production serves {version}" in approved.words

    page = browser.new_page()
    page.goto(up.url("predictor"))
    page.wait_for_selector("#files input[type=file]", state="attached")
    page.set_input_files("#files input[type=file]", pictures / "green" / "000.png")
    page.wait_for_function(
        "document.querySelector('.card') && !document.querySelector('.waiting')", timeout=60_000
    )
    for stage in ("staging", "prod"):
        said = page.inner_text(f"section[data-stage={stage}]").split()
        assert said[1:3] == [version, "green"]

    family = psutil.Process(up.process.pid).children(recursive=True)
    assert family
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(20) == 0
    assert [child for child in family if child.is_running() and child.status() != "zombie"] == []
    assert on_aws.processes() == []


def tail(imgclf: Any) -> str:
    """The last words of each program."""
    logs = sorted((imgclf.home / "logs").glob("*.log"))
    return "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in logs)

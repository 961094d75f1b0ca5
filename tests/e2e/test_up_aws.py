"""``imgclf up --label-studio`` on profile aws: images come, the line runs by itself, a person approves
and labels."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from assets.release.verdicts import STAGING_CHECKS
from tests.e2e.labelling_page import corrections_make_the_next_model
from tests.e2e.up_program import Up
from tests.patience import WAIT_S, wait_for
from tests.testbed.account import told_by_a_queue
from tests.testbed.bed import TestBed

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.e2e, pytest.mark.browser]


@pytest.fixture
def on_aws(
    imgclf: Any,
    aws_variables: dict[str, str],
    fast: dict[str, str],
    bed: TestBed,
    label_studio_installation: Any,
) -> Any:
    bucket, prefix = aws_variables["IMGCLF_AWS__BUCKET"], aws_variables["IMGCLF_AWS__PREFIX"]
    imgclf.settings = {
        **fast,
        **aws_variables,
        "IMGCLF_PROJECT": bucket,
        "IMGCLF_AWS__ARRIVALS_QUEUE_URL": told_by_a_queue(bed, bucket, prefix),
        "IMGCLF_LABEL_STUDIO_ENV": str(label_studio_installation.python.parents[1]),
        "IMGCLF_SENSORS__INTERVAL_S": "3",
        "IMGCLF_RETRAINING__NEW_LABELS": "2",
        "IMGCLF_GATES__MAX_STAGING_LATENCY_MS": "10000",
    }
    return imgclf


@pytest.fixture
def up(on_aws: Any) -> Iterator[Up]:
    program = Up(
        on_aws.home,
        on_aws.environment(),
        options=["--label-studio"],
        more_ports=["label_studio", "labelling"],
    )
    yield program
    program.end()


def test_images_reach_production_but_for_an_approval_and_labels_the_next_model(
    up: Up,
    on_aws: Any,
    bed: TestBed,
    colours: Callable[..., Path],
    tmp_path: Path,
    browser: "Browser",
) -> None:
    up.wait_until_up()
    assert "starting it again" not in up.output, "something crashed on the way up"
    assert "MLflow" not in up.output
    assert "Endpoints" not in up.output

    pictures = colours(tmp_path / "pictures", 12)
    ingested = on_aws("ingest", pictures, "--json")
    assert ingested.code == 0, ingested.output
    version = wait_for(lambda: staged(on_aws), lambda: last_words(on_aws), every_s=0.5)

    an_approval_outlives_daemon_and_run(up, on_aws, bed, str(version))

    page = browser.new_page()
    page.goto(up.url("predictor"))
    page.wait_for_selector("#files input[type=file]", state="attached")
    page.set_input_files("#files input[type=file]", pictures / "green" / "000.png")
    page.wait_for_function("document.querySelector('.card') && !document.querySelector('.waiting')")
    for stage in ("staging", "prod"):
        text = page.inner_text(f"section[data-stage={stage}]").split()
        assert text[1:3] == [version, "green"]
    page.close()

    corrections_make_the_next_model(up, on_aws, browser, lambda: last_words(on_aws))

    family = psutil.Process(up.process.pid).children(recursive=True)
    assert family
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(WAIT_S) == 0
    assert [child for child in family if child.is_running() and child.status() != "zombie"] == []
    assert on_aws.processes() == []


def an_approval_outlives_daemon_and_run(up: Up, imgclf: Any, bed: TestBed, version: str) -> None:
    """kill -9 of both while production is deployed: their successors go on with what was begun."""
    endpoint = f"{imgclf.settings['IMGCLF_PROJECT']}-prod"
    bed.fault("CreateEndpoint", "slow", seconds=3, match={"EndpointName": endpoint})
    command = ["approve", "--reason", "looks right", "--by", "ann"]
    approval = subprocess.Popen(
        [sys.executable, "-m", "imgclf_dagster.cli.entry", *command],
        env=imgclf.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def executed() -> bool:
        """The change set is on its way."""
        stack = f"{imgclf.settings['IMGCLF_PROJECT']}-endpoint-prod"
        return any(
            stack in str(call["request"]) and call["status"] == 200
            for call in bed.calls("ExecuteChangeSet")
        )

    wait_for(executed, lambda: last_words(imgclf), every_s=0.05)
    assert is_being_made(up, "prod_endpoint")
    # Not by their parent: a run in a copy of a warm process is none of imgclf up's descendants.
    daemons = [one for one in imgclf.processes() if is_one(one, "imgclf_dagster.daemon")]
    runs = [one for one in imgclf.processes() if is_one(one, "spawn_main")]
    assert len(daemons) == 1
    assert runs
    for doomed in daemons + runs:  # beside it, the labelling queue may be filled
        doomed.kill()
    answer, _ = approval.communicate(timeout=WAIT_S)
    assert approval.returncode == 0, answer + last_words(imgclf)
    assert f"production serves {version}" in " ".join(answer.split())
    created = [
        call for call in bed.calls("CreateEndpoint") if call["request"]["EndpointName"] == endpoint
    ]
    assert len(created) == 1
    assert "Dagster daemon" in up.output.partition("All up")[2], "the supervisor started it again"
    wait_for(lambda: verdict_on_production(up), lambda: last_words(imgclf), every_s=0.5)


def is_one(process: psutil.Process, *words: str) -> bool:
    try:
        line = " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False
    return any(word in line for word in words)


def is_being_made(up: Up, asset: str) -> bool:
    """Whether a run that has started makes it."""
    query = "{ runsOrError(filter: {statuses: [STARTED]}) { ... on Runs { results { assetSelection { path } } } } }"
    started = up.ask(query)["runsOrError"]["results"]
    return any({"path": [asset]} in (run["assetSelection"] or []) for run in started)


def verdict_on_production(up: Up) -> bool:
    """Whether Dagster knows that production was deployed, too."""
    query = '{ assetOrError(assetKey: {path: ["prod_endpoint"]}) { ... on Asset { assetMaterializations(limit: 1) { runId } } } }'
    return bool(up.ask(query)["assetOrError"].get("assetMaterializations"))


def staged(imgclf: Any) -> str | None:
    """The version whose checks on staging were made."""
    pattern = re.compile(rf"checks/trained_model/(train-\w+)/{STAGING_CHECKS[-1]}/")
    found = [pattern.match(info.key) for info in imgclf.store.list("checks/trained_model/")]
    return next((match[1] for match in found if match), None)


def last_words(imgclf: Any) -> str:
    """Of each program."""
    logs = sorted((imgclf.home / "logs").glob("*.log"))
    return "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in logs)

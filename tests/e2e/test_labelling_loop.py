"""The loop of labels, as a person sees it: a pre-label on Label Studio's own page is corrected by
clicking, and the correction is in the next data set and makes the next model.

On this machine, with several labels an image; on AWS, with one: ``test_up_aws``.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.labelling_page import corrections_make_the_next_model, models
from tests.e2e.up_program import Up
from tests.patience import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.e2e, pytest.mark.browser]


@pytest.fixture
def up(imgclf: Any, fast: dict[str, str], label_studio_installation: Any) -> Iterator[Up]:
    """``imgclf up --label-studio``."""
    imgclf.settings = {
        **fast,
        "IMGCLF_LABEL_STUDIO_ENV": str(label_studio_installation.python.parents[1]),
        "IMGCLF_LABELS__TASK": "multi_label",
        "IMGCLF_SENSORS__INTERVAL_S": "3",
        "IMGCLF_INGESTION__LIST_EVERY_S": "2",
        "IMGCLF_RETRAINING__NEW_LABELS": "2",
        "IMGCLF_GATES__MAX_STAGING_LATENCY_MS": "10000",
    }
    program = Up(
        imgclf.home,
        imgclf.environment(),
        options=["--label-studio"],
        more_ports=["label_studio", "labelling"],
    )
    yield program
    program.end()


def test_a_pre_label_is_corrected_by_clicking_and_the_next_model_knows(
    up: Up, imgclf: Any, colours: Callable[..., Path], tmp_path: Path, browser: "Browser"
) -> None:
    up.wait_until_up()
    output = imgclf("ingest", colours(tmp_path / "pictures", 12), "--json")
    assert output.code == 0, output.output
    wait_for(lambda: models(imgclf), lambda: up.output)
    corrections_make_the_next_model(up, imgclf, browser, lambda: up.output)

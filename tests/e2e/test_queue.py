"""``imgclf queue`` as a user has it: without anything, with a server, twice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from PIL import Image

from tests.label_studio.server import LabelStudioServer

pytestmark = pytest.mark.e2e


@pytest.fixture
def imgclf(imgclf_here: Any) -> Any:
    """``imgclf`` in a new home, in this process."""
    return imgclf_here


def unlabelled(folder: Path) -> Path:
    """30 images without a class."""
    folder.mkdir()
    rng = np.random.default_rng(7)
    for number in range(30):
        pixels = rng.integers(0, 120, (24, 24, 3), dtype=np.uint8)
        pixels[..., number % 3] += 90
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return folder


def numbers(answer: Any) -> dict[str, Any]:
    assert answer.code == 0, answer.output
    found: dict[str, Any] = json.loads(answer.out)
    return found


def test_from_nothing_to_a_queue_that_asks_nothing_twice(
    imgclf: Any,
    colours: Callable[..., Path],
    fast: dict[str, str],
    tmp_path: Path,
    label_studio: LabelStudioServer,
) -> None:
    imgclf.settings = fast
    empty = imgclf("queue")
    assert empty.code == 0, empty.output
    assert "no image is left" in empty.words

    assert imgclf("ingest", unlabelled(tmp_path / "new")).code == 0
    alone = imgclf("queue")
    assert "no Label Studio is connected" in alone.words
    assert "drawn at random" in alone.words  # recipe scratch has no net to look with

    title = f"queue {tmp_path.name}"[:50]
    project = label_studio.project(title, labels=("red", "green", "blue"))
    imgclf.settings |= {
        "IMGCLF_LABEL_STUDIO__URL": label_studio.url,
        "IMGCLF_LABEL_STUDIO__TOKEN": label_studio.token,
        "IMGCLF_LABEL_STUDIO__PROJECT_TITLE": title,
    }
    assert imgclf("ingest", colours(tmp_path / "classes", 14)).code == 0
    assert imgclf("run").code == 0
    first = numbers(imgclf("queue", "--json"))
    assert (first["open"], first["added"], first["left to label"]) == (20, 20, 10)
    assert first["model_version"].startswith("train-")
    assert first["project"] == f"{label_studio.url}/projects/{project}/data"
    second = numbers(imgclf("queue", "--json"))
    assert (second["open"], second["added"]) == (20, 0)
    with label_studio.client() as http:
        listed = http.get("/api/tasks/", params={"project": project, "fields": "all"}).json()
    assert listed["total"] == 20
    versions = {row["model_version"] for task in listed["tasks"] for row in task["predictions"]}
    assert versions == {first["model_version"]}
    assert label_studio.token not in "".join(
        path.read_text(errors="replace") for path in imgclf.home.rglob("*.json")
    )


def test_it_is_not_filled_beside_a_run_that_fills_it(
    imgclf: Any, fast: dict[str, str], tmp_path: Path
) -> None:
    imgclf.settings = fast
    assert imgclf("ingest", unlabelled(tmp_path / "new")).code == 0
    run = dg.DagsterRun(
        job_name="__ASSET_JOB",
        asset_selection=frozenset({dg.AssetKey("labelling_queue")}),
        status=dg.DagsterRunStatus.STARTED,
    )
    with dg.DagsterInstance.from_config(str(imgclf.home / "dagster")) as instance:
        instance.add_run(run)
        refused = imgclf("queue")
        assert refused.code == 1
        assert f"run {run.run_id} makes labelling_queue already" in refused.words
        instance.report_run_canceled(run)
    assert imgclf("queue").code == 0


def test_a_server_that_is_not_there_is_named_and_what_was_chosen_is_kept(
    imgclf: Any, fast: dict[str, str], tmp_path: Path
) -> None:
    imgclf.settings = {
        **fast,
        "IMGCLF_LABEL_STUDIO__URL": "http://127.0.0.1:9",
        "IMGCLF_LABEL_STUDIO__TOKEN": "0" * 40,
    }
    assert imgclf("ingest", unlabelled(tmp_path / "new")).code == 0
    refused = imgclf("queue")
    assert refused.code == 1
    assert "http://127.0.0.1:9" in refused.words
    assert "Traceback" not in refused.output

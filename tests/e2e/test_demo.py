"""``imgclf demo``: the main job, as ``make demo`` runs it, and once more."""

import re
from typing import Any

import pytest

from assets.records.materialization_record import MATERIALIZATIONS as RECORDS
from tests.warm_programs.sitecustomize import COLD

pytestmark = pytest.mark.e2e

ASSETS = (
    "raw_images",
    "annotations",
    "dataset",
    "trained_model",
    "evaluation_report",
    "registered_package",
    "staging_endpoint",
    "release_approval",
    "prod_endpoint",
)


def accuracy(answer: Any) -> float:
    """Per cent right of the 20 % of 1,797 digits that were withheld, as the table has it."""
    assert answer.code == 0, answer.output
    found = re.search(r"accuracy on (\d+) withheld digits\D+([\d.]+)%", answer.words)
    assert found, answer.output
    assert int(found[1]) == pytest.approx(1797 * 0.2, abs=5)
    return float(found[2])


def test_the_demo_puts_a_good_model_into_production_and_repeats_nothing(imgclf: Any) -> None:
    first = imgclf("demo", **{COLD: "1"})  # as a user's: imports can write warnings
    assert accuracy(first) >= 97.0
    # No library has anything to say to the user.
    assert first.err == f"made a new home at {imgclf.home / 'demo'}\n"
    untimed = [name for name in ASSETS if not re.search(rf"{name}\W+[\d.]+ s", first.words)]
    assert not untimed, first.output
    for step in ("status", "up", "ingest"):  # where to look next, by the command as it was called
        assert f"imgclf_dagster.cli.entry {step}" in first.words
    assert not imgclf.processes()
    assert not (imgclf.home / "imgclf.toml").exists()  # the demo has a home of its own in the home
    imgclf.home /= "demo"
    made = imgclf.objects(but=RECORDS)
    assert sum(key.startswith("endpoints/prod/") for key in made) == 1
    assert sum(key.endswith("/job.json") for key in made) == 2  # a training, an evaluation

    imgclf.home = imgclf.home.parent
    second = imgclf("demo")
    assert accuracy(second) == accuracy(first)
    assert re.search(r"ingested 0 new, 14\d\d known, 0 rejected", second.words), second.output
    assert not imgclf.processes()
    imgclf.home /= "demo"
    assert imgclf.objects(but=RECORDS) == made

    status = imgclf("status")
    assert status.code == 0, status.output
    assert "nothing waits" in status.words
    assert "by demo user" in status.words

"""Against whom a candidate is evaluated; no job is run."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from assets.evaluation import evaluation_report as evaluation
from resources.compute.job_spec import JobSpec
from resources.compute.local.compute import LocalCompute

pytestmark = pytest.mark.graph

CARD = {"version": "d" * 16, "labels": ["a", "b"], "task": "single_label", "shards": ["s.tar"]}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[JobSpec]:
    """The jobs that were asked for."""
    found: list[JobSpec] = []

    def run(self: LocalCompute, context: Any, spec: JobSpec) -> Any:
        found.append(spec)
        raise dg.Failure("no job runs here", allow_retries=False)

    monkeypatch.setattr(LocalCompute, "run", run)
    monkeypatch.setattr(evaluation, "read_card", lambda *_: CARD)
    return found


def test_a_candidate_is_compared_with_production_and_not_with_itself(
    shop: Any, asked: list[JobSpec], deployed: Callable[..., Any]
) -> None:
    one, two = shop.candidate("train-1"), shop.candidate("train-2", sharpness=5.0)
    assert one.digest != two.digest
    for champion in (None, two, one):
        if champion is not None:
            deployed(shop, shop.approve(champion))
        made = {"model_version": "train-1", "digest": one.digest, "dataset_version": "d" * 16}
        shop.instance.report_runless_asset_event(
            dg.AssetMaterialization("trained_model", metadata=made)
        )
        assert "no job runs here" in shop.run("evaluation_report").why
    alone, compared, itself = asked
    assert compared.channels["champion"].keys == (two.model_key,)
    assert "champion" not in alone.channels
    assert "champion" not in itself.channels
    assert alone.name == itself.name != compared.name

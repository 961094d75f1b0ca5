"""What an evaluation is named by: the same two models are compared once."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from assets.evaluation import evaluation_job as evaluation
from assets.evaluation.evaluation_job import (
    champion_answers,
    evaluation_job,
    known_features,
    renamed_since,
)
from labelling.labels.events import Rename, event_key, to_json
from labelling.labels.schema import LabelSchema
from object_store.contents.damage import DamagedObject
from object_store.store import ObjectStore

pytestmark = pytest.mark.unit

CARD = {"version": "v" * 16, "labels": ["a", "b"], "task": "single_label", "shards": ["s.tar"]}


def name(digest: str = "a", champion: str = "b", card: dict[str, Any] = CARD, **models: str) -> str:
    given = models or {"model": "models/m/output/model.tar.gz"}
    return evaluation_job(card, digest * 64, champion * 64, given).name


def test_another_champion_model_or_data_set_is_another_evaluation() -> None:
    names = {name(), name(champion="c"), name(champion=""), name("d")}
    names.add(name(card={**CARD, "version": "w" * 16}))
    assert len(names) == 5
    assert name() == name(model="models/elsewhere/output/model.tar.gz")  # digests say what it is


def test_classes_that_were_renamed_since_make_another_evaluation() -> None:
    model = {"model": "models/m/output/model.tar.gz"}
    spec = evaluation_job(CARD, "a" * 64, "b" * 64, model, renamed={"c": "a"})
    assert spec.hyperparameters["renamed"] == '{"c": "a"}'
    assert spec.name != name()
    assert evaluation_job(CARD, "a" * 64, "b" * 64, model, renamed={}).name == name()


def test_only_what_the_champion_calls_otherwise_than_the_data_set_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()
    champion: Any = SimpleNamespace(model_version="train-old")
    known = {"labels": ["scarlet", "owl", "green", "blue"]}
    monkeypatch.setattr(evaluation, "newest_evaluation", lambda store, version: known)

    def aliases_of(*labels: str) -> dict[str, str]:
        return renamed_since(store, LabelSchema(), champion, labels)

    assert aliases_of("red", "green") == {}
    for old, new in (("scarlet", "red"), ("owl", "bird"), ("green", "lime"), ("teal", "blue")):
        event = Rename(at=datetime.now(UTC), by="me", old=(old,), new=new)
        store.put(event_key(event), to_json(event))
    assert aliases_of("red", "green", "blue") == {"scarlet": "red"}
    assert aliases_of("red", "lime", "blue") == {"green": "lime", "scarlet": "red"}
    assert renamed_since(store, LabelSchema(), None, ["red"]) == {}


def test_the_champions_predictions_are_given_to_the_job_where_there_are_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()
    champion = SimpleNamespace(model_version="train-old")
    known: list[dict[str, str] | None] = [None]
    monkeypatch.setattr(evaluation, "newest_evaluation", lambda *_: known[0])
    assert champion_answers(store, champion) == {}
    known[0] = {"job": "eval-1"}
    assert champion_answers(store, champion) == {}, "its files are gone"
    store.put("models/eval-1/processing/predictions.parquet", b"rows")
    channel = champion_answers(store, champion)["champion_answers"]
    assert channel.relative(channel.keys[0]) == "predictions.parquet"


def test_the_latest_features_of_test_images_are_given_to_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()

    def job_of(_: ObjectStore, version: str) -> dict[str, str] | None:
        if version == "damaged":
            raise DamagedObject("evaluations/damaged", "it is empty", store.url)
        return None if version == "none" else {"job": f"eval-{version}"}

    monkeypatch.setattr(evaluation, "newest_evaluation", job_of)
    versions = ["damaged", "none", "finetune", "probe-2", "probe-1"]
    assert known_features(store, versions) == {}
    for version in ("probe-1", "probe-2"):
        store.put(f"models/eval-{version}/processing/test_features.parquet", b"rows")
    channel = known_features(store, versions)["known_features"]
    assert channel.keys == ("models/eval-probe-2/processing/test_features.parquet",)

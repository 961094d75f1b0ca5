"""When it is time to train a new model."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.annotations.label_index import LabelledView
from assets.dataset import retraining as retraining_module
from assets.dataset.retraining import Retraining, dataset_labels, decide_retraining
from assets.policies import RetrainPolicy

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
POLICY = RetrainPolicy()
TRAINED = {f"c{n}": ["cat"] for n in range(100)} | {f"d{n}": ["dog"] for n in range(40)}


def decided(
    newest: dict[str, list[str]], *, by: str = "label_studio", hours: float = 1, **policy: Any
):
    texts = {image: (by, NOW - timedelta(hours=hours)) for image in {*newest, *TRAINED}}
    chosen = RetrainPolicy(**policy)
    return decide_retraining(TRAINED, newest, texts, chosen, NOW.timestamp())


def plus(label: str, count: int) -> dict[str, list[str]]:
    return TRAINED | {f"new-{label}-{n}": [label] for n in range(count)}


def due(found: Any) -> bool:
    return found.is_due(NOW.timestamp())


def test_the_first_training_is_due_and_the_same_again_is_not():
    assert due(decide_retraining(None, TRAINED, {}, POLICY, NOW.timestamp()))
    assert decided(TRAINED).due_at is None
    assert decided({image: [*labels] for image, labels in TRAINED.items()}).due_at is None


def test_enough_labels_are_due():
    few = decided(plus("cat", 9))
    assert not due(few)
    assert "9 of 50 new labels" in few.reason
    assert due(decided(plus("cat", 50), share_of_class=1))
    assert not due(decided(plus("cat", 49), share_of_class=1))


def test_so_is_a_share_of_a_class_unless_that_is_next_to_nothing():
    assert due(decided(plus("dog", 5)))
    assert (
        "5 of dog (12% of its former number); 50, or 10% of a class, start a training"
        in decided(plus("dog", 5)).reason
    )
    assert not due(decided(plus("dog", 3)))
    assert not due(decided(plus("fox", 4)))  # a new class
    assert due(decided(plus("fox", 5)))
    assert due(decided(plus("fox", 1) | plus("dog", 6)))  # fox's share is greater, and too small


def test_so_is_a_label_that_waited_long():
    young = decided(plus("cat", 1), hours=23)
    assert not due(young)
    assert young.is_due(NOW.timestamp() + 3601)
    assert due(decided(plus("cat", 1), hours=24))
    assert "due: 1 of 50 new labels" in decided(plus("cat", 1), hours=24).reason
    assert "waited 24.0 of 24 h" in decided(plus("cat", 1), hours=24).reason


def test_the_oldest_label_decides():
    newest = plus("cat", 2)
    texts = {
        "new-cat-0": ("label_studio", NOW - timedelta(hours=1)),
        "new-cat-1": ("label_studio", NOW - timedelta(hours=25)),
    }
    assert due(decide_retraining(TRAINED, newest, texts, POLICY, NOW.timestamp()))


def trained_on_data(version: str) -> dict[str, Any]:
    """What a model that a person reported says of itself."""
    return {"model_version": "train-1", "digest": "0" * 64, "dataset_version": version}


def retrained(
    monkeypatch: pytest.MonkeyPatch, sets: dict[str, Any], view: LabelledView, **given: Any
) -> Any:
    """The decision on data set ``new`` after a training on ``old``."""
    instance = dg.DagsterInstance.ephemeral()
    trained = dg.AssetMaterialization("trained_model", metadata=trained_on_data("old"))
    instance.report_runless_asset_event(trained)
    monkeypatch.setattr(retraining_module, "dataset_labels", lambda _, version: dict(sets[version]))
    store: Any = None
    return retraining_module.retraining(instance, store, "new", view, POLICY, **given)


def test_the_same_labels_in_another_data_set_are_due(monkeypatch):
    view = LabelledView({}, [], "1")
    found = retrained(monkeypatch, {"old": TRAINED, "new": TRAINED}, view)
    assert found.is_due(time.time())
    assert "splits, task or the order" in found.reason


def test_a_fresh_label_that_contradicts_another_takes_its_image_out(monkeypatch):
    texts = {"c1": ("label_studio", NOW), "x": ("label_studio", NOW)}
    labels = {"c1": ["dog"], "x": ["cat"]}
    sets = {"old": TRAINED, "new": TRAINED}
    agreed = LabelledView(labels, [], "1", texts)
    assert "2 of 50" in retrained(monkeypatch, sets, agreed, fresh=["c1", "x"]).reason
    disputed = LabelledView(labels, [{"sha256": "x"}], "1", texts)
    assert "1 of 50" in retrained(monkeypatch, sets, disputed, fresh=["c1", "x"]).reason


def test_what_comes_by_ingest_is_due_at_once():
    assert due(decided(plus("cat", 1), by="ingest"))
    gone = dict(TRAINED)
    del gone["c1"]
    texts = {"c1": ("ingest", NOW)}
    assert due(decide_retraining(TRAINED, gone, texts, POLICY, NOW.timestamp()))
    assert due(decide_retraining(TRAINED, gone, {}, POLICY, NOW.timestamp()))  # a file that went


def test_a_label_that_changes_or_is_taken_back_is_a_new_one():
    assert "1 of 50" in decided(TRAINED | {"c1": ["dog"]}).reason
    gone = dict(TRAINED)
    del gone["c1"]
    assert "1 of 50" in decided(gone).reason
    flipped = TRAINED | {f"c{n}": ["dog"] for n in range(10)}
    assert "due: 10 of 50 new labels, 10 of dog" in decided(flipped).reason


@given(st.integers(0, 60), st.integers(0, 60))
def test_more_labels_are_never_less_due(count, more):
    first, second = decided(plus("cat", count)), decided(plus("cat", count + more))
    assert due(second) or not due(first)


def test_every_decision_says_why_in_numbers():
    now = NOW.timestamp()
    first = decide_retraining(None, TRAINED, {}, POLICY, now)
    assert first == Retraining(now, "due: nothing was trained yet")
    assert decided(TRAINED) == Retraining(None, "no new labels since the last training")
    others = decided(plus("cat", 2), by="ingest")
    assert others == Retraining(
        now, "due: 2 images were added, removed or relabelled by an ingest or imgclf labels"
    )
    assert decided(plus("dog", 5)) == Retraining(
        now,
        "due: 5 of 50 new labels, 5 of dog (12% of its former number); 50, or 10% of a class, start a training",
    )
    assert decided(plus("cat", 2), hours=0.5, max_age_h=1.5) == Retraining(
        now + 3600,
        "2 of 50 new labels, 2 of cat (2% of its former number); 50, or 10% of a class, start a training; the oldest has "
        "waited 0.5 of 1.5 h",
    )
    ahead = decided(plus("cat", 1), hours=-1)
    assert ahead.due_at == now + 25 * 3600
    assert ahead.reason.endswith("the oldest has waited 0.0 of 24 h"), "another clock's time"
    late = decided(plus("cat", 1), hours=24)
    assert late == Retraining(
        now,
        "due: 1 of 50 new labels, 1 of cat (1% of its former number); 50, or 10% of a class, start a training; the oldest "
        "has waited 24.0 of 24 h",
    )


def test_it_is_due_from_the_very_second_on():
    assert Retraining(5.0, "").is_due(5.0)
    assert not Retraining(5.0, "").is_due(4.9)
    assert not Retraining(None, "").is_due(5.0)


def test_the_labels_of_ingests_among_those_of_people_are_due_at_once():
    newest = plus("cat", 3)
    texts = {f"new-cat-{n}": ("label_studio", NOW) for n in range(2)}
    now = NOW.timestamp()
    found = decide_retraining(TRAINED, newest, texts, POLICY, now)
    assert found == Retraining(
        now, "due: 1 image was added, removed or relabelled by an ingest or imgclf labels"
    )


def test_the_class_that_changed_most_for_its_size_is_named():
    assert "5 of dog (12%" in decided(plus("dog", 5) | plus("cat", 9)).reason
    assert "1 of ant (100%" in decided(plus("bee", 1) | plus("ant", 1)).reason
    assert "4 of fox (400%" in decided(plus("fox", 4) | plus("cat", 1)).reason
    exact = decided(plus("cat", 10))
    assert exact.reason.startswith("due: 10 of 50 new labels, 10 of cat (10% of its former number")
    corrected = TRAINED | {"c1": ["dog"]}  # one that left cat and came to dog
    assert "1 of 50 new labels, 1 of dog (2%" in decided(corrected).reason
    lonely = decide_retraining(
        {"a": ["fox"]}, {}, {"a": ("label_studio", NOW)}, POLICY, NOW.timestamp()
    )
    assert "1 of fox (100% of its former number" in lonely.reason


class Store:
    """Has the manifest of data set ``d``."""

    def exists(self, key: str) -> bool:
        return key == "datasets/d/manifest.parquet"


def test_the_labels_of_a_data_set_are_read_from_its_manifest(monkeypatch):
    store: Any = Store()

    def read(given: Any, version: str) -> pa.Table:
        assert (given, version) == (store, "d")
        return pa.table({"sha256": ["a", "b"], "labels": [["cat"], ["cat", "dog"]]})

    monkeypatch.setattr(retraining_module, "read_dataset_manifest", read)
    assert dataset_labels(store, "d") == {"a": ["cat"], "b": ["cat", "dog"]}
    assert dataset_labels(store, "gone") is None


def test_a_data_set_is_compared_with_the_one_that_the_model_was_trained_on(monkeypatch):
    asked = []

    def labels_of(store: Any, version: str) -> dict[str, list[str]] | None:
        asked.append((store, version))
        return {"new": plus("cat", 1)}.get(version)

    monkeypatch.setattr(retraining_module, "dataset_labels", labels_of)
    store: Any = object()
    view = LabelledView({}, [], "1")
    instance = dg.DagsterInstance.ephemeral()
    found = retraining_module.retraining(instance, store, "new", view, POLICY)
    assert found.reason == "due: nothing was trained yet"
    assert asked == [(store, "new")]

    def trained_on(version: str) -> Retraining:
        event = dg.AssetMaterialization("trained_model", metadata=trained_on_data(version))
        instance.report_runless_asset_event(event)
        return retraining_module.retraining(instance, store, "new", view, POLICY)

    asked.clear()
    assert trained_on("gone").reason == "due: nothing was trained yet"
    assert asked == [(store, "gone"), (store, "new")]
    assert trained_on("new") == Retraining(None, "no new labels since the last training")


def test_fresh_labels_count_as_if_they_were_in_the_data_set(monkeypatch):
    view = LabelledView({"x": ["cat"]}, [], "1", {"x": ("label_studio", datetime.now(UTC))})
    sets = {"old": TRAINED, "new": TRAINED}
    found = retrained(monkeypatch, sets, view, fresh=["x", "never-there"])
    assert found.reason.startswith("1 of 50 new labels, 1 of cat")
    assert not found.is_due(time.time())
    gone = retrained(monkeypatch, sets, view, fresh=["c1"])
    assert (
        gone.reason == "due: 1 image was added, removed or relabelled by an ingest or imgclf labels"
    )
    nothing = retrained(monkeypatch, {"old": TRAINED, "new": TRAINED}, view)
    assert nothing.reason == "due: splits, task or the order of the labels changed"
    assert nothing.due_at is not None


def test_a_newest_data_set_that_is_not_in_the_store_has_no_labels(monkeypatch):
    monkeypatch.setattr(
        retraining_module, "dataset_labels", lambda _, version: {"old": {"a": ["cat"]}}.get(version)
    )
    instance = dg.DagsterInstance.ephemeral()
    event = dg.AssetMaterialization("trained_model", metadata=trained_on_data("old"))
    instance.report_runless_asset_event(event)
    store: Any = None
    view = LabelledView({}, [], "1")
    found = retraining_module.retraining(instance, store, "new", view, POLICY)
    assert (
        found.reason
        == "due: 1 image was added, removed or relabelled by an ingest or imgclf labels"
    )


def test_the_reason_is_reported_in_a_sentence() -> None:
    assert Retraining(0.0, "due: nothing was trained yet").sentence == (
        "a training is due: nothing was trained yet"
    )
    assert Retraining(None, "no new labels").sentence == "no new labels"
